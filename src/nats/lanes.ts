/**
 * Which message may be handled next: those of one key one after the other in the order of the stream, the others as
 * they come. Pure state: no clock, no I/O; who keeps the connection asks it and obeys.
 *
 * A message stays here from its first delivery until it is settled, also while it waits for a retry or behind a
 * failing one of its key. Its content need not: of those that cannot run now, `waitingBytesMax` are kept; of the
 * rest only the place in the order (the server goes on believing that we are at it), and when its turn comes the
 * server is asked to deliver it again. So a key with thousands of messages behind a failing head costs no memory for
 * their contents and keeps no other key from going on, and no later message can overtake one that the server might
 * bring back at any moment, which it could if those behind were handed back and forgotten.
 */
export interface Lanes<Content> {
  /** Every message that is not settled, in the order of arrival. */
  readonly entries: Iterable<Entry<Content>>
  readonly size: number
  /** Messages whose turn it is and whose content is here. */
  readonly ready: number
  /** Bytes of the contents that are kept although they cannot run now. */
  readonly waitingBytes: number
  /** Messages that were asked for again and have not come. */
  readonly recalled: number
  /**
   * Takes in a delivery. `settled`: it was settled here before and only its acknowledgement got lost. `known`: it is
   * here already. `new`: it is now.
   */
  arrive(message: Arrival<Content>): 'new' | 'known' | 'settled'
  /** The next message to handle; it is running until `settle` or `pause`. */
  take(): { readonly entry: Entry<Content>; readonly content: Content } | undefined
  /** Ends a message. False: another message has its sequence by now, and it must not be acknowledged. */
  settle(entry: Entry<Content>): boolean
  /** Puts a running message off; its key waits with it. `failed`: it counts as a failure. */
  pause(entry: Entry<Content>, failed: boolean): void
  /** The pause is over. */
  resume(entry: Entry<Content>): void
  /** Up to `max` messages whose turn it is and whose content must be delivered again. */
  recall(max: number): readonly Entry<Content>[]
  /** A recall was not answered; it is given out by `recall` once more. */
  recallAgain(entry: Entry<Content>): void
  /** Drops a message that the server has no more. */
  drop(entry: Entry<Content>): void
  /** While closed, no message with a key gets its turn. */
  setGate(open: boolean): void
  /** Where the messages were acknowledged that were settled lately and lie after `floor` and not after `through`. */
  settledBetween(floor: number, through: number): readonly string[]
  /** How many unsettled messages have at most this sequence. */
  countThrough(sequence: number): number
}

/** A delivery of a message. */
export interface Arrival<Content> {
  readonly sequence: number
  /** Tells messages with the same sequence apart. */
  readonly stamp: string
  readonly key: string | undefined
  /** Where this delivery is acknowledged. */
  readonly reply: string
  readonly content: Content
  /** What the content weighs. */
  readonly bytes: number
}

/** A message that is not settled. */
export interface Entry<Content> {
  readonly sequence: number
  readonly stamp: string
  readonly key: string | undefined
  /** Where the newest delivery is acknowledged. */
  readonly reply: string
  readonly content: Content | undefined
  readonly bytes: number
  readonly phase: 'waiting' | 'running' | 'paused'
  readonly failures: number
  readonly isRecalled: boolean
}

interface State<Content> extends Entry<Content> {
  reply: string
  content: Content | undefined
  phase: 'waiting' | 'running' | 'paused'
  failures: number
  isRecalled: boolean
}

interface Lane<Content> {
  /** In the order of the stream; the first is the head. */
  readonly queue: State<Content>[]
  running: State<Content> | undefined
}

/** Bounds of {@link createLanes}. */
export interface LaneLimits {
  /** How much content is kept that cannot run now. */
  readonly waitingBytesMax: number
  /** How many settled messages are remembered, for acknowledgements that get lost. */
  readonly settledMax: number
}

/** No message yet; the gate is open. */
export function createLanes<Content>(limits: LaneLimits): Lanes<Content> {
  return new OrderedLanes(limits)
}

class OrderedLanes<Content> implements Lanes<Content> {
  readonly #limits: LaneLimits
  readonly #entries = new Map<number, State<Content>>()
  readonly #lanes = new Map<string, Lane<Content>>()
  readonly #ready = new Set<State<Content>>()
  /** In turn, content not here, not asked for yet. */
  readonly #wanted = new Set<State<Content>>()
  readonly #waiting = new Set<State<Content>>()
  readonly #recalled = new Set<State<Content>>()
  readonly #settled = new Map<number, { readonly stamp: string; readonly reply: string }>()
  #gateOpen = true
  #waitingBytes = 0

  constructor(limits: LaneLimits) {
    this.#limits = limits
  }

  get entries() {
    return this.#entries.values()
  }
  get size() {
    return this.#entries.size
  }
  get ready() {
    return this.#ready.size
  }
  get waitingBytes() {
    return this.#waitingBytes
  }
  get recalled() {
    return this.#recalled.size
  }

