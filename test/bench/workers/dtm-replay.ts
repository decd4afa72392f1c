/**
 * A server that does for a message or a saga what DTM's does on PostgreSQL: the same requests, statements, transactions
 * and calls of branches, one after the other as there. Branches are written at once, which is its default.
 *
 * What cannot be compared: DTM is written in Go and runs on all processors, this is one thread of JavaScript, as our
 * relay is. In its favour: statements are prepared once for each connection, connections to the database and to the
 * branches stay open (its HTTP client keeps three for each host), nothing is logged, and nothing polls for transactions
 * that are due.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import pg from 'pg'
import { Agent } from 'undici'
import { type DtmBranchRow, DtmStore, type DtmTransaction } from '../dtm-store.ts'
import { serve } from '../serve.ts'

export interface DtmReplayConfig {
  readonly database: string
}

export type DtmReplayCommands = {
  url(): string
  /** Why transactions were left unfinished. */
  failures(): readonly string[]
}

const CONNECTIONS = 64

serve<DtmReplayConfig, DtmReplayCommands>(async ({ database }) => {
  const pool = new pg.Pool({ connectionString: database, max: CONNECTIONS, idleTimeoutMillis: 0 })
  const agent = new Agent({ connections: null, pipelining: 1 })
  const failures: string[] = []
  const store = new DtmStore(pool)

  async function process(gid: string, status: string, branches: readonly DtmBranchRow[], type: string): Promise<void> {
    for (const branch of branches) {
      if (branch.op !== 'action') continue
      const query = new URLSearchParams({ gid, trans_type: type, branch_id: branch.branch_id, op: branch.op })
      const { statusCode, body } = await agent.request({
        ...originAndPath(`${branch.url}?${query}`),
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: branch.bin_data,
      })
      // It looks for its words in the text of every answer.
      const text = await body.text()
      if (statusCode !== 200 || /FAILURE|ONGOING/.test(text)) throw new Error(`${branch.url} answered ${statusCode}`)
      await store.saveBranch(gid, status, branch)
    }
    await store.changeStatus(gid, status, 'succeed')
  }

  const operations: Operations = {
    '/api/dtmsvr/prepare': async (transaction) => {
      await store.saveNew(transaction, 'prepared')
    },
    '/api/dtmsvr/submit': async (transaction) => {
      const { gid, trans_type: type } = transaction
      let branches = await store.saveNew(transaction, 'submitted')
      if (branches === undefined) {
        const known = await store.find(gid)
        if (known?.status !== 'prepared') throw new Error(`current status '${known?.status}', cannot submit`)
        await store.changeStatus(gid, 'prepared', 'submitted')
        branches = await store.findBranches(gid)
      }
      // Not waited for, as there.
      process(gid, 'submitted', branches, type).catch((error: unknown) => failures.push(String(error)))
    },
  }

  const server = serving(operations)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    commands: { url: () => `http://127.0.0.1:${port}`, failures: () => failures.splice(0) },
    async close() {
      server.closeAllConnections()
      server.close()
      await agent.destroy()
      await pool.end()
    },
  }
})

type Operations = Readonly<Record<string, (transaction: DtmTransaction) => Promise<unknown>>>

function serving(operations: Operations): Server {
  const server = createServer((request, response) => {
    void answer(request).then(
      () => response.writeHead(200, { 'content-type': 'application/json' }).end('{"dtm_result":"SUCCESS"}'),
      (error: unknown) => response.writeHead(500).end(JSON.stringify({ message: String(error) })),
    )
  })
  async function answer(request: IncomingMessage): Promise<void> {
    const operation = operations[request.url ?? '']
    if (operation === undefined) throw new Error(`no route ${request.url}`)
    await operation(JSON.parse(await textOf(request)) as DtmTransaction)
  }
  server.keepAliveTimeout = 600_000
  return server
}

function originAndPath(address: string): { readonly origin: string; readonly path: string } {
  const { origin, pathname, search } = new URL(address)
  return { origin, path: pathname + search }
}

function textOf(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')))
    request.on('error', reject)
  })
}
