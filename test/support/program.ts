import { spawn } from 'node:child_process'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { inject } from 'vitest'
import { builtPackages } from './built-packages.ts'
import { recordProcess } from './leftovers.ts'
import { repositoryFolder } from './repository-folder.ts'

/** How a program ended. */
export interface ProgramExit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A program of the tests or the examples, running as a process of its own. */
export interface Program {
  readonly pid: number
  /** What it wrote to stdout and stderr so far, line by line. */
  readonly lines: readonly string[]
  /** Resolves with the first line that matches, also one that was written before. Rejects if the program ends first. */
  waitForLine(pattern: RegExp, options?: WaitForLineOptions): Promise<RegExpExecArray>
  /** Writes a line to its stdin. */
  send(line: string): void
  /** Sends a signal (default SIGKILL) to this process and no other, and resolves when it has ended. */
  kill(signal?: NodeJS.Signals): Promise<ProgramExit>
  /** SIGSTOP */
  pause(): void
  /** SIGCONT */
  resume(): void
  readonly exit: Promise<ProgramExit>
  /** Kills it unless it has ended. */
  [Symbol.asyncDispose](): Promise<void>
}

/** What {@link Program.waitForLine} accepts. */
interface WaitForLineOptions {
  /** Default 10000. */
  readonly timeoutMs?: number
  /** Ignores lines before this index, to wait for something that is said repeatedly. Default 0. */
  readonly from?: number
}

/**
 * Starts a TypeScript or JavaScript file of this repository as a Node process. What it imports from `postcommit` and
 * `@postcommit/relay` are the built packages, as with users.
 *
 * @param file - relative to the repository's root
 * @param env - added to this process's environment
 * @param cwd - where it runs; default the repository's root
 */
export async function spawnProgram(
  file: string,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
  cwd: string = repositoryFolder,
): Promise<Program> {
  await builtPackages()
  const loader = file.endsWith('.ts') ? ['--import', 'tsx'] : []
  const child = spawn(process.execPath, [...loader, resolve(repositoryFolder, file), ...args], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const exit = new Promise<ProgramExit>((settle, fail) => {
    child.once('error', fail)
    // Not 'exit': the last lines of the output come after it.
    child.once('close', (code, signal) => settle({ code, signal }))
  })
  // It may have ended before it reads what it is sent.
  child.stdin.on('error', () => {})
  const pid = child.pid ?? 0
  recordProcess(inject('testFolder'), pid)
  const lines: string[] = []
  const watchers = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line)
      for (const watch of watchers) watch()
    })
  }
  const kill = async (signal: NodeJS.Signals = 'SIGKILL') => {
    child.kill(signal)
    return exit
  }
  return {
    pid,
    lines,
    exit,
    kill,
    waitForLine: (pattern, options) => waitForLine({ file, lines, watchers, exit }, pattern, options),
    send: (line) => child.stdin.write(`${line}\n`),
    pause: () => child.kill('SIGSTOP'),
    resume: () => child.kill('SIGCONT'),
    [Symbol.asyncDispose]: async () => {
      await kill()
    },
  }
}

interface Output {
  readonly file: string
  readonly lines: readonly string[]
  readonly watchers: Set<() => void>
  readonly exit: Promise<ProgramExit>
}

function waitForLine(
  { file, lines, watchers, exit }: Output,
  pattern: RegExp,
  { timeoutMs = 10_000, from = 0 }: WaitForLineOptions = {},
): Promise<RegExpExecArray> {
  return new Promise((found, fail) => {
    let next = from
    const look = () => {
      for (; next < lines.length; next += 1) {
        const match = pattern.exec(lines[next] ?? '')
        if (match !== null) return finish(() => found(match))
      }
    }
    const giveUp = (why: string) => {
      look()
      finish(() => fail(new Error(`${file} ${why} ${pattern}. It wrote:\n${lines.join('\n')}`)))
    }
    const timer = setTimeout(() => giveUp(`did not within ${timeoutMs} ms write`), timeoutMs)
    const finish = (settle: () => void) => {
      clearTimeout(timer)
      watchers.delete(look)
      settle()
    }
    watchers.add(look)
    look()
    exit.then(
      ({ code, signal }) => giveUp(`ended (${signal ?? code}) before it wrote`),
      (error: unknown) => giveUp(`could not be started (${String(error)}) and did not write`),
    )
  })
}
