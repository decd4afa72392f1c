import { keyProblem, messageId, NATS_DESTINATION, storedMessageProblem } from 'postcommit/protocol'
import type { Broker } from '../broker/broker.ts'
import { errorText } from '../engine/error-text.ts'
import type { PublishVerdict } from '../engine/publish-ack.ts'
import type { Acknowledgement } from '../store/broker/insert-broker-marks.ts'
import type { ParkedMessage } from '../store/log/save-position.ts'
import type { LogRow } from '../store/log/select-window.ts'

/** What became of a batch: every row of it was acknowledged, or is in `parked`. */
export interface SettledBatch {
  readonly parked: readonly ParkedMessage[]
  /** Of each stream the acknowledgement with the highest number; that of the stream which acknowledged last comes last. */
  readonly acks: readonly Acknowledgement[]
}

/** What the pipeline tells about its work. */
export interface PipelineEvents {
  acked(row: LogRow, duplicate: boolean): void
  parked(row: LogRow, parked: ParkedMessage): void
  /** Nothing gets through: sending is paused. */
  outage(error: string): void
  recovered(): void
}

interface Batch {
  readonly parked: ParkedMessage[]
  /** Of the stream that has acknowledged last; most batches have only one. */
  newest: NewestAck | undefined
  /** Those of other streams. */
  readonly others: NewestAck[]
  left: number
  readonly settle: (batch: SettledBatch) => void
}

type Acked = Extract<PublishVerdict, { kind: 'acked' }>

/** The acknowledgement with the highest number in its stream. */
interface NewestAck {
  readonly stream: string
  sequence: number
  row: LogRow
}

interface Entry {
  readonly row: LogRow
  readonly batch: Batch
  /** The next message of its key, which waits for this one. */
  follower: Entry | undefined
}

interface Outage {
  /** A single message is under way to see whether the broker is back. */
  probing: boolean
  pauseMs: number
  timer: NodeJS.Timeout | undefined
  /** What was probed with the last time; the next probe has another subject, if there is one. */
  subject: string | undefined
}

const PROBE_FIRST_MS = 50
const PROBE_CAP_MS = 2000
const SENT_KEPT_MAX = 500

/** Why a message is parked. */
type Reason = Omit<ParkedMessage, 'id'>

const BEHIND: Reason = { error: 'an earlier message of this key is set aside' }

/**
 * Publishes batches of the log, many messages at once and one at a time per key.
 *
 * Per key only one message is in flight: a broker that refuses the first of two (a full stream, a lost leader) and
 * takes the second a moment later would otherwise have turned their order round. The rest is pipelined, over the
 * borders of batches too.
 *
 * A row is foreign input: one that no service could have written by the SDK is a dead letter and is never sent, because
 * the right to insert a row is not the right to publish with the relay's. It holds its key as any dead letter does.
 *
 * A message that the broker refuses for itself, or for its subject or stream, is parked, and so is everything of its key
 * that follows: parked messages are delivered from the table `delivery`. An outage parks nothing and burns nothing:
 * everything unacknowledged stays here and is published again, under the same message ids, once a single probe gets
 * through. Each probe has another subject than the last one: one that is refused must not pass for the broker.
 */
export class Pipeline {
  readonly #broker: Broker
  readonly #events: PipelineEvents
  readonly #inFlightMax: number
  /** May be sent now, in the order of ids. */
  #ready: Entry[] = []
  #readyAt = 0
  /** For each key that has a message ready or in flight the last one that waits behind it, or itself. */
  readonly #last = new Map<string, Entry>()
  #inFlight = 0
  #outage: Outage | undefined
  #blocked: Set<string>
  #stopped = false
  #isPumping = false

  constructor(broker: Broker, events: PipelineEvents, inFlightMax: number, blockedKeys: Set<string>) {
    this.#broker = broker
    this.#events = events
    this.#inFlightMax = inFlightMax
    this.#blocked = blockedKeys
  }

