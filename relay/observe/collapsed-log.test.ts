import { expect, test } from 'vitest'
import { collapseLog } from './collapsed-log.ts'

test('of one cause a line a minute is written, with how often it occurred since the last', () => {
  let now = 0
  const written: string[] = []
  const log = collapseLog(() => now)
  const add = (cause: string) => log.add(cause, (count) => void written.push(`${cause} ${count}`))
  for (let n = 0; n < 5; n += 1) add('full')
  add('missing')
  now = 59_999
  add('full')
  expect(written).toEqual(['full 1', 'missing 1'])
  now = 60_000
  add('full')
  expect(written).toEqual(['full 1', 'missing 1', 'full 6'])
})

test('causes without end do not grow', () => {
  const log = collapseLog(() => 0)
  const written: number[] = []
  for (let n = 0; n < 3000; n += 1) log.add(`cause ${n}`, (count) => void written.push(count))
  log.add('cause 0', (count) => void written.push(count))
  expect(written).toHaveLength(3001)
})
