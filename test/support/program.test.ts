import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { privateFolder } from './private-servers.ts'
import { type Program, spawnProgram } from './program.ts'

async function start(source: string, env?: Record<string, string>): Promise<Program> {
  const file = join(await privateFolder('program'), 'program.mjs')
  await writeFile(file, source)
  return spawnProgram(file, ['an argument'], env)
}

test('its lines, arguments, environment and exit code arrive', async () => {
  const program = await start(
    `console.log('started ' + process.argv[2] + ' ' + process.env.NAME)
     process.stdin.once('data', (data) => { console.error('heard ' + data); process.exitCode = 3; process.stdin.destroy() })`,
    { NAME: 'a name' },
  )
  const [, said] = await program.waitForLine(/started (.*)/)
  expect(said).toBe('an argument a name')
  program.send('hello')
  await expect(program.exit).resolves.toEqual({ code: 3, signal: null })
  expect(program.lines).toContain('heard hello')
})

test('it resolves the built packages', async () => {
  const program = await spawnProgram('test/support/fixtures/prints-entries.ts')
  await program.exit
  expect(program.lines[0]).toMatch(/\/dist\/index\.js$/)
  expect(program.lines[1]).toMatch(/\/relay\/dist\/dev\/index\.js$/)
})

test('waiting for a line fails with the output when the program ends or the time is up', async () => {
  const brief = await start(`console.log('one'); console.log('two')`)
  await expect(brief.waitForLine(/three/)).rejects.toThrow(/ended \(0\)[\s\S]*one\ntwo/)
  await using endless = await start(`console.log('one'); setInterval(() => {}, 1000)`)
  await expect(endless.waitForLine(/two/, { timeoutMs: 500 })).rejects.toThrow(/within 500 ms[\s\S]*one/)
})

test('it can be killed, also while it is paused', async () => {
  const program = await start(`console.log('up'); setInterval(() => console.log('tick'), 10)`)
  await program.waitForLine(/tick/)
  program.pause()
  await expect(program.kill()).resolves.toEqual({ code: null, signal: 'SIGKILL' })
})
