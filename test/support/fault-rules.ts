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
  /** Passes on at most so many bytes a second, over all connections together. */
  throttle(bytesPerSecond: number, direction?: Directions): void
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
  /** So many bytes more are passed on, over all connections together; the one that has the next is cut. Once only. */
  cutAfter(direction: Direction, bytes: number): Promise<void>
  /** Ends every fault. Silenced connections stay silent: what they swallowed is gone. */
  heal(): void

  /** @internal What becomes of a connection because of these bytes. */
  triggered(direction: Direction, link: object, chunk: Buffer): FaultOfChunk | undefined
  /** @internal */
  isHeld(direction: Direction): boolean
  /** @internal */
  delayMs(direction: Direction): number
  /** @internal How long the direction is taken up by so many bytes more. */
  transferMs(direction: Direction, bytes: number): number
  /** @internal */
  sliceBytes(): number
}

interface FaultOfChunk {
  readonly effect: 'cut' | 'silence'
  /** So many bytes of the chunk still pass. */
  readonly afterBytes: number
}

interface Trigger {
  readonly direction: Direction
  readonly effect: FaultOfChunk['effect']
  /** Undefined as long as it does not hold; then how many bytes of this chunk still pass. */
  readonly holds: (link: object, chunk: Buffer) => number | undefined
  readonly fire: () => void
}

/** Enough to find a text of some length that two packets share, without keeping the whole stream. */
const SEEN_BYTES_MAX = 4096

interface Rate {
  readonly bytesPerMs: number
  /** When what was passed on so far is through, by performance.now(). */
  readonly freeAt: number
}

const UNLIMITED: Rate = { bytesPerMs: Number.POSITIVE_INFINITY, freeAt: 0 }

/** No fault at first. */
export function createFaultRules(random: () => number = Math.random): FaultRules {
  const held = { up: false, down: false }
  const delays = { up: { ms: 0, jitterMs: 0 }, down: { ms: 0, jitterMs: 0 } }
  const rates: Record<Direction, Rate> = { up: UNLIMITED, down: UNLIMITED }
  const triggers = new Set<Trigger>()
  let sliceBytes = Number.POSITIVE_INFINITY

  const arm = (effect: Trigger['effect'], direction: Direction, holds: Trigger['holds']) =>
    new Promise<void>((fire) => {
      triggers.add({ effect, direction, holds, fire })
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
    throttle: (bytesPerSecond, direction = 'both') => {
      for (const each of expand(direction)) rates[each] = { bytesPerMs: bytesPerSecond / 1000, freeAt: 0 }
    },
    cutWhen: (direction, predicate, afterBytes = 0) => arm('cut', direction, onceSeen(predicate, afterBytes)),
    silenceWhen: (direction, predicate) => arm('silence', direction, onceSeen(predicate)),
    cutAfter: (direction, bytes) => arm('cut', direction, onceCounted(bytes)),
    heal: () => {
      held.up = held.down = false
      delays.up = delays.down = { ms: 0, jitterMs: 0 }
      rates.up = rates.down = UNLIMITED
      sliceBytes = Number.POSITIVE_INFINITY
      triggers.clear()
    },
    triggered: (direction, link, chunk) => {
      for (const trigger of triggers) {
        if (trigger.direction !== direction) continue
        const afterBytes = trigger.holds(link, chunk)
        if (afterBytes === undefined) continue
        triggers.delete(trigger)
        trigger.fire()
        return { effect: trigger.effect, afterBytes }
      }
      return undefined
    },
    isHeld: (direction) => held[direction],
    delayMs: (direction) => {
      const { ms, jitterMs } = delays[direction]
      return Math.max(0, ms + (random() * 2 - 1) * jitterMs)
    },
    transferMs: (direction, bytes) => {
      const { bytesPerMs, freeAt } = rates[direction]
      const now = performance.now()
      const doneAt = Math.max(now, freeAt) + bytes / bytesPerMs
      rates[direction] = { bytesPerMs, freeAt: doneAt }
      return doneAt - now
    },
    sliceBytes: () => sliceBytes,
  }
}

function expand(direction: Directions): readonly Direction[] {
  return direction === 'both' ? ['up', 'down'] : [direction]
}

function onceSeen(predicate: BytesPredicate, afterBytes = 0): Trigger['holds'] {
  const seen = new WeakMap<object, Buffer>()
  return (link, chunk) => {
    const bytes = Buffer.concat([seen.get(link) ?? Buffer.alloc(0), chunk])
    seen.set(link, bytes.subarray(-SEEN_BYTES_MAX))
    return predicate(bytes) ? afterBytes : undefined
  }
}

function onceCounted(bytes: number): Trigger['holds'] {
  let left = bytes
  return (_, { length }) => {
    if (length > left) return left
    left -= length
    return undefined
  }
}
