import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

// Below the ports that operating systems hand to outgoing connections (Linux from 32768, macOS from 49152). While a
// server is down, a client that keeps connecting to one of those can be given that very port as its own: it then
// talks to itself, and the server cannot come back.
const PORT_MIN = 10_240
const PORT_MAX = 32_767
const ATTEMPTS_MAX = 100

/**
 * A TCP port of 127.0.0.1 that nobody listens on at this moment.
 *
 * Nothing keeps it free: whoever binds it must be ready to see it taken in between.
 */
export async function freePort(): Promise<number> {
  for (let attempts = 1; attempts <= ATTEMPTS_MAX; attempts += 1) {
    const port = randomInt(PORT_MIN, PORT_MAX + 1)
    if (await isPortFree(port)) return port
  }
  throw new Error(`none of ${ATTEMPTS_MAX} ports between ${PORT_MIN} and ${PORT_MAX} is free on 127.0.0.1`)
}

/** Whether `port` of 127.0.0.1 can be bound at this moment. */
export async function isPortFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen({ port, host: '127.0.0.1' })
    await once(server, 'listening')
  } catch {
    return false
  }
  server.close()
  await once(server, 'close')
  return true
}
