import { createRelay } from '@postcommit/relay'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { handIn } from '../../relay/coordinator/intake/definition-rows.ts'
import { insertTransactions } from '../../relay/store/transaction/insert-transactions.ts'
import { gidOf, sagaOf } from '../support/coordinators.ts'
import { database } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { httpService } from '../support/http-service.ts'
import { spawnProgram } from '../support/program.ts'

test('a saga goes on within two seconds after the relay that was in the middle of a call was killed', async () => {
  await using db = await database()
  await using service = await httpService((_, __, n) => (n === 1 ? new Promise<number>(() => undefined) : 200))
  const victim = await spawnProgram('test/support/fixtures/coordinating-relay.ts', [db.url, service.url])
  await victim.waitForLine(/coordinating/)
  const gid = gidOf('saga')
  const defaults = { checkAfterMs: 1, deadlineMs: 10_000 }
  await insertTransactions(db.pool, [handIn({ tenant: '', gid }, sagaOf(['order', 'pay']), 'submitted', defaults)])
  await eventually(() => expect(service.calls).toHaveLength(1))
  const successor = createRelay({
    db: db.url,
    destinations: { stock: { url: service.url }, orders: { url: service.url } },
    coordinator: { database: 'main' },
    log: pino({ level: 'silent' }),
  })
  await successor.start()
  try {
    await victim.kill()
    const killedAt = performance.now()
    const ended = await successor.transactions?.perform({ do: 'query', gid, waitMs: 10_000 })
    expect(ended).toMatchObject({ outcome: 'done' })
    expect(performance.now() - killedAt).toBeLessThan(2000)
    expect(service.calls.map(({ path }) => path)).toEqual(['/order', '/order', '/pay'])
  } finally {
    await successor.stop()
  }
})
