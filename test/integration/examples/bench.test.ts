import { mkdtempSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { expect, inject, test } from 'vitest'
import { type Program, spawnProgram } from '../../support/program.ts'

const FAULTY = 'test/bench/fixtures/faulty-bench.ts'

/** Runs one of its cases with a folder for temporary files that is empty. */
async function start(name: string): Promise<{ readonly program: Program; readonly folder: string }> {
  const folder = mkdtempSync(join(inject('testFolder'), 'bench-'))
  return { program: await spawnProgram(FAULTY, ['--quick', '--only', name], { TMPDIR: folder }), folder }
}

/** Neither the worker, nor the servers, nor a file. */
async function expectNothingLeft({ lines }: Program, folder: string): Promise<void> {
  const said = (what: string) => lines.find((line) => line.startsWith(`${what} `))?.slice(what.length + 1)
  const pid = said('worker')
  if (pid !== undefined) expect(() => process.kill(Number(pid), 0)).toThrow('ESRCH')
  await expect(new pg.Client({ connectionString: said('postgres') }).connect()).rejects.toThrow('ECONNREFUSED')
  expect(readdirSync(folder).filter((name) => name.startsWith('postcommit'))).toEqual([])
}

test.for([
  ['opening', /faulty-worker: Error: no luck at opening/],
  ['command', /faulty-worker: Error: no luck in a command/],
  ['death', /faulty-worker ended by exit 7/],
] as const)('a worker that fails at %s fails the bench, which says which one and why', async ([name, why]) => {
  const { program, folder } = await start(name)
  await using _ = program
  expect(await program.exit).toEqual({ code: 1, signal: null })
  expect(program.lines.join('\n')).toContain(`${name} could not be measured`)
  expect(program.lines.join('\n')).toMatch(why)
  await expectNothingLeft(program, folder)
})

test.for([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s ends the bench, its servers and a worker that stands still', async ([signal, code]) => {
  const { program, folder } = await start('endless')
  await using _ = program
  await program.waitForLine(/^waiting$/, { timeoutMs: 30_000 })
  expect(await program.kill(signal)).toEqual({ code, signal: null })
  expect(program.lines.filter((line) => /error/i.test(line))).toEqual([])
  await expectNothingLeft(program, folder)
})

test('a name that there is not ends it with 2 and with those that there are', async () => {
  await using program = await spawnProgram('test/bench/main.ts', ['--only', 'nothing'])
  expect(await program.exit).toEqual({ code: 2, signal: null })
  expect(program.lines[0]).toMatch(/^There is nothing named "nothing"; there is .*drain/)
})
