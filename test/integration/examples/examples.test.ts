import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, inject, test } from 'vitest'
import { database } from '../../support/database.ts'
import { spawnProgram } from '../../support/program.ts'
import { repositoryFolder } from '../../support/repository-folder.ts'

const UUID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g
const examples = readdirSync(join(repositoryFolder, 'examples')).filter((name) => /^\d\d-/.test(name))
/** With which arguments an example is run, each time with the same transcript; default: once, with none. */
const VARIANTS: Readonly<Record<string, readonly (readonly string[])[]>> = { '03-mall': [[], ['--mariadb']] }
const runs = examples.flatMap((example) => (VARIANTS[example] ?? [[]]).map((args) => ({ example, args })))

/** Ids are different each time; which is which must be the same. */
function withNumberedIds(lines: readonly string[]): string {
  const ids: string[] = []
  const numbered = lines.map((line) =>
    line.replace(UUID, (id) => {
      if (!ids.includes(id)) ids.push(id)
      return `<id ${ids.indexOf(id) + 1}>`
    }),
  )
  return `${numbered.join('\n')}\n`
}

test('there are examples', () => {
  expect(examples).toContain('01-outbox')
})

test.each(runs)(
  '$example $args writes what its transcript says, the second time too',
  { timeout: 300_000 },
  async ({ example, args }) => {
    const expected = readFileSync(join(repositoryFolder, 'examples', example, 'expected.txt'), 'utf8')
    await using db = await database()
    for (const _ of ['first', 'second']) {
      const env = { DATABASE_URL: db.url, MARIADB_URL: inject('mariadbUrl') }
      await using program = await spawnProgram(`examples/${example}/main.ts`, args, env)
      await expect(program.exit).resolves.toEqual({ code: 0, signal: null })
      expect(withNumberedIds(program.lines)).toBe(expected)
    }
  },
)
