import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { DeliveryRefused, PostcommitError } from 'postcommit'
import { type BarrierResult, createBarrier } from 'postcommit/barrier'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type BarrierStore, type Run, SQL_STORES } from '../../support/barrier-stores.ts'

const effect = (id: string) => (run: Run) => run(`insert into effect values ('${id}')`)
const branch = (gid: string, op: string, name = '01') => createBarrier({ gid, branch: name, op })
const said = async (promise: Promise<BarrierResult<unknown>>) =>
  await promise.then(
    ({ skipped }) => skipped,
    (error: unknown) => {
      if (error instanceof PostcommitError) return error.code
      return error instanceof DeliveryRefused ? error.message : error
    },
  )

function signal(): [Promise<void>, () => void] {
  let give: () => void = () => undefined
  const given = new Promise<void>((resolve) => {
    give = resolve
  })
  return [given, give]
}

describe.each(SQL_STORES)('the barrier in $store', ({ open }) => {
  let store: BarrierStore
  let gid: string

  beforeAll(async () => {
    store = await open()
  })
  afterAll(() => store.close())
  beforeEach(async () => {
    gid = randomUUID()
    await store.run('delete from effect')
  })

  const pass = (op: string, id = op) => said(store.call(branch(gid, op), effect(id)))

  // [what comes, in turn; what each is told; what has taken effect; the rows that are left]
  test.each([
    [['action'], [false], ['action'], ['01 action 01 action']],
    [['action', 'action'], [false, 'duplicate'], ['action'], ['01 action 01 action']],
    [
      ['action', 'compensate', 'compensate'],
      [false, false, 'duplicate'],
      ['action', 'compensate'],
      ['01 action 01 action', '01 compensate 01 compensate'],
    ],
    [['compensate'], ['empty'], [], ['01 action 01 compensate', '01 compensate 01 compensate']],
    [
      ['compensate', 'compensate', 'action', 'action'],
      ['empty', 'duplicate', 'late', 'late'],
      [],
      ['01 action 01 compensate', '01 compensate 01 compensate'],
    ],
    [['cancel', 'try'], ['empty', 'late'], [], ['01 cancel 01 cancel', '01 try 01 cancel']],
    [
      ['try', 'confirm', 'confirm'],
      [false, false, 'duplicate'],
      ['confirm', 'try'],
      ['01 confirm 01 confirm', '01 try 01 try'],
    ],
    [
      ['try', 'cancel'],
      [false, false],
      ['cancel', 'try'],
      ['01 cancel 01 cancel', '01 try 01 try'],
    ],
    [['rollback', 'action'], ['empty', 'late'], [], ['01 action 01 rollback', '01 rollback 01 rollback']],
    [['commit', 'commit'], [false, 'duplicate'], ['commit'], ['01 commit 01 commit']],
  ])('%j is told %j', async (ops, told, effects, rows) => {
    const answers = []
    for (const op of ops) answers.push(await pass(op))
    expect(answers).toEqual(told)
    expect(await store.effects()).toEqual(effects)
    expect(await store.rows(gid)).toEqual(rows)
  })

  test('an action that failed leaves nothing, and its compensation is empty', async () => {
    const error = new Error('out of stock')
    const failing = store.call(branch(gid, 'action'), async (run) => {
      await effect('a')(run)
      throw error
    })
    await expect(failing).rejects.toBe(error)
    expect(await store.rows(gid)).toEqual([])
    expect(await pass('compensate')).toBe('empty')
    expect(await store.effects()).toEqual([])
  })

  describe('a pivot that refuses', () => {
    const refused = async (run: Run) => {
      await effect('refused')(run)
      throw new DeliveryRefused('no cover')
    }
    const refusing = () => said(store.call(branch(gid, 'action'), refused, { pivot: true }))

    test('has refused every other call as well', async () => {
      expect(await refusing()).toBe('no cover')
      expect(await store.rows(gid)).toEqual(['01 action 01 refused'])
      expect(await pass('action')).toBe(`branch 01 of ${gid} was refused before`)
      expect(await refusing()).toBe(`branch 01 of ${gid} was refused before`)
      expect(await store.effects()).toEqual([])
    })

    test('comes to one end with calls that do not refuse, whichever is first', async () => {
      for (let n = 0; n < 10; n += 1) {
        gid = randomUUID()
        const paying = said(store.call(branch(gid, 'action'), effect(gid), { pivot: true }))
        const [refusal, payment] = await Promise.all([refusing(), paying])
        const isPaid = (await store.effects()).includes(gid)
        expect([refusal, payment]).toEqual(
          isPaid ? ['duplicate', false] : ['no cover', `branch 01 of ${gid} was refused before`],
        )
        expect(await pass('action')).toBe(isPaid ? 'duplicate' : `branch 01 of ${gid} was refused before`)
      }
    })

    test('leaves nothing to undo, should somebody try', async () => {
      await refusing()
      expect(await pass('compensate')).toBe('empty')
      expect(await store.effects()).toEqual([])
    })

    test('without saying that it is a pivot, refuses this call alone', async () => {
      expect(await said(store.call(branch(gid, 'action'), refused))).toBe('no cover')
      expect(await pass('action')).toBe(false)
    })
  })

  test('several barriers of one handler are kept apart by their names', async () => {
    const handle = async () => {
      const barrier = branch(gid, 'action')
      return [
        await said(store.call(barrier, effect('stock'), { id: 'stock' })),
        await said(store.call(barrier, effect('points'), { id: 'points' })),
      ]
    }
    expect(await handle()).toEqual([false, false])
    expect(await handle()).toEqual(['duplicate', 'duplicate'])
    expect(await store.effects()).toEqual(['points', 'stock'])
  })

  test('a handler that passes the same barrier twice is told, instead of losing the second effect', async () => {
    const barrier = branch(gid, 'action')
    await store.call(barrier, effect('stock'))
    expect(await said(store.call(barrier, effect('points')))).toBe('POSTCOMMIT_INVALID_OPTIONS')
  })

  test('other branches of the same transaction are other places', async () => {
    expect(await said(store.call(branch(gid, 'action', '01'), effect('a')))).toBe(false)
    expect(await said(store.call(branch(gid, 'action', '01-01'), effect('b')))).toBe(false)
  })

  test('gids that differ in case are other transactions', async () => {
    expect(await said(store.call(branch(`${gid}-a`, 'action'), effect('a')))).toBe(false)
    expect(await said(store.call(branch(`${gid}-A`, 'action'), effect('b')))).toBe(false)
  })

  test('of 50 at the same time one takes effect', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => pass('action')))
    expect(answers.filter((answer) => answer === false)).toHaveLength(1)
    expect(answers.filter((answer) => answer === 'duplicate')).toHaveLength(49)
    expect(await store.effects()).toEqual(['action'])
  })

  test('actions and compensations that race leave both effects or neither', async () => {
    for (let round = 0; round < 5; round += 1) {
      gid = randomUUID()
      await store.run('delete from effect')
      const calls = Array.from({ length: 50 }, (_, index) => (index % 2 === 0 ? 'action' : 'compensate'))
      const settle = async (op: string): Promise<void> => {
        // As a relay does: what is in progress is asked again.
        while ((await pass(op)) === 'POSTCOMMIT_BRANCH_IN_PROGRESS') await sleep(20)
      }
      await Promise.all(calls.map(settle))
      expect([[], ['action', 'compensate']]).toContainEqual(await store.effects())
    }
  })

  test('a compensation waits for the open action: it undoes it if it commits, and is empty if it does not', async () => {
    for (const commits of [true, false]) {
      gid = randomUUID()
      const [begun, begin] = signal()
      const [mayEnd, end] = signal()
      const action = store.call(branch(gid, 'action'), async (run) => {
        await effect(`action ${commits}`)(run)
        begin()
        await mayEnd
        if (!commits) throw new Error('no')
      })
      await begun
      // The row is there for whoever inserts, and for nobody who looks.
      expect(await store.rows(gid)).toEqual([])
      expect(await said(store.call(branch(gid, 'compensate'), () => {}, { waitMs: 50 }))).toBe(
        'POSTCOMMIT_BRANCH_IN_PROGRESS',
      )
      const compensation = pass('compensate', `undone ${commits}`)
      await sleep(100)
      end()
      await action.catch(() => undefined)
      expect(await compensation).toBe(commits ? false : 'empty')
    }
    expect(await store.effects()).toEqual(['action true', 'undone true'])
  })

  test.each(['repeatable read', 'serializable'] as const)('holds at %s', async (isolationLevel) => {
    const attempt = () => said(store.call(branch(gid, 'action'), effect('action'), { isolationLevel }))
    const answers = await Promise.all(Array.from({ length: 10 }, attempt))
    expect(answers.filter((answer) => answer === false)).toHaveLength(1)
    const others = new Set(answers.filter((answer) => answer !== false))
    expect([...others].every((answer) => answer === 'duplicate' || answer === 'POSTCOMMIT_BRANCH_IN_PROGRESS')).toBe(
      true,
    )
    expect(await attempt()).toBe('duplicate')
    expect(await store.effects()).toEqual(['action'])
  })

  describe('in a transaction of the user', () => {
    test('the effect is committed with the transaction', async () => {
      const handle = () =>
        store.transaction((tx, run) => said(branch(gid, 'action').run(tx, () => effect('action')(run))))
      expect(await handle()).toBe(false)
      expect(await handle()).toBe('duplicate')
      expect(await store.effects()).toEqual(['action'])
    })

    test('or rolled back with it', async () => {
      const handle = store.transaction(async (tx, run) => {
        await branch(gid, 'action').run(tx, () => effect('action')(run))
        throw new Error('later')
      })
      await expect(handle).rejects.toThrow('later')
      expect(await store.rows(gid)).toEqual([])
      expect(await pass('compensate')).toBe('empty')
    })

    test('outside of one it is refused', async () => {
      let outside: object | undefined
      await store.transaction(async (tx) => {
        outside = tx
      })
      const escaped = branch(gid, 'action').run(outside ?? {}, () => undefined)
      await expect(escaped).rejects.toThrow()
      expect(await store.rows(gid)).toEqual([])
    })

    test('it does not wait for ever, and leaves the time-outs of the transaction as they were', async () => {
      await store.transaction(async (tx) => {
        await branch(gid, 'action').run(tx, () => undefined)
        expect(await said(store.call(branch(gid, 'action'), () => undefined, { waitMs: 100 }))).toBe(
          'POSTCOMMIT_BRANCH_IN_PROGRESS',
        )
      })
    })
  })

  test.each(['a b', '', 'x'.repeat(65), "'"])('an id of %j is refused', async (id) => {
    expect(await said(store.call(branch(gid, 'action'), () => undefined, { id }))).toBe('POSTCOMMIT_INVALID_OPTIONS')
  })

  test.each([0, 1.5, 60_001])('waiting for %d ms is refused', async (waitMs) => {
    expect(await said(store.call(branch(gid, 'action'), () => undefined, { waitMs }))).toBe(
      'POSTCOMMIT_INVALID_OPTIONS',
    )
  })
})
