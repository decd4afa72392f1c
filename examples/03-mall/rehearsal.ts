/**
 * What a service has because it is on a stage: it remembers which branches were called, and has a mishap on cue. A
 * service of your own has neither.
 */
import { type BranchDelivery, DeliveryRefused } from 'postcommit'
import type { BarrierResult } from 'postcommit/barrier'
import { z } from 'zod'
import { answering, type Listener } from './http.ts'

/** One call of a branch, and what came of it. */
export interface ObservedCall {
  readonly call: string
  readonly gid: string
  /** Microseconds of a clock that all processes of this computer share. */
  readonly at: number
  /** `done`, what the barrier said instead, or the message of what was thrown. */
  readonly result: string
}

const Mishap = z.object({ kind: z.enum(['refuse', 'stumble']), times: z.int() })

/** The stage of one service. */
export function rehearsal() {
  const calls: ObservedCall[] = []
  let coming: z.output<typeof Mishap>[] = []
  const routes: Readonly<Record<string, Listener>> = {
    'GET /rehearsal/calls': answering(({ query }) => {
      return { status: 200, body: calls.filter(({ gid }) => gid === query.get('gid')) }
    }),
    'POST /rehearsal/mishap': answering(({ body }) => {
      coming.push(Mishap.parse(body))
      return { status: 200, body: {} }
    }),
  }
  return {
    routes,
    /** Wraps what a branch does, and notes what became of each call. */
    observed<Payload>(call: string, handle: (delivery: BranchDelivery<Payload>) => Promise<BarrierResult<unknown>>) {
      return async (delivery: BranchDelivery<Payload>): Promise<void> => {
        const at = Number(process.hrtime.bigint() / 1000n)
        const note = (result: string) => void calls.push({ call, gid: delivery.gid, at, result })
        try {
          const { skipped } = await handle(delivery)
          note(skipped === false ? 'done' : skipped)
        } catch (error) {
          note(error instanceof Error ? error.message : String(error))
          throw error
        }
      }
    },
    /** Throws if it is time for it. */
    mishap(): void {
      const [next] = coming
      if (next === undefined) return
      coming = [...(next.times > 1 ? [{ ...next, times: next.times - 1 }] : []), ...coming.slice(1)]
      throw next.kind === 'refuse'
        ? new DeliveryRefused('a mishap after the commit')
        : new Error('a stumble after the commit')
    },
  }
}
