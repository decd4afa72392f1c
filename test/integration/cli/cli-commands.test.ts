import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createOutbox, type MessageDraft } from 'postcommit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { database, type TestDatabase } from '../../support/database.ts'
import { runCli } from '../../support/run-cli.ts'

let db: TestDatabase
let cwd: string

beforeAll(async () => {
  db = await database()
  cwd = await mkdtemp(join(tmpdir(), 'postcommit-cli-'))
})
afterAll(async () => {
  await db.drop()
  await rm(cwd, { recursive: true })
})

const run = (...args: string[]) => runCli(args, { cwd, env: { DATABASE_URL: db.url } })
const json = async (...args: string[]) => {
  const result = await run(...args, '--json')
  return { ...result, document: JSON.parse(result.stdout) }
}

async function commit(add: (message: MessageDraft) => unknown): Promise<string> {
  const { gid } = await createOutbox({ db: db.pool, wake: 'off' }).commit((_, message) => add(message))
  return gid
}

/** A dead letter and a message that it holds back. */
async function plantDeadLetter() {
  const dead = await commit((message) => message.call('stock', '/deduct', { n: 1 }, { key: 'k' }))
  const held = await commit((message) => message.call('stock', '/deduct', { n: 2 }, { key: 'k' }))
  await db.pool.query(
    `update postcommit.delivery set state = case gid when $1 then 'dead' else 'held' end, attempts = 8,
last_error = 'answered 404 8 times', last_status = 404 where gid in ($1, $2)`,
    [dead, held],
  )
  return { dead, held }
}

describe('exit codes and errors', () => {
  test.each([
    [['lst'], 2, "error: unknown command 'lst'\n(Did you mean list?)"],
    [['list', '--stte', 'dead'], 2, "error: unknown option '--stte'\n(Did you mean --state?)"],
    [['list', '--state', 'lost'], 2, 'States are waiting, published, pending, held, confirmed, dead, discarded.'],
    [['list', '--source', 'billing'], 2, 'error: there is no database billing; configured are main'],
    [['inspect', '../etc/passwd'], 2, 'POSTCOMMIT_INVALID_GID'],
    [['dead-letter', 'requeue'], 2, 'error: name the messages, or give --all'],
    [['dead-letter', 'discard', '--all'], 2, "error: required option '--reason <text>' not specified"],
    [['run', '--http-prt', '1'], 2, '(Did you mean --http-port?)'],
    [
      ['status', '--database-url', 'postgres://u:hunter2@127.0.0.1:1/x'],
      3,
      'cannot connect to the database main: connect ECONNREFUSED',
    ],
  ])('postcommit %j ends with %i', async (args, code, text) => {
    const result = await run(...args)
    expect(result.stderr).toContain(text)
    expect(result.stderr).not.toMatch(/^\s+at /m)
    expect(result.stderr).not.toContain('hunter2')
    expect(result.code).toBe(code)
  })

  test('with --json an error is a document on stderr, and --verbose shows the cause', async () => {
    const result = await run('status', '--database-url', 'postgres://127.0.0.1:1/x', '--json', '--verbose')
    const [line = '', ...stack] = result.stderr.split('\n')
    expect(JSON.parse(line)).toMatchObject({ error: { code: 'POSTCOMMIT_DATABASE_UNREACHABLE' } })
    expect(stack.join('\n')).toMatch(/caused by Error: connect ECONNREFUSED/)
    expect(result.stdout).toBe('')
  })

  test('without a database nothing is guessed', async () => {
    const result = await runCli(['status'], { cwd })
    expect(result.code).toBe(2)
    expect(result.stderr).toContain('databases: no database is named')
  })

  test('a database without the schema is told the command that mends it', async () => {
    await using empty = await database({ migrated: false })
    const result = await runCli(['status'], { cwd, env: { DATABASE_URL: empty.url } })
    expect(result).toMatchObject({ code: 1, stdout: '' })
    expect(result.stderr).toContain('Run: postcommit migrate (POSTCOMMIT_MIGRATION_PENDING)')
  })
})

