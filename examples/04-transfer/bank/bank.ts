/** A bank: it pays out and pays in, and takes each back, as a saga asks for it. It knows nothing of the other one. */
import { appendFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import { json } from 'node:stream/consumers'
import { PostcommitError } from 'postcommit'
import { barrierFrom } from 'postcommit/barrier'
import type { Transfer } from '../transfer.ts'
import { type Move, openAccounts } from './accounts.ts'

const { DATABASE_URL = '', PORT, JOURNAL = '', DIES_AFTER } = process.env

const accounts = openAccounts(DATABASE_URL)

/** A final no: the saga turns back. */
class Refused extends Error {}

/** What a saga can ask for; what it takes back it takes back from frozen accounts too. */
const OPERATIONS: Readonly<Record<string, (move: Move, transfer: Transfer) => Promise<boolean>>> = {
  TransOut: (move, { from, amount }) => move(from, -amount),
  TransOutRevert: (move, { from, amount }) => move(from, amount, { evenFrozen: true }),
  TransIn: (move, { to, amount }) => move(to, amount),
  TransInRevert: (move, { to, amount }) => move(to, -amount, { evenFrozen: true }),
}

async function answer(name: string, request: IncomingMessage): Promise<number> {
  const operation = OPERATIONS[name]
  if (operation === undefined) return 404
  try {
    const transfer = (await json(request)) as Transfer
    await accounts.once(barrierFrom(request), async (move) => {
      const isDone = await operation(move, transfer)
      appendFileSync(JOURNAL, `${name}${isDone ? '' : ', refused'}\n`)
      if (!isDone) throw new Refused()
    })
    // It is committed, and nobody will hear of it.
    if (name === DIES_AFTER) process.kill(process.pid, 'SIGKILL')
    return 200
  } catch (error) {
    if (error instanceof Refused) return 409
    if (error instanceof PostcommitError && error.code === 'POSTCOMMIT_BRANCH_IN_PROGRESS') return 425
    console.warn(error)
    return 500
  }
}

const server = createServer((request, response) => {
  answer((request.url ?? '').slice(1), request).then(
    (status) => response.writeHead(status).end(),
    () => response.destroy(),
  )
})
server.listen(Number(PORT), '127.0.0.1', () => console.log('ready'))
process.once('SIGTERM', () => {
  server.close(() => void accounts.end())
  server.closeIdleConnections()
})
