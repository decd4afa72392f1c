import { setTimeout as sleep } from 'node:timers/promises'

/**
 * How a peer is set up: `default` as its README shows it, `fastest` as its documentation lets it be fastest. pg-boss
 * knows two more: `loops`, several loops with larger batches than a user would take, and `work`, its own workers.
 */
export type PeerConfiguration = 'fastest' | 'loops' | 'work' | 'default'

/** What the worker of a peer is started with. */
export interface PeerConfig {
  /** The address of an empty database, in which it makes its own schema. */
  readonly database: string
  readonly configuration: PeerConfiguration
}

/** What every peer can be asked. */
export type PeerCommands = {
  /** Puts a backlog in while nothing runs that would work on it. */
  seed(count: number): Promise<void>
  /** Works on a backlog of `count` with a handler that does nothing. */
  drain(count: number): Promise<{ readonly perSecond: number }>
}

const PAYLOAD_BYTES = 200
const CHECK_MS = 5
const PATIENCE_MS = 60_000

/** Handled messages, and the time from the first of them to the durable end of the last. */
export interface Handling {
  /** Starts the clock: the peer is connected and may begin. The first call of the handler does so too. */
  begin(): void
  /** Called by the no-op handler for each message, or once for several. */
  handled(count?: number): void
  /**
   * Waits for the last call of the handler and then until `left` says that nothing is left to do in the table.
   *
   * @throws if the handler was called more often than there were messages, or nothing happens for a minute
   */
  finished(left: () => Promise<number>): Promise<{ readonly perSecond: number }>
}

/** Watches over a backlog of `count`. */
export function handling(count: number): Handling {
  let seen = 0
  let beganAt: number | undefined
  let lastAt = performance.now()
  return {
    begin() {
      beganAt ??= performance.now()
    },
    handled(several = 1) {
      lastAt = performance.now()
      beganAt ??= lastAt
      seen += several
    },
    async finished(left) {
      while (seen < count || (await left()) > 0) {
        if (performance.now() - lastAt > PATIENCE_MS) throw new Error(`${seen} of ${count} handled, then nothing more`)
        await sleep(CHECK_MS)
      }
      const seconds = (performance.now() - (beganAt ?? Number.NaN)) / 1000
      if (seen !== count) throw new Error(`${count} messages were handled ${seen} times`)
      return { perSecond: count / seconds }
    },
  }
}

/** A payload of 200 bytes as JSON, as that of every contender. */
export function peerPayload(index: number): { readonly index: number; readonly filler: string } {
  const empty = JSON.stringify({ index, filler: '' }).length
  return { index, filler: 'x'.repeat(PAYLOAD_BYTES - empty) }
}

/** What a peer does in a configuration. @throws if it has no such configuration */
export function chosen<Choice>(
  choices: Readonly<Partial<Record<PeerConfiguration, Choice>>>,
  configuration: PeerConfiguration,
): Choice {
  const choice = choices[configuration]
  if (choice === undefined) throw new Error(`has no configuration ${configuration}`)
  return choice
}

/** `[0, size)`, `[size, 2 × size)` … until `count`. */
export function batches(count: number, size: number): readonly (readonly number[])[] {
  return Array.from({ length: Math.ceil(count / size) }, (_, batch) =>
    Array.from({ length: Math.min(size, count - batch * size) }, (_, index) => batch * size + index),
  )
}
