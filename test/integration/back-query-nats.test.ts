import { createRelay } from '@postcommit/relay'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { gidOf, messageTo } from '../support/coordinators.ts'
import { database } from '../support/database.ts'
import { nats } from '../support/nats.ts'

test('a service is asked over NATS, and a branch is a message of JetStream', async () => {
  await using db = await database()
  await using server = await nats()
  const stream = await server.freshStream()
  const asked: string[] = []
  const subject = `asked-${stream.prefix}`
  server.connection.subscribe(subject, {
    callback(_, message) {
      const question = message.json<{ gid: string; nonce: string }>()
      asked.push(question.gid)
      const outcome = question.gid.startsWith('lost') ? 'aborted' : 'committed'
      message.respond(JSON.stringify({ gid: question.gid, nonce: question.nonce, outcome }))
    },
  })
  const relay = createRelay({
    db: db.url,
    nats: { connection: { servers: server.url } },
    coordinator: { database: 'main' },
    log: pino({ level: 'silent' }),
  })
  await relay.start()
  try {
    const { transactions } = relay
    if (transactions === undefined) throw new Error('nothing is coordinated')
    const branches = [
      { branch: 'placed', ops: { action: { subject: `${stream.prefix}.placed` } }, payload: '{"n":1}' },
      { branch: 'paid', ops: { action: { subject: `${stream.prefix}.paid` } }, payload: '{"n":2}' },
    ]
    const [committed, lost] = [gidOf('committed'), gidOf('lost')]
    const backQuery = { target: { destination: 'orders', path: '/' }, checkAfterMs: 300 }
    for (const gid of [committed, lost]) {
      await transactions.perform({ do: 'prepare', gid, transaction: messageTo({ branches, backQuery }) })
    }
    // A question over NATS has no place in a definition yet; it is stored like any other target.
    await db.pool.query(`update postcommit.global_transaction set check_destination = 'nats', check_target = $1`, [
      `nats:${subject}`,
    ])
    expect(await transactions.perform({ do: 'query', gid: committed, waitMs: 10_000 })).toMatchObject({
      outcome: 'done',
    })
    expect(await transactions.perform({ do: 'query', gid: lost, waitMs: 10_000 })).toMatchObject({ outcome: 'failed' })
    expect(asked.sort()).toEqual([committed, lost])
    const { state } = await stream.manager.streams.info(stream.name)
    expect(state.messages).toBe(2)
    const [first, second] = await Promise.all(
      [1, 2].map((seq) => stream.manager.streams.getMessage(stream.name, { seq })),
    )
    expect(first?.header.get('Nats-Msg-Id')).toBe(`${committed}:1`)
    expect(first?.header.get('postcommit-branch-name')).toBe('placed')
    expect(second?.header.get('Nats-Msg-Id')).toBe(`${committed}:2`)
    expect(second?.string()).toBe('{"n":2}')
  } finally {
    await relay.stop()
  }
})
