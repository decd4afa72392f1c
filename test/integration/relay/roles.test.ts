import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createRelay } from '@postcommit/relay'
import pg from 'pg'
import { createInbox, createOutbox } from 'postcommit'
import { purgeBarrier } from 'postcommit/barrier'
import { parseGid } from 'postcommit/protocol'
import { expect, test } from 'vitest'
import { applyMigrations } from '../../../relay/store/migrate.ts'
import { selectMissingPrivileges } from '../../../relay/store/server/select-missing-privileges.ts'
import { selectCommitTrace } from '../../../src/store/select-commit-trace.ts'
import { database } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { repositoryFolder } from '../../support/repository-folder.ts'

test('the roles of docs/operations.md can do what a relay and a service do, and the service cannot read the log', async () => {
  await using db = await database({ migrated: false })
  const suffix = randomUUID().slice(0, 8)
  const [relayRole, appRole] = [`shop_relay_${suffix}`, `shop_app_${suffix}`]
  const page = await readFile(join(repositoryFolder, 'docs/operations.md'), 'utf8')
  const [roles = '', grants = ''] = [...page.matchAll(/```sql\n([\s\S]*?)```/g)].map(([, sql = '']) =>
    sql
      .replaceAll('database shop', `database ${db.name}`)
      .replaceAll('shop_relay', relayRole)
      .replaceAll('shop_app', appRole),
  )
  const as = (user: string) => {
    const url = new URL(db.url)
    url.username = user
    url.password = 'p'
    return url.href
  }
  await db.pool.query(`${roles} alter role ${relayRole} password 'p'; create role ${appRole} login password 'p'`)
  const relayPool = new pg.Pool({ connectionString: as(relayRole) })
  const appPool = new pg.Pool({ connectionString: as(appRole) })
  const delivered: string[] = []
  const relay = createRelay({
    db: relayPool,
    handlers: { stock: async ({ target }) => delivered.push(target) },
  })
  try {
    const client = await relayPool.connect()
    await applyMigrations(client, 'main')
    expect(await selectMissingPrivileges(client)).toEqual([])
    client.release()
    await db.pool.query(grants)

    await relay.start()
    const outbox = createOutbox({ db: appPool })
    await outbox.commit((_, message) => message.publish('a.b', 1, { key: 'k' }))
    for (const duplicated of [false, true]) {
      const work = () => outbox.commit((_, message) => message.call('stock', '/deduct', 1), { gid: 'mine' })
      expect(await work()).toMatchObject({ duplicated })
    }
    await eventually(() => expect(delivered).toEqual(['/deduct']))
    const inbox = createInbox({ db: appPool, consumer: 'stock' })
    await inbox.once({ gid: 'g1', branch: 1, content: '1' }, () => undefined)
    await relayPool.query(`update postcommit.barrier set created_at = now() - interval '1 day'`)
    expect(await inbox.purge({ olderThanMs: 1000 })).toBe(1)
    expect(await purgeBarrier(appPool, { olderThanMs: 1000 })).toBe(0)
    for (const table of ['outbox', 'delivery']) {
      const reading = appPool.query(`select payload from postcommit.${table}`)
      await expect(reading).rejects.toMatchObject({ code: '42501' })
    }
    const { text, values } = selectCommitTrace(parseGid('mine'), '1')
    expect((await appPool.query(text, [...values])).rows).toEqual([{ found: true, standby: false }])
    expect(await selectMissingPrivileges(appPool)).toContain('update on position')
  } finally {
    await relay.stop()
    await Promise.all([relayPool.end(), appPool.end()])
    await db.pool.query(
      [relayRole, appRole]
        .map((role) => `reassign owned by ${role} to current_user; drop owned by ${role}; drop role ${role}`)
        .join(';'),
    )
  }
})
