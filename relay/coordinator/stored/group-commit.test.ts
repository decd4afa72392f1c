import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { GroupCommit, type GroupCommitOptions } from './group-commit.ts'

interface Request {
  readonly key: string
  readonly bad?: boolean
}

function groups(given: Partial<GroupCommitOptions<Request, string>> = {}) {
  const written: string[][] = []
  const group = new GroupCommit<Request, string>({
    keyOf: ({ key }) => key,
    refusal: () => new Error('full'),
    write: async (requests) => {
      written.push(requests.map(({ key }) => key))
      await sleep(5)
      if (requests.some(({ bad }) => bad)) throw refusal('22021')
      return requests.map(({ key }) => key.toUpperCase())
    },
    ...given,
  })
  const addAll = (keys: readonly string[]) => Promise.all(keys.map((key) => group.add({ key })))
  return { group, written, addAll }
}

const refusal = (code: string) => Object.assign(new Error(code), { code, severity: 'ERROR' })

describe('GroupCommit', () => {
  test('writes together what arrives together, and what arrives meanwhile with the next', async () => {
    const { written, addAll } = groups({ statementsMax: 1 })
    const first = addAll(['a', 'b'])
    await sleep(2)
    const second = addAll(['c', 'd'])
    expect(await first).toEqual(['A', 'B'])
    expect(await second).toEqual(['C', 'D'])
    expect(written).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ])
  })

  test('beside a statement for many a second one only if that takes long, beside one for few at once', async () => {
    const { written, addAll } = groups({
      write: async (requests) => {
        written.push(requests.map(({ key }) => key))
        await sleep(requests.some(({ key }) => key.startsWith('long')) ? 300 : 2)
        return requests.map(({ key }) => key)
      },
    })
    const many = ['long', '2', '3', '4', '5', '6', '7', '8']
    for (const [first, then] of [
      [['long'], [['a'], ['b']]],
      [many, [['a', 'b']]],
    ] as const) {
      written.splice(0)
      const long = addAll(first)
      await sleep(2)
      const second = addAll(['a'])
      await sleep(5)
      const third = addAll(['b'])
      await Promise.all([second, third])
      expect(written).toEqual([first, ...then])
      await long
    }
  })

  test('a key once in a statement, and no statement larger than allowed', async () => {
    const { written, addAll } = groups({ requestsMax: 2 })
    expect(await addAll(['a', 'a', 'b', 'c', 'a'])).toEqual(['A', 'A', 'B', 'C', 'A'])
    expect(written).toEqual([['a', 'b'], ['a', 'c'], ['a']])
  })

  test('what is large goes in smaller groups', async () => {
    const { written, addAll } = groups({ bytesOf: () => 10, bytesMax: 15 })
    await addAll(['a', 'b', 'c'])
    expect(written).toEqual([['a', 'b'], ['c']])
  })

  test('one bad request fails alone', async () => {
    const { group, addAll } = groups()
    const good = addAll(['a', 'b', 'c', 'd', 'e'])
    await expect(group.add({ key: 'x', bad: true })).rejects.toThrow('22021')
    expect(await good).toEqual(['A', 'B', 'C', 'D', 'E'])
  })

  test('a deadlock is written again; an error that blames nobody is told to everybody, and once', async () => {
    const failures = ['40P01', '40P01', '57P01']
    let writes = 0
    const { addAll } = groups({
      write: async (requests) => {
        writes += 1
        const code = failures.shift()
        if (code !== undefined) throw refusal(code)
        return requests.map(({ key }) => key)
      },
    })
    await expect(addAll(['a', 'b'])).rejects.toThrow('57P01')
    expect(writes).toBe(3)
    expect(await addAll(['a', 'b'])).toEqual(['a', 'b'])
  })

  test('refuses what it has no room for, and takes it when it has', async () => {
    const { group, addAll } = groups({ waitingMax: 2, statementsMax: 1 })
    const both = addAll(['a', 'b'])
    await expect(group.add({ key: 'c' })).rejects.toThrow('full')
    await both
    expect(await addAll(['c'])).toEqual(['C'])
  })

  test('a request that is left without an answer is rejected, its neighbours are not', async () => {
    const { group } = groups({ write: async (requests) => requests.map(({ bad }) => (bad ? undefined : 'fine')) })
    const neighbour = group.add({ key: 'a' })
    await expect(group.add({ key: 'b', bad: true })).rejects.toThrow('try again')
    expect(await neighbour).toBe('fine')
  })
})
