import { describe, expect, test } from 'vitest'
import { explain, type MessageFacts, type RelayPresence } from './explain.ts'

const RUNNING: RelayPresence = { live: 2, destinations: new Set(['nats', 'stock']), lastSavedMs: 40, troubles: [] }
const NONE: RelayPresence = { live: 0, destinations: new Set(), lastSavedMs: 180_000, troubles: [] }

const CALL: MessageFacts = {
  gid: 'g1',
  branch: 2,
  state: 'pending',
  destination: 'stock',
  target: '/deduct',
  key: 'order-7',
  attempts: 0,
  lastError: null,
  withheldBy: null,
  dueInMs: -10,
  ageMs: 1000,
  settledAfterMs: undefined,
  claimedBy: null,
  head: undefined,
  logOwner: null,
  discarded: undefined,
}
const PUBLISH: MessageFacts = { ...CALL, destination: 'nats', target: 'order.placed', state: 'waiting' }
const SINCE = new Date('2026-03-01T12:00:00Z')
const told = (scope: string, cause: string, error: string, nextProbeInMs: number): RelayPresence => ({
  ...RUNNING,
  troubles: [{ scope, cause, error, since: SINCE, forMs: 40_000, nextProbeInMs, relays: ['r1'] }],
})
const FAILED = { attempts: 3, lastError: 'answered 500', dueInMs: 12_400 }

describe('explain', () => {
  test.each<[string, Partial<MessageFacts>, RelayPresence, string]>([
    ['due', {}, RUNNING, 'Due now: a relay is about to take it.'],
    ['delayed', { dueInMs: 2_400_000 }, RUNNING, 'Not due yet: in 40 min.'],
    [
      'claimed',
      { claimedBy: 'r1', dueInMs: 59_000, attempts: 2 },
      RUNNING,
      'On its way: relay r1 is at attempt 3 to stock now.',
    ],
    ['failed', FAILED, RUNNING, 'Waiting: attempt 3 to stock: answered 500; next try in 12 s.'],
    [
      'away',
      { lastError: 'the call failed: ECONNREFUSED', dueInMs: 900 },
      RUNNING,
      'Waiting: stock: the call failed: ECONNREFUSED; next try in 900 ms.',
    ],
    ['no relay', {}, NONE, 'Waiting: no relay is running (the log was last read 3 min ago).'],
    [
      'failed, no relay',
      FAILED,
      NONE,
      'Waiting: attempt 3 to stock: answered 500, and no relay is running (the log was last read 3 min ago).',
    ],
    ['claim that ran out', { claimedBy: 'r1', dueInMs: -100 }, RUNNING, 'Due now: a relay is about to take it.'],
    [
      'nobody’s',
      { destination: 'mailer' },
      RUNNING,
      'Waiting: no running relay has a destination named mailer. Add it to the configuration of one.',
    ],
    ['overdue', { dueInMs: -65_000 }, RUNNING, 'Overdue by 1 min: stock has all it can take at once.'],
    [
      'whose destination is away',
      { dueInMs: -65_000 },
      told('destination stock', 'away', 'the call failed: ECONNREFUSED', 40_000),
      'Waiting: stock is away since 2026-03-01T12:00:00.000Z (the call failed: ECONNREFUSED); next probe in 40 s.',
    ],
    [
      'while another destination is away',
      { dueInMs: -10 },
      told('destination mailer', 'away', 'ECONNREFUSED', 40_000),
      'Due now: a relay is about to take it.',
    ],
    [
      'behind',
      { head: { gid: 'g0', branch: 1, state: 'pending' } },
      RUNNING,
      'Held behind g0:1 (pending) of the same key order-7.',
    ],
    [
      'held',
      { state: 'held', head: { gid: 'g0', branch: 1, state: 'dead' } },
      RUNNING,
      'Held behind g0:1 (dead) of the same key order-7. Requeue or discard that one to let it pass.',
    ],
    [
      'dead',
      { ...FAILED, state: 'dead' },
      RUNNING,
      'Dead letter: attempt 3 to stock: answered 500. When the cause is fixed: postcommit dead-letter requeue g1:2',
    ],
    [
      'confirmed',
      { state: 'confirmed', attempts: 2, settledAfterMs: 13 },
      NONE,
      'Confirmed by stock 13 ms after its commit, at attempt 3.',
    ],
    [
      'discarded',
      { state: 'discarded', discarded: { by: 'ann', reason: 'test order' } },
      NONE,
      'Discarded by ann and not delivered: test order',
    ],
  ])('a call: %s', (_, facts, relays, sentence) => {
    expect(explain({ ...CALL, ...facts }, relays)).toBe(sentence)
  })

  test.each<[string, Partial<MessageFacts>, RelayPresence, string]>([
    ['published', { state: 'published' }, NONE, 'Published to NATS as order.placed.'],
    [
      'no relay',
      {},
      NONE,
      'Waiting: no relay has read it yet, because no relay is running (the log was last read 3 min ago).',
    ],
    [
      'no relay ever',
      {},
      { live: 0, destinations: new Set(), lastSavedMs: undefined, troubles: [] },
      'Waiting: no relay has read it yet, because no relay is running.',
    ],
    [
      'no broker',
      {},
      RUNNING,
      'Waiting: relays are running, but none publishes to NATS. postcommit doctor says what is missing.',
    ],
    ['soon', { logOwner: 'r1' }, RUNNING, 'Waiting for 1 s: relay r1 has it before it to publish.'],
    [
      'long',
      { logOwner: 'r1', ageMs: 60_000 },
      RUNNING,
      'Waiting for 1 min: relay r1 has it before it to publish. It tells of nothing that is in its way: it has much to publish, or is slow.',
    ],
    [
      'while NATS hangs',
      { logOwner: 'r1', ageMs: 60_000 },
      told('nats', 'outage', 'no acknowledgement within 2000 ms', 0),
      'Waiting for 1 min: NATS does not acknowledge since 2026-03-01T12:00:00.000Z (no acknowledgement within 2000 ms); next probe now.',
    ],
    [
      'for a full stream',
      { state: 'pending', withheldBy: 'stream ORDERS', dueInMs: 3_000_000 },
      told('stream ORDERS', 'full', 'maximum messages exceeded (10077)', 12_000),
      'Waiting: stream ORDERS is full since 2026-03-01T12:00:00.000Z (maximum messages exceeded (10077)); next probe in 12 s.',
    ],
    [
      'for a subject of which no running relay tells',
      { state: 'pending', withheldBy: 'subject a.b', lastError: 'no stream takes a.b', dueInMs: 3_000_000 },
      RUNNING,
      'Waiting: subject a.b takes no messages (no stream takes a.b). It is due when a probe gets through.',
    ],
    [
      'no stream',
      { state: 'pending', attempts: 1, lastError: 'no stream takes order.placed', dueInMs: 4000 },
      RUNNING,
      'Waiting: attempt 1 to nats: no stream takes order.placed; next try in 4 s.',
    ],
  ])('a publish: %s', (_, facts, relays, sentence) => {
    expect(explain({ ...PUBLISH, ...facts }, relays)).toBe(sentence)
  })
})
