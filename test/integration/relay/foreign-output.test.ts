import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { runProgram } from '../../../relay/commands/program.ts'
import { createLog } from '../../../relay/observe/log.ts'
import { database } from '../../support/database.ts'
import { allowForeignRows } from '../../support/foreign-rows.ts'

const UNSHOWABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u
const NASTY = 'a\u001b[2J\u009b1m\rb\u202ec\u2066d\ne\u2028f'

async function run(url: string, ...args: string[]): Promise<string[]> {
  const lines: string[] = []
  await runProgram([...args], {
    cwd: '/',
    env: { POSTCOMMIT_DATABASE_URL: url },
    out: (line) => lines.push(line),
    err: (line) => lines.push(line),
    finish: () => undefined,
    end: () => undefined,
    stopSignal: () => AbortSignal.abort(),
  })
  return lines
}

test('no command prints what a row tells a terminal to do, nor a line without end', { timeout: 60_000 }, async () => {
  await using db = await database()
  await allowForeignRows(db.pool)
  const long = NASTY.repeat(400)
  await db.pool.query(
    `insert into postcommit.delivery (gid, branch, destination, target, key, slot, payload, headers, state, last_error)
values ($1, -5, $1, $2, $1, 0, $1, $1, 'dead', $2), ('g', 1, 'nats', $2, $1, 0, $1, $1, 'dead', $2)`,
    [NASTY, long],
  )
  await db.pool.query(
    `insert into postcommit.outbox (gid, branch, topic, key, slot, payload, headers) values ($1, 1, $1, $1, 0, $1, $1)`,
    [long],
  )
  const { rows } = await db.pool.query<{ id: string }>('select min(id) as id from postcommit.delivery')
  const named = `#${rows[0]?.id}`
  const commands = [
    ['list'],
    ['status'],
    ['dead-letter', 'list'],
    ['inspect', 'g', '--payload'],
    ['inspect', named],
    ['dead-letter', 'requeue', named, '--dry-run'],
    ['list', '--gid', NASTY],
  ]
  for (const command of commands) {
    for (const json of [[], ['--json']]) {
      const args = [...command, '--database-url', db.url, ...json]
      const lines = (await run(db.url, ...args)).flatMap((line) => line.split('\n'))
      expect(lines.length, args.join(' ')).toBeGreaterThan(0)
      for (const line of lines) {
        expect(line, args.join(' ')).not.toMatch(UNSHOWABLE)
        if (!command.includes('--payload')) expect(line.length, args.join(' ')).toBeLessThan(13_000)
      }
      // Of a name that nobody can type, the number is shown.
      if (command[0] === 'dead-letter' && json.length === 0) expect(lines.join('\n')).toContain(named)
    }
  }
  const table = await run(db.url, 'list', '--database-url', db.url)
  for (const line of table) expect(line.length).toBeLessThan(700)
})

test.each(['json', 'text'] as const)('the log as %s neither', (format) => {
  const out = new PassThrough()
  const log = createLog({ name: 'r', level: 'info', format }, out)
  log.warn({ gid: NASTY.repeat(400), topic: NASTY, error: NASTY }, `message set aside ${NASTY}`)
  const text = String(out.read())
  expect(text.trimEnd()).not.toMatch(UNSHOWABLE)
  expect(text.length).toBeLessThan(3000)
})
