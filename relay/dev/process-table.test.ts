import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { afterEach, expect, test, vi } from 'vitest'
import { commandLineOf, descendantsOf, findProcess, isRunning } from './process-table.ts'

const cleanUp: Array<() => void> = []

afterEach(() => {
  for (const each of cleanUp.splice(0)) each()
})

function startShell(script: string): number {
  const child = spawn('sh', ['-c', script], { stdio: 'ignore' })
  cleanUp.push(() => child.kill('SIGKILL'))
  return child.pid ?? 0
}

test('finds this process under its parent', () => {
  expect(findProcess(process.pid)).toMatchObject({ pid: process.pid, parentPid: process.ppid, ended: false })
  expect(commandLineOf(process.pid)).toContain('node')
})

test('does not find a process that has ended, and tells it from a later one with its pid', async () => {
  const child = spawn('true')
  await once(child, 'exit')
  expect(findProcess(child.pid ?? 0)).toBeUndefined()
  expect(commandLineOf(child.pid ?? 0)).toBe('')
  const self = findProcess(process.pid)
  expect(isRunning({ pid: process.pid, startedAt: self?.startedAt ?? '' })).toBe(true)
  expect(isRunning({ pid: process.pid, startedAt: 'earlier' })).toBe(false)
})

test('finds the children of children', async () => {
  const pid = startShell('(sleep 60; true) & sleep 60; true')
  cleanUp.unshift(() => {
    for (const each of descendantsOf(pid)) process.kill(each.pid, 'SIGKILL')
  })
  await vi.waitFor(() => expect(descendantsOf(pid).map((each) => commandLineOf(each.pid))).toContain('sleep 60'))
  await vi.waitFor(() => expect(descendantsOf(pid)).toHaveLength(3))
})

test('takes a zombie for ended', async () => {
  // sleep never asks what became of the child that the shell left it.
  const pid = startShell('true & exec sleep 60')
  await vi.waitFor(() => expect(commandLineOf(pid)).toBe('sleep 60'))
  await vi.waitFor(() => expect(descendantsOf(pid)).toEqual([]))
})

const hasPython = process.platform === 'linux' && spawnSync('python3', ['--version']).status === 0

test.skipIf(!hasPython)('does not take a program for ended whose other threads still run', async () => {
  const program = [
    'import ctypes, threading, time',
    'threading.Thread(target=time.sleep, args=(60,)).start()',
    'ctypes.CDLL(None).pthread_exit(None)',
  ]
  const child = spawn('python3', ['-c', program.join('\n')], { stdio: 'ignore' })
  cleanUp.push(() => child.kill('SIGKILL'))
  const pid = child.pid ?? 0
  const state = () =>
    readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .at(0)
  await vi.waitFor(() => expect(state()).toBe('Z'), { timeout: 10_000 })
  expect(findProcess(pid)).toMatchObject({ pid, ended: false })
  child.kill('SIGKILL')
  await vi.waitFor(() => expect(findProcess(pid)).toBeUndefined())
})
