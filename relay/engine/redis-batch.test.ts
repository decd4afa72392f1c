import { expect, test } from 'vitest'
import { blame, isolate, readBatch } from './redis-batch.ts'

const raw = (text: string | undefined, id = '1-0') => ({ id, text, epoch: 'e', value: undefined })
const deduct = '{"op":"deduct","gid":"g","key":"stock","qty":2'

test.each([
  [undefined, 'it has no field `entry`'],
  ['{', 'it cannot be read: it is not JSON'],
  ['[]', 'it cannot be read: not an object'],
  ['{"op":"steal","gid":"g"}', 'it cannot be read: op: not one of deduct, give_back, script'],
  ['{"op":"script","gid":"a b"}', expect.stringContaining('it cannot be read: gid')],
  ['{"op":"deduct","gid":"g","key":"stock"}', 'it cannot be read: qty: not an integer from 1 to 1000000000000'],
  ['{"op":"deduct","gid":"g","key":".epoch","qty":1}', 'it cannot be read: key: not the name of a stock'],
  [`${deduct},"more":1}`, 'it cannot be read: more: there is no such field'],
  [`${deduct},"messages":[{"branch":1,"target":"a.b"}]}`, 'it cannot be read: messages[0]: it has not one content'],
  [
    `${deduct},"messages":[{"branch":1,"destination":"A","target":"/","text":"1"}]}`,
    expect.stringContaining('INVALID'),
  ],
])('%s is broken', (text, reason) => {
  expect(readBatch([raw(text)], true)).toMatchObject({ entries: [], broken: [{ reason }] })
})

test('an entry that leads to nothing is broken where nobody writes it', () => {
  expect(readBatch([raw(`${deduct}}`)], true).entries).toMatchObject([{ gid: 'g', key: 'stock', qty: 2 }])
  expect(readBatch([raw(`${deduct}}`)], false).broken).toMatchObject([{ entry: { gid: 'g' } }])
  const message = `${deduct},"messages":[{"branch":1,"target":"a.b","text":"1"}]}`
  const back = '{"op":"give_back","gid":"g","key":"stock","qty":2}'
  expect(readBatch([raw(message), raw(back)], false)).toMatchObject({ entries: [{}, {}], broken: [] })
})

test.each([
  ['40P01', 'moment'],
  ['57P01', 'moment'],
  ['25P02', 'moment'],
  ['42P01', 'writer'],
  ['42501', 'writer'],
  ['23505', 'entry'],
  ['22003', 'entry'],
  ['P0001', 'entry'],
  [undefined, 'entry'],
])('%s is to be blamed on the %s', (state, on) => {
  expect(blame(state)).toBe(on)
})

test('what is not to be blamed on an item ends it', async () => {
  const away = new Error('away')
  const apply = () => Promise.reject(away)
  await expect(isolate([1, 2, 3], apply, () => false)).rejects.toBe(away)
  expect(await isolate([], apply, () => false)).toEqual({ applied: [], failed: [] })
})
