import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { commandLineOf, descendantsOf, isRunning, type ProcessEntry } from '../../relay/dev/process-table.ts'
import { eventually } from '../support/eventually.ts'
import { type Program, spawnProgram } from '../support/program.ts'

const DEMO = 'examples/demo/main.ts'

/** What the demo has started, in the middle of it. */
async function castOf(demo: Program): Promise<readonly ProcessEntry[]> {
  await demo.waitForLine(/customers order/, { timeoutMs: 30_000 })
  await sleep(300)
  return descendantsOf(demo.pid)
}

// In this order: each demo ends what the one before could not.
test('killed with SIGKILL, it takes its programs with it', async () => {
  await using demo = await spawnProgram(DEMO)
  const programs = (await castOf(demo)).filter(({ pid }) => commandLineOf(pid).includes('preload.js'))
  expect(programs.length).toBe(5)
  await demo.kill('SIGKILL')
  await eventually(() => expect(programs.filter(isRunning)).toEqual([]))
})

test('interrupted, it leaves no process behind', async () => {
  await using demo = await spawnProgram(DEMO)
  const cast = await castOf(demo)
  expect(cast.length).toBeGreaterThan(7)
  await expect(demo.kill('SIGINT')).resolves.toEqual({ code: 130, signal: null })
  await eventually(() => expect(cast.filter(isRunning)).toEqual([]))
})

test('left alone, it ends well and says so in its last lines', async () => {
  await using demo = await spawnProgram(DEMO)
  await expect(demo.exit).resolves.toEqual({ code: 0, signal: null })
  const [effects = '', faults = ''] = demo.lines.slice(-2)
  expect(effects).toMatch(/^orders ([1-9]\d*) = handler effects \1 = subscriber effects \1$/)
  expect(faults).toBe('lost 0, phantom 0, duplicates in effect 0')
  expect(demo.lines.filter((line) => line.includes('KILL   order service')).length).toBe(3)
  expect(demo.lines.filter((line) => line.includes('KILL   relay-')).length).toBe(1)
})