  /** Keys that have a message parked; their later messages are parked as well. */
  get blockedKeys(): ReadonlySet<string> {
    return this.#blocked
  }

  /** Replaces the blocked keys with what the table says. Only call it with no batch under way that parked something. */
  unblock(stillBlocked: Set<string>): void {
    this.#blocked = stillBlocked
  }

  /** Takes a batch; resolves once every row of it is acknowledged or parked. Never rejects. */
  feed(rows: readonly LogRow[]): Promise<SettledBatch> {
    return new Promise((resolve) => {
      const batch: Batch = { parked: [], newest: undefined, others: [], left: rows.length, settle: resolve }
      if (rows.length === 0) resolve(settledOf(batch))
      for (const row of rows) this.#enqueue({ row, batch, follower: undefined })
      this.#pump()
    })
  }

  /** Stops sending; batches that are not settled stay so, and are published again by the relay that reads them next. */
  stop(): void {
    this.#stopped = true
    clearTimeout(this.#outage?.timer)
  }

  #enqueue(entry: Entry): void {
    const { key, topic } = entry.row
    const problem = storedMessageProblem(entry.row, NATS_DESTINATION, topic)
    // It waits for no other message: what is wrong with it does not depend on those before it.
    if (problem !== undefined) this.#bury(entry, problem)
    else if (key === null) this.#ready.push(entry)
    else if (this.#blocked.has(key)) this.#park(entry, BEHIND)
    else {
      const last = this.#last.get(key)
      if (last === undefined) this.#ready.push(entry)
      else last.follower = entry
      this.#last.set(key, entry)
    }
  }

  #pump(): void {
    // What is held back settles before `#send` returns; a thousand of them would be as many calls deep.
    if (this.#isPumping) return
    this.#isPumping = true
    while (this.#outage === undefined && this.#inFlight < this.#inFlightMax && this.#readyAt < this.#ready.length) {
      const entry = this.#ready[this.#readyAt]
      this.#readyAt += 1
      if (entry !== undefined) this.#send(entry)
    }
    this.#isPumping = false
    // What has been sent must not stay reachable for long: every young collection would copy it.
    if (this.#readyAt > SENT_KEPT_MAX || (this.#readyAt > 0 && this.#readyAt === this.#ready.length)) {
      this.#ready = this.#ready.slice(this.#readyAt)
      this.#readyAt = 0
    }
  }

  #send(entry: Entry): void {
    const { row } = entry
    this.#inFlight += 1
    const message = {
      messageId: messageId(row.gid, row.branch),
      gid: row.gid,
      branch: row.branch,
      subject: row.topic,
      key: row.key ?? undefined,
      content: row.payload ?? row.body ?? '',
      headers: row.headers ?? undefined,
    }
    this.#broker.publish(message, (verdict) => {
      this.#inFlight -= 1
      if (!this.#stopped) this.#settle(entry, verdict)
    })
  }

  #settle(entry: Entry, verdict: PublishVerdict): void {
    switch (verdict.kind) {
      case 'acked':
        this.#acked(entry, verdict)
        break
      case 'refused':
        this.#parkWithFollowers(entry, { error: verdict.error })
        // The client's own refusals have no status, and say nothing about the broker.
        if (verdict.status !== 0) this.#recover()
        break
      case 'withheld': {
        const { error, scope: withheldBy, dueInMs, sent } = verdict
        this.#parkWithFollowers(entry, { error, withheldBy, dueInMs })
        if (sent) this.#recover()
        break
      }
      case 'outage':
        this.#interrupt(entry, verdict.error)
        break
    }
    this.#goOn()
  }

  #goOn(): void {
    this.#pump()
    if (this.#outage !== undefined && this.#inFlight === 0) this.#probeLater(this.#outage)
  }

  #acked(entry: Entry, verdict: Acked): void {
    const { row, batch } = entry
    note(batch, row, verdict)
    this.#events.acked(row, verdict.duplicate)
    if (row.key !== null) this.#release(entry, row.key)
    this.#recover()
    this.#leave(batch)
  }

  #parkWithFollowers(entry: Entry, why: Reason): void {
    this.#park(entry, why)
    const { key } = entry.row
    if (key === null) return
    this.#last.delete(key)
    for (let { follower } = entry; follower !== undefined; follower = follower.follower) this.#park(follower, BEHIND)
  }

  #park(entry: Entry, why: Reason): void {
    this.#setAside(entry, { id: entry.row.id, ...why, error: errorText(why.error) })
  }

  /** A key that is none orders nothing, and no index may have to hold it. */
  #bury(entry: Entry, problem: string): void {
    const { id, key } = entry.row
    const keepsKey = key !== null && keyProblem(key) === undefined
    this.#setAside(entry, { id, error: errorText(problem), dead: { keepsKey } })
  }

  #setAside({ row, batch }: Entry, parked: ParkedMessage): void {
    if (row.key !== null && parked.dead?.keepsKey !== false) this.#blocked.add(row.key)
    batch.parked.push(parked)
    this.#events.parked(row, parked)
    this.#leave(batch)
  }

  #release(entry: Entry, key: string): void {
    const { follower } = entry
    if (follower === undefined) this.#last.delete(key)
    else this.#ready.push(follower)
    // A long-lived key would otherwise keep all its messages from the young collection, the handed-on ones too.
    entry.follower = undefined
  }

  #leave(batch: Batch): void {
    batch.left -= 1
    if (batch.left === 0) batch.settle(settledOf(batch))
  }

  #interrupt(entry: Entry, error: string): void {
    if (this.#outage === undefined) {
      this.#outage = { probing: false, pauseMs: PROBE_FIRST_MS, timer: undefined, subject: undefined }
      this.#events.outage(error)
    }
    this.#ready = [entry, ...this.#ready.slice(this.#readyAt)]
    this.#readyAt = 0
    this.#outage.probing = false
    this.#outage.subject = entry.row.topic
  }

  #probeLater(outage: Outage): void {
    clearTimeout(outage.timer)
    outage.timer = setTimeout(() => {
      outage.pauseMs = Math.min(PROBE_CAP_MS, outage.pauseMs * 2)
      if (!this.#broker.connected || this.#ready[0] === undefined) return this.#probeLater(outage)
      this.#ready.sort((a, b) => (BigInt(a.row.id) < BigInt(b.row.id) ? -1 : 1))
      const other = this.#ready.findIndex(({ row }) => row.topic !== outage.subject)
      const [probe] = this.#ready.splice(Math.max(0, other), 1)
      outage.probing = true
      if (probe !== undefined) this.#send(probe)
    }, outage.pauseMs)
  }

  #recover(): void {
    if (this.#outage?.probing !== true) return
    clearTimeout(this.#outage.timer)
    this.#outage = undefined
    this.#ready.sort((a, b) => (BigInt(a.row.id) < BigInt(b.row.id) ? -1 : 1))
    this.#events.recovered()
  }
}

function note(batch: Batch, row: LogRow, { stream, sequence }: Acked): void {
  const { newest } = batch
  if (newest?.stream !== stream) turnTo(batch, { stream, sequence, row })
  else if (sequence > newest.sequence) {
    newest.sequence = sequence
    newest.row = row
  }
}

/** Another stream than the last time has acknowledged something. */
function turnTo(batch: Batch, ack: NewestAck): void {
  const at = batch.others.findIndex(({ stream }) => stream === ack.stream)
  const [known] = at === -1 ? [] : batch.others.splice(at, 1)
  if (batch.newest !== undefined) batch.others.push(batch.newest)
  batch.newest = known !== undefined && known.sequence > ack.sequence ? known : ack
}

function settledOf({ parked, newest, others }: Batch): SettledBatch {
  const acks = newest === undefined ? [] : [...others, newest]
  return {
    parked,
    acks: acks.map(({ stream, sequence, row }) => ({ stream, sequence, messageId: messageId(row.gid, row.branch) })),
  }
}