describe('check-config', () => {
  test('shows every value with its source, and no secret', async () => {
    await writeFile(
      join(cwd, 'checked.json'),
      JSON.stringify({
        databases: { shop: { url: `postgres://relay:${'$'}{PW}@127.0.0.1/shop` } },
        destinations: {
          stock: { url: 'http://127.0.0.1:3000', secrets: [`whsec_${'aHVudGVyMmh1bnRlcjJodW50ZXIyISEh'}`] },
        },
      }),
    )
    const result = await runCli(['check-config', '--config', 'checked.json', '--lease-ms', '12000'], {
      cwd,
      env: { PW: 'hunter2', POSTCOMMIT_LOG_LEVEL: 'debug' },
    })
    expect(result.code).toBe(0)
    expect(result.stdout).not.toMatch(/hunter2|aHVudGVy/)
    expect(result.stdout).toMatch(
      /^databases\.shop\.url +postgres:\/\/relay:\*\*\*@127\.0\.0\.1\/shop +checked\.json$/m,
    )
    expect(result.stdout).toMatch(/^leaseMs +12000 +--lease-ms$/m)
    expect(result.stdout).toMatch(/^log\.level +debug +POSTCOMMIT_LOG_LEVEL$/m)
    expect(result.stdout).toMatch(/^http\.port +4780 +default$/m)
  })

  test('lists all problems and ends with 2', async () => {
    const result = await run('check-config', '--http-port', '99999', '--retention-ms', 'long')
    expect(result.code).toBe(2)
    expect(result.stderr).toContain('http.port (--http-port): must be at most 65535')
    expect(result.stderr).toContain('retentionMs (--retention-ms): must be a whole number')
  })

  test('prints a JSON Schema for editors', async () => {
    const schema = JSON.parse((await run('check-config', '--schema')).stdout)
    expect(schema.properties.retentionMs).toMatchObject({ type: 'integer', minimum: 600_000 })
  })
})

describe('status, list, inspect', () => {
  test('tell where each message is, in text and as documents', async () => {
    const { dead, held } = await plantDeadLetter()
    const published = await commit((message) => message.publish('order.placed', { n: 3 }, { key: 'k' }))

    const status = await run('status')
    expect(status.code).toBe(0)
    expect(status.stdout).toMatch(/1 waiting for the broker/)
    expect(status.stdout).toMatch(/stock +dead +1/)
    expect(status.stdout).toMatch(/Relays: none is running/)

    const { document } = await json('list', '--state', 'dead,held')
    expect(document.sources[0].messages).toMatchObject([
      { gid: held, state: 'held' },
      { gid: dead, state: 'dead', attempts: 8, lastError: 'answered 404 8 times' },
    ])

    expect((await run('inspect', held)).stdout).toContain(`Held behind ${dead}:1 (dead) of the same key k.`)
    expect((await run('inspect', `${dead}:1`)).stdout).toContain(`postcommit dead-letter requeue ${dead}:1`)
    const waiting = await run('inspect', published)
    expect(waiting.stdout).toContain('Waiting: no relay has read it yet, because no relay is running.')
    expect(waiting.stdout).not.toContain('{"n":3}')
    expect((await run('inspect', published, '--payload')).stdout).toContain('{"n":3}')

    const unknown = await json('inspect', '01a1fe11-d913-7d9f-8166-1d61a3cf8325')
    expect(unknown).toMatchObject({ code: 1, document: { messages: [] } })
  })
})

describe('dead-letter', () => {
  test('lists, requeues in place and discards with a reason that is kept', async () => {
    await db.pool.query('truncate postcommit.delivery cascade')
    const first = await plantDeadLetter()
    expect((await run('dead-letter', 'list')).stdout).toContain(`${first.dead}:1`)

    const dry = await run('dead-letter', 'requeue', '--all', '--dry-run')
    expect(dry.stdout).toContain('Would requeue 1 dead letter.')
    expect((await json('dead-letter', 'list')).document.deadLetters).toHaveLength(1)

    const requeued = await json('dead-letter', 'requeue', first.dead, '--actor', 'ann')
    expect(requeued).toMatchObject({ code: 0, document: { requeued: [`${first.dead}:1`] } })
    expect((await run('dead-letter', 'requeue', first.dead)).code).toBe(1)
    const { document } = await json('inspect', first.dead)
    expect(document.messages[0]).toMatchObject({ state: 'pending', history: [{ event: 'requeued', actor: 'ann' }] })

    const second = await plantDeadLetter()
    await db.pool.query(`update postcommit.delivery set key = 'other' where gid in ($1, $2)`, [
      second.dead,
      second.held,
    ])
    const discarded = await run(
      'dead-letter',
      'discard',
      `${second.dead}:1`,
      '--reason',
      'a test order',
      '--actor',
      'ann',
    )
    expect(discarded.stdout).toContain('Discarded 1 dead letter.')
    expect((await run('inspect', second.dead)).stdout).toContain('Discarded by ann and not delivered: a test order')
    expect((await json('inspect', second.held)).document.messages[0].state).toBe('pending')

    const { document: noted } = await json('dead-letter', 'acts')
    expect(noted.sources).toMatchObject([
      {
        source: 'main',
        before: null,
        acts: [
          { act: 'discard', actor: 'ann', reason: 'a test order', messages: 1 },
          { act: 'requeue', actor: 'ann', reason: 'the cause is fixed', messages: 1 },
        ],
      },
    ])
    expect((await run('dead-letter', 'acts')).stdout).toMatch(/discard +1 +ann .*a test order/)
  })
})

