/** The cast: two banks and the relay, each a process of its own. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '@postcommit/relay/dev'
import { compilePrograms } from '../shop/compile.ts'
import { POSTCOMMIT } from '../shop/postcommit.ts'
import { createProgram, type Environment, type Program } from '../shop/program.ts'
import type { Addresses } from './databases.ts'

/** Both banks, and who carries transfers between them. */
export interface Cast {
  readonly north: Program
  readonly south: Program
  readonly relay: Program
  readonly relayUrl: string
  /** What the banks have done or refused, in the order in which they did. */
  readonly journal: string
}

const BANK = fileURLToPath(new URL('./bank/', import.meta.url))
/** How long the relay waits for the answer of a bank; a call that is given up is made again. */
const CALL_TIMEOUT_MS = 20_000

/** Casts the processes, which do not run yet; their logs and the relay's configuration are in `folder`. */
export async function castProcesses(folder: string, databases: Addresses): Promise<Cast> {
  mkdirSync(folder, { recursive: true })
  const journal = join(folder, 'journal.txt')
  writeFileSync(journal, '')
  const compiled = await compilePrograms(BANK)
  // Loaded first by each program, so that it ends with this one.
  const preload = join(await compilePrograms(), 'preload.js')
  const ports = { relay: await freePort(), north: await freePort(), south: await freePort() }
  const program = (name: string, file: string, ready: RegExp, args: readonly string[], env: Environment) =>
    createProgram({ name, file, preload, args, env, ready, logFile: join(folder, `${name}.log`) })
  const bank = (name: 'north' | 'south') =>
    program(name, join(compiled, 'bank.js'), /^ready/, [], {
      PORT: String(ports[name]),
      DATABASE_URL: databases[name],
      JOURNAL: journal,
    })
  const config = join(folder, 'postcommit.json')
  const destination = (name: 'north' | 'south') => ({
    url: `http://127.0.0.1:${ports[name]}`,
    timeoutMs: CALL_TIMEOUT_MS,
  })
  const settings = {
    databases: { main: { url: databases.relay } },
    coordinator: { database: 'main' },
    destinations: { north: destination('north'), south: destination('south') },
    // On loopback alone; a relay that others can reach wants keys, and banks that others can reach want signed calls.
    api: { port: ports.relay, auth: 'none' },
    http: { enabled: false },
    log: { format: 'text' },
  }
  writeFileSync(config, JSON.stringify(settings, undefined, 2))
  return {
    north: bank('north'),
    south: bank('south'),
    relay: program('relay', POSTCOMMIT, /every source is being served/, ['run', '--config', config], {}),
    relayUrl: `http://127.0.0.1:${ports.relay}`,
    journal,
  }
}
