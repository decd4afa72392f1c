/** `up` is what the client sends, `down` what the server answers. */
export type Direction = 'up' | 'down'

type Directions = Direction | 'both'

/** Looks at what passes: the new bytes, preceded by what came on the same connection since the rule was set. */
type BytesPredicate = (bytes: Buffer) => boolean

/** The faults that are in force at a proxy. */
export interface FaultRules {
  /** Nothing passes any more and nobody is told. After {@link heal} it arrives late, as after a mended cable. */
  blackhole(direction?: Directions): void
  /** What passes arrives `ms` later, give or take `jitterMs`, in order. */
  delay(ms: number, jitterMs?: number, direction?: Directions): void
  /** Passes on at most `bytes` at a time. */
  slice(bytes: number): void
  /**
   * The first connection on which `predicate` holds is cut by RST, before the bytes it held for are passed on, or after
   * so many of the last of them. Once only. Resolves when it has happened.
   *
   * @example A COMMIT that is executed, but whose answer is lost:
   * ```ts
   * proxy.cutWhen('down', (bytes) => bytes.includes('COMMIT\0'))
   * ```
   */
  cutWhen(direction: Direction, predicate: BytesPredicate, afterBytes?: number): Promise<void>
  /** As {@link cutWhen}, but the connection stays open and says nothing more in this direction. */
  silenceWhen(direction: Direction, predicate: BytesPredicate): Promise<void>
  /** Ends every fault. Silenced connections stay silent: what they swallowed is gone. */
  heal(): void

  /** @internal What becomes of a connection because of these bytes. */
  triggered(direction: Direction, link: object, chunk: Buffer): Pick<Trigger, 'effect' | 'afterBytes'> | undefined
  /** @internal */
  isHeld(direction: Direction): boolean
  /** @internal */
  delayMs(direction: Direction): number
  /** @internal */
  sliceBytes(): number
}

interface Trigger {
  readonly direction: Direction
  readonly predicate: BytesPredicate
  readonly effect: 'cut' | 'silence'
  readonly afterBytes: number
  readonly seen: WeakMap<object, Buffer>
  readonly fire: () => void
}

/** Enough to find a text of some length that two packets share, without keeping the whole stream. */
const SEEN_BYTES_MAX = 4096

/** No fault at first. */
export function createFaultRules(random: () => number = Math.random): FaultRules {
  const held = { up: false, down: false }
  const delays = { up: { ms: 0, jitterMs: 0 }, down: { ms: 0, jitterMs: 0 } }
  const triggers = new Set<Trigger>()
  let sliceBytes = Number.POSITIVE_INFINITY

  const arm = (effect: Trigger['effect'], direction: Direction, predicate: BytesPredicate, afterBytes = 0) =>
    new Promise<void>((fire) => {
      triggers.add({ effect, afterBytes, direction, predicate, seen: new WeakMap(), fire })
    })

  return {
    blackhole: (direction = 'both') => {
      for (const each of expand(direction)) held[each] = true
    },
    delay: (ms, jitterMs = 0, direction = 'both') => {
      for (const each of expand(direction)) delays[each] = { ms, jitterMs }
    },
    slice: (bytes) => {
      sliceBytes = bytes
    },
    cutWhen: (direction, predicate, afterBytes) => arm('cut', direction, predicate, afterBytes),
    silenceWhen: (direction, predicate) => arm('silence', direction, predicate),
    heal: () => {
      held.up = held.down = false
      delays.up = delays.down = { ms: 0, jitterMs: 0 }
      sliceBytes = Number.POSITIVE_INFINITY
      triggers.clear()
    },
    triggered: (direction, link, chunk) => {
      for (const trigger of triggers) {
        if (trigger.direction !== direction) continue
        const bytes = Buffer.concat([trigger.seen.get(link) ?? Buffer.alloc(0), chunk])
        trigger.seen.set(link, bytes.subarray(-SEEN_BYTES_MAX))
        if (!trigger.predicate(bytes)) continue
        triggers.delete(trigger)
        trigger.fire()
        return trigger
      }
      return undefined
    },
    isHeld: (direction) => held[direction],
    delayMs: (direction) => {
      const { ms, jitterMs } = delays[direction]
      return Math.max(0, ms + (random() * 2 - 1) * jitterMs)
    },
    sliceBytes: () => sliceBytes,
  }
}

function expand(direction: Directions): readonly Direction[] {
  return direction === 'both' ? ['up', 'down'] : [direction]
}