  arrive({ sequence, stamp, key, reply, content, bytes }: Arrival<Content>): 'new' | 'known' | 'settled' {
    if (this.#settled.get(sequence)?.stamp === stamp) return 'settled'
    const known = this.#entries.get(sequence)
    if (known?.stamp === stamp) {
      known.reply = reply
      this.#setRecalled(known, false)
      if (known.phase !== 'running') known.content = content
      this.#place(known)
      return 'known'
    }
    // The same sequence with another stamp: the stream was made anew or lost its tail, and the message is gone.
    if (known !== undefined) this.#remove(known)
    const start = { phase: 'waiting', failures: 0, isRecalled: false } as const
    const entry: State<Content> = { sequence, stamp, key, reply, content, bytes, ...start }
    this.#entries.set(sequence, entry)
    this.#enqueue(entry)
    this.#place(entry)
    return 'new'
  }

  take(): { readonly entry: Entry<Content>; readonly content: Content } | undefined {
    const [entry] = this.#ready
    if (entry?.content === undefined) return undefined
    this.#ready.delete(entry)
    entry.phase = 'running'
    const lane = this.#laneOf(entry)
    if (lane !== undefined) lane.running = entry
    return { entry, content: entry.content }
  }

  settle(entry: Entry<Content>): boolean {
    const state = this.#current(entry)
    if (state === undefined) {
      this.#stopRunning(entry)
      return false
    }
    this.#settled.set(state.sequence, { stamp: state.stamp, reply: state.reply })
    if (this.#settled.size > this.#limits.settledMax) {
      const [oldest] = this.#settled.keys()
      if (oldest !== undefined) this.#settled.delete(oldest)
    }
    this.#stopRunning(state)
    this.#remove(state)
    return true
  }

  pause(entry: Entry<Content>, failed: boolean): void {
    const state = this.#current(entry)
    if (state !== undefined) {
      state.phase = 'paused'
      if (failed) state.failures += 1
      this.#place(state)
    }
    this.#stopRunning(entry)
  }

  resume(entry: Entry<Content>): void {
    const state = this.#current(entry)
    if (state?.phase !== 'paused') return
    state.phase = 'waiting'
    this.#place(state)
  }

  recall(max: number): readonly Entry<Content>[] {
    const recalled = [...this.#wanted].slice(0, Math.max(0, max))
    for (const entry of recalled) {
      this.#wanted.delete(entry)
      this.#setRecalled(entry, true)
    }
    return recalled
  }

  recallAgain(entry: Entry<Content>): void {
    const state = this.#current(entry)
    if (state === undefined) return
    this.#setRecalled(state, false)
    this.#place(state)
  }

  drop(entry: Entry<Content>): void {
    const state = this.#current(entry)
    if (state !== undefined && state.phase !== 'running') this.#remove(state)
  }

  setGate(open: boolean): void {
    if (this.#gateOpen === open) return
    this.#gateOpen = open
    for (const { queue } of this.#lanes.values()) this.#placeHead(queue)
  }

  settledBetween(floor: number, through: number): readonly string[] {
    return [...this.#settled].filter(([place]) => place > floor && place <= through).map(([, { reply }]) => reply)
  }

  countThrough(sequence: number): number {
    let count = 0
    for (const place of this.#entries.keys()) if (place <= sequence) count += 1
    return count
  }

  /** Sorts an entry into the set that says what can happen to it next. */
  #place(entry: State<Content>): void {
    this.#ready.delete(entry)
    this.#wanted.delete(entry)
    this.#stopWaiting(entry)
    if (entry.phase === 'running') return
    if (entry.phase === 'waiting' && this.#isTurn(entry)) {
      if (entry.content !== undefined) this.#ready.add(entry)
      else if (!entry.isRecalled) this.#wanted.add(entry)
    } else if (entry.content !== undefined) {
      if (this.#waitingBytes + entry.bytes > this.#limits.waitingBytesMax) entry.content = undefined
      else {
        this.#waiting.add(entry)
        this.#waitingBytes += entry.bytes
      }
    }
  }

  #stopWaiting(entry: State<Content>): void {
    if (this.#waiting.delete(entry)) this.#waitingBytes -= entry.bytes
  }

  #isTurn(entry: State<Content>): boolean {
    const lane = this.#laneOf(entry)
    if (lane === undefined) return true
    return this.#gateOpen && lane.running === undefined && lane.queue[0] === entry
  }

  #placeHead(queue: readonly State<Content>[]): void {
    const [head] = queue
    if (head !== undefined) this.#place(head)
  }

  /** Deliveries come in the order of the stream but for redeliveries, so the place is found from the end. */
  #enqueue(entry: State<Content>): void {
    if (entry.key === undefined) return
    const lane = this.#lanes.get(entry.key) ?? { queue: [], running: undefined }
    this.#lanes.set(entry.key, lane)
    const [head] = lane.queue
    const before = lane.queue.findLastIndex(({ sequence }) => sequence < entry.sequence)
    lane.queue.splice(before + 1, 0, entry)
    if (before === -1 && head !== undefined) this.#place(head)
  }

  #remove(entry: State<Content>): void {
    this.#entries.delete(entry.sequence)
    this.#ready.delete(entry)
    this.#wanted.delete(entry)
    this.#stopWaiting(entry)
    this.#setRecalled(entry, false)
    const lane = this.#laneOf(entry)
    if (lane === undefined) return
    lane.queue.splice(lane.queue.indexOf(entry), 1)
    this.#advance(entry.key, lane)
  }

  #stopRunning({ key, sequence, stamp }: Entry<Content>): void {
    const lane = key === undefined ? undefined : this.#lanes.get(key)
    if (lane?.running?.sequence !== sequence || lane.running.stamp !== stamp) return
    lane.running = undefined
    this.#advance(key, lane)
  }

  #advance(key: string | undefined, lane: Lane<Content>): void {
    if (lane.queue.length > 0) this.#placeHead(lane.queue)
    else if (lane.running === undefined && key !== undefined) this.#lanes.delete(key)
  }

  #setRecalled(entry: State<Content>, isRecalled: boolean): void {
    entry.isRecalled = isRecalled
    if (isRecalled) this.#recalled.add(entry)
    else this.#recalled.delete(entry)
  }

  #laneOf({ key }: Entry<Content>): Lane<Content> | undefined {
    return key === undefined ? undefined : this.#lanes.get(key)
  }

  #current(entry: Entry<Content>): State<Content> | undefined {
    const state = this.#entries.get(entry.sequence)
    return state === entry ? state : undefined
  }
}
