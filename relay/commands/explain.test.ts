import { describe, expect, test } from 'vitest'
import { explain, type MessageFacts, type RelayPresence } from './explain.ts'

const RUNNING: RelayPresence = { live: 2, destinations: new Set(['nats', 'stock']), lastSavedMs: 40 }
const NONE: RelayPresence = { live: 0, destinations: new Set(), lastSavedMs: 180_000 }

const CALL: MessageFacts = {
  gid: 'g1',
  branch: 2,
  state: 'pending',
  destination: 'stock',
  target: '/deduct',
  key: 'order-7',
  attempts: 0,
  lastError: null,
  dueInMs: -10,
  ageMs: 1000,
  settledAfterMs: undefined,
  claimedBy: null,
  head: undefined,
  logOwner: null,
  discarded: undefined,
}
const PUBLISH: MessageFacts = { ...CALL, destination: 'nats', target: 'order.placed', state: 'waiting' }
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
    [
      'overdue',
      { dueInMs: -65_000 },
      RUNNING,
      'Overdue by 1 min: stock has all it can take at once, or is being left alone for a while. The log of the relay says which.',
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
      'Dead letter: attempt 3 to stock: answered 500. When the cause is mended: postcommit dead-letter requeue g1:2',
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
      { live: 0, destinations: new Set(), lastSavedMs: undefined },
      'Waiting: no relay has read it yet, because no relay is running.',
    ],
    [
      'no broker',
      {},
      RUNNING,
      'Waiting: relays are running, but none publishes to NATS. Their log, or postcommit doctor, says why.',
    ],
    ['soon', { logOwner: 'r1' }, RUNNING, 'Waiting for 1 s: relay r1 has it before it to publish.'],
    [
      'long',
      { logOwner: 'r1', ageMs: 60_000 },
      RUNNING,
      'Waiting for 1 min: relay r1 has it before it to publish. If this does not change, its log says why.',
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