describe('migrate', () => {
  test('says what is missing, prints it, applies it, and finds nothing to do again', async () => {
    await using empty = await database({ migrated: false })
    const migrate = (...args: string[]) => runCli(['migrate', ...args], { cwd, env: { DATABASE_URL: empty.url } })
    expect(await migrate('--status')).toMatchObject({ code: 1, stdout: expect.stringMatching(/0001-outbox +missing/) })
    const sql = (await migrate('--dry-run')).stdout
    expect(sql).toContain('create table postcommit.delivery')
    expect((await migrate()).stdout).toMatch(/^main: applied 0001-outbox, 0002-delivery/)
    expect((await migrate()).stdout).toMatch(/^main: up to date at \d{4}-/)
    expect(await migrate('--status')).toMatchObject({ code: 0 })
    expect((await migrate('--dry-run')).stdout).toBe('-- main: nothing is missing\n')
  })

  test('the printed SQL makes the same schema by other means', async () => {
    await using empty = await database({ migrated: false })
    const { stdout } = await runCli(['migrate', '--sql'], { cwd })
    await empty.pool.query(stdout)
    const status = await runCli(['migrate', '--status', '--json'], { cwd, env: { DATABASE_URL: empty.url } })
    expect(JSON.parse(status.stdout).databases[0].pending).toEqual([])
  })

  test('cuts the log into shards, and says why it cannot go back', async () => {
    await using other = await database()
    const migrate = (...args: string[]) => runCli(['migrate', ...args], { cwd, env: { DATABASE_URL: other.url } })
    expect((await migrate('--shards', '4')).stdout).toContain('the log has 4 shards')
    expect(await migrate('--shards', '2')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('there are 4 shards'),
    })
    expect(await migrate('--shards', '3')).toMatchObject({ code: 2 })
  })

  test('rebase has nothing to do in the cluster that wrote the log, and mends one that did not', async () => {
    await using other = await database()
    const rebase = () => runCli(['rebase'], { cwd, env: { DATABASE_URL: other.url } })
    expect(await rebase()).toMatchObject({ code: 1, stdout: expect.stringContaining('there is nothing to rebase') })
    await createOutbox({ db: other.pool, wake: 'off' }).commit((_, message) => message.publish('a.b', 1))
    await other.pool.query('update postcommit.installation set system_identifier = 1')
    expect(await rebase()).toMatchObject({
      code: 0,
      stdout: 'main: rebased; 1 messages are to be published; relays may be started.\n',
    })
    expect(await rebase()).toMatchObject({ code: 1 })
  })
})

describe('doctor', () => {
  test('finds a healthy database healthy, and says what to do about the rest', async () => {
    await using other = await database()
    const doctor = () => runCli(['doctor', '--json'], { cwd, env: { DATABASE_URL: other.url } })
    const healthy = await doctor()
    expect(healthy.code).toBe(0)
    expect(JSON.parse(healthy.stdout).checks).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ about: 'main', name: 'drift', status: 'ok' }),
        expect.objectContaining({ about: 'main', name: 'direct connection', status: 'ok' }),
        expect.objectContaining({ about: 'main', name: 'relays', status: 'warn', action: 'Start one: postcommit run' }),
        expect.objectContaining({ about: 'nats', name: 'connection', status: 'warn' }),
      ]),
    )
    await other.pool.query(
      'drop index postcommit.delivery_due; update postcommit.installation set system_identifier = 1',
    )
    const ill = await doctor()
    expect(ill.code).toBe(1)
    const failed = JSON.parse(ill.stdout).checks.filter(({ status }: { status: string }) => status === 'fail')
    expect(failed).toMatchObject([
      { name: 'drift', detail: 'missing or invalid: delivery_due' },
      { name: 'cluster', action: 'Run: postcommit rebase' },
    ])
  })

  test('names the destinations and brokers that do not answer', async () => {
    const result = await runCli(['doctor', '--nats-servers', '127.0.0.1:1'], {
      cwd,
      env: { DATABASE_URL: db.url, POSTCOMMIT_DESTINATIONS: '{"stock":{"url":"http://127.0.0.1:1"}}' },
    })
    expect(result.code).toBe(1)
    expect(result.stdout).toMatch(/fail +destination stock +reachable +http:\/\/127\.0\.0\.1:1: connect ECONNREFUSED/)
    expect(result.stdout).toMatch(/fail +nats +connection/)
  })

  test('ends with 3 if the database does not answer, and tells the rest', async () => {
    const result = await runCli(['doctor'], { cwd, env: { DATABASE_URL: 'postgres://127.0.0.1:1/x' } })
    expect(result).toMatchObject({
      code: 3,
      stdout: expect.stringMatching(/fail +main +connection +connect ECONNREFUSED/),
    })
  })
})
