/** The cast: three services and the relay, each a process of its own, on databases that are made anew. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '@postcommit/relay/dev'
import { compilePrograms } from '../shop/compile.ts'
import { POSTCOMMIT } from '../shop/postcommit.ts'
import { createProgram, type Environment, type Program } from '../shop/program.ts'
import { type Addresses, createDatabases } from './databases.ts'

/** The services. */
export type Service = 'orders' | 'products' | 'users'

/** What a mall is opened with. */
export interface MallOptions {
  /** For the logs and the relay's configuration. */
  readonly folder: string
  readonly postgresUrl: string
  /** Where the services keep their data; undefined: in PostgreSQL too. */
  readonly mariadbUrl?: string | undefined
  /** What the names of the databases begin with, default `mall`. */
  readonly prefix?: string
  /** The address at which the others find a service; default its own. */
  readonly through?: (service: Service, url: string) => string | Promise<string>
}

/** A mall that is open. */
export interface Mall {
  /** Where each is served; the order service is what customers speak to. */
  readonly urls: Readonly<Record<Service | 'relay', string>>
  /** Where each keeps its data. */
  readonly databases: Addresses
  /** With which the relay signs its calls. */
  readonly secret: string
  /** Ends every process. */
  close(): Promise<void>
}

const HOST = '127.0.0.1'
const HERE = dirname(fileURLToPath(import.meta.url))
const END_GRACE_MS = 5000
/** How long the relay waits for the answer of a branch; a call that is given up is made again. */
const CALL_TIMEOUT_MS = 20_000

const PROGRAMS = { orders: 'order-service', products: 'product-service', users: 'user-service' } as const

/** Makes the databases and starts the processes. */
export async function openMall(options: MallOptions): Promise<Mall> {
  const { folder, postgresUrl, mariadbUrl, prefix = 'mall', through = (_, url) => url } = options
  mkdirSync(folder, { recursive: true })
  const databases = await createDatabases(postgresUrl, mariadbUrl, prefix)
  const urls = { relay: await freeUrl(), users: await freeUrl(), orders: await freeUrl(), products: await freeUrl() }
  const secret = `whsec_${randomBytes(32).toString('base64')}`
  const destination = async (of: Service) => ({
    url: await through(of, urls[of]),
    secrets: [secret],
    timeoutMs: CALL_TIMEOUT_MS,
  })
  const config = {
    databases: { main: { url: databases.relay } },
    coordinator: { database: 'main' },
    destinations: { orders: await destination('orders'), products: await destination('products') },
    // On loopback alone; a relay that others can reach wants keys.
    api: { port: Number(new URL(urls.relay).port), auth: 'none' },
    http: { enabled: false },
    log: { format: 'text' },
  }
  const programs = await cast(folder, config, {
    users: { url: urls.users },
    orders: {
      url: urls.orders,
      DATABASE_URL: databases.orders,
      RELAY_URL: urls.relay,
      USER_URL: await through('users', urls.users),
      SECRET: secret,
    },
    products: { url: urls.products, DATABASE_URL: databases.products, SECRET: secret },
  })
  const close = async () => void (await Promise.all(programs.map(endGently)))
  try {
    await Promise.all(programs.map((program) => program.start()))
  } catch (error) {
    await close()
    throw error
  }
  return { urls, databases, secret, close }
}

async function freeUrl(): Promise<string> {
  return `http://${HOST}:${await freePort()}`
}

async function cast(
  folder: string,
  relay: object,
  services: Readonly<Record<Service, Environment & { readonly url: string }>>,
): Promise<readonly Program[]> {
  const compiled = await compilePrograms(HERE)
  // Loaded first by each program, so that it ends with this one.
  const preload = join(await compilePrograms(), 'preload.js')
  const program = (name: string, file: string, ready: RegExp, args: readonly string[], env: Environment): Program =>
    createProgram({ name, file, preload, args, env, ready, logFile: join(folder, `${name}.log`) })
  const config = join(folder, 'postcommit.json')
  writeFileSync(config, JSON.stringify(relay, undefined, 2))
  return [
    program('relay', POSTCOMMIT, /every source is being served/, ['run', '--config', config], {}),
    ...Object.entries(services).map(([of, { url, ...env }]) => {
      const name = PROGRAMS[of as Service]
      return program(name, join(compiled, `${name}.js`), /^ready/, [], { ...env, PORT: new URL(url).port })
    }),
  ]
}

async function endGently(program: Program): Promise<void> {
  const timer = setTimeout(() => void program.end('SIGKILL'), END_GRACE_MS)
  await program.end('SIGTERM')
  clearTimeout(timer)
}
