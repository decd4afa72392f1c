import type { Socket } from 'node:net'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import type { Direction, FaultRules } from './fault-rules.ts'

/** One direction of one proxied connection. */
export interface Pump {
  readonly from: Socket
  readonly to: Socket
  readonly direction: Direction
  readonly rules: FaultRules
  /** What the two directions of a connection have in common. */
  readonly link: object
  readonly cut: () => void
  readonly count: (bytes: number) => void
}

interface Arrival {
  readonly chunk: Buffer
  readonly dueAt: number
}

const QUEUE_CHUNKS_MAX = 64
const HELD_POLL_MS = 5

/** Resolves when what is sent in this direction arrives again, or there is no other end any more. */
export async function untilPassable(rules: FaultRules, direction: Direction, to: Socket): Promise<void> {
  while (rules.isHeld(direction) && !to.destroyed) await sleep(HELD_POLL_MS)
}

/** Passes on what one side sends to the other, with the faults that are in force at that moment. */
export function pump({ from, to, direction, rules, link, cut, count }: Pump): void {
  const queue: Arrival[] = []
  let isEnded = false
  let isPassing = false

  const passOn = async () => {
    isPassing = true
    while (!to.destroyed) {
      await untilPassable(rules, direction, to)
      const arrival = queue.shift()
      if (arrival === undefined) break
      if (queue.length < QUEUE_CHUNKS_MAX) from.resume()
      const waitMs = arrival.dueAt - performance.now()
      if (waitMs > 0) await sleep(waitMs)
      const transferMs = rules.transferMs(direction, arrival.chunk.length)
      if (transferMs > 0) await sleep(transferMs)
      // A cable that is pulled while something is on its way keeps it.
      await untilPassable(rules, direction, to)
      const fault = rules.triggered(direction, link, arrival.chunk)
      if (fault?.effect === 'cut') {
        const last = arrival.chunk.subarray(0, fault.afterBytes)
        await write(to, last, rules.sliceBytes())
        count(last.length)
        return cut()
      }
      // The flag stays up, so nothing is passed on any more, and the sender is not slowed down.
      if (fault?.effect === 'silence') return void from.removeAllListeners('data').resume()
      await write(to, arrival.chunk, rules.sliceBytes())
      count(arrival.chunk.length)
    }
    isPassing = false
    if (isEnded) to.end()
  }

  from.on('data', (chunk: Buffer) => {
    queue.push({ chunk, dueAt: performance.now() + rules.delayMs(direction) })
    if (queue.length >= QUEUE_CHUNKS_MAX) from.pause()
    if (!isPassing) void passOn()
  })
  from.on('end', () => {
    isEnded = true
    if (!isPassing) void passOn()
  })
}

async function write(to: Socket, chunk: Buffer, sliceBytes: number): Promise<void> {
  for (let start = 0; start < chunk.length && !to.destroyed; start += sliceBytes) {
    const hasRoom = to.write(chunk.subarray(start, start + sliceBytes))
    if (!hasRoom && !to.destroyed) await drained(to)
    if (Number.isFinite(sliceBytes)) await setImmediate()
  }
}

// Not events.once: it rejects when the socket breaks, which is no error of the proxy.
function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('drain', resolve)
    socket.once('close', resolve)
  })
}
