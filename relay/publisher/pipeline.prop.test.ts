import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import type { Broker } from '../broker/broker.ts'
import type { BrokerMessage } from '../broker/broker-message.ts'
import type { PublishVerdict } from '../engine/publish-ack.ts'
import type { LogRow } from '../store/log/select-window.ts'
import { Pipeline } from './pipeline.ts'

const SILENT = { acked() {}, parked() {}, outage() {}, recovered() {} }
const WITHHELD: PublishVerdict = { kind: 'withheld', scope: 'subject a.b', error: 'full', dueInMs: 9, sent: true }
const ACKED: PublishVerdict = { kind: 'acked', stream: 'S', sequence: 1, duplicate: false }

const row = (id: number, key: string | null): LogRow => ({
  id: String(id),
  gid: 'g',
  branch: id,
  topic: 'a.b',
  key,
  payload: '1',
  body: null,
  headers: null,
  createdMs: '0',
})

/** A broker whose answers are given by the test, in any order; the real one is in the integration tests. */
function scriptedBroker() {
  const open: { message: BrokerMessage; settle: (verdict: PublishVerdict) => void }[] = []
  const stored: BrokerMessage[] = []
  const broker: Broker = {
    connected: true,
    publish: (message, settle) => void open.push({ message, settle }),
    trouble: () => [],
    refusals: { isLookedAfter: () => false, forget: () => undefined },
    whenCleared: () => () => undefined,
    beforeResuming: () => () => undefined,
    recheck: async () => undefined,
    connection: () => Promise.reject(new Error('no connection in this test')),
    close: async () => undefined,
  }
  return { broker, open, stored }
}

const verdicts = fc.constantFrom<'ack' | 'refuse' | 'withhold' | 'lose'>(
  'ack',
  'ack',
  'ack',
  'refuse',
  'withhold',
  'lose',
)
const rows = fc.array(fc.constantFrom('k1', 'k2', 'k3', null), { minLength: 1, maxLength: 40 })

describe('Pipeline', () => {
  test('a batch tells of each stream the highest number, and which has acknowledged last', async () => {
    const acks = fc.array(fc.tuple(fc.constantFrom('A', 'B', 'C'), fc.nat()), { minLength: 1, maxLength: 30 })
    await fc.assert(
      fc.asyncProperty(acks, async (script) => {
        const { broker, open } = scriptedBroker()
        const fed = new Pipeline(broker, SILENT, 100, new Set()).feed(script.map((_, index) => row(index + 1, null)))
        for (const [stream, sequence] of script)
          open.shift()?.settle({ kind: 'acked', stream, sequence, duplicate: false })
        const told = (await fed).acks
        const highest = (of: string) => Math.max(...script.filter(([stream]) => stream === of).map(([, n]) => n))
        const streams = [...new Set(script.map(([stream]) => stream))]
        expect(new Set(told.map(({ stream }) => stream))).toEqual(new Set(streams))
        expect(told).toHaveLength(streams.length)
        for (const { stream, sequence, messageId } of told) {
          expect(sequence).toBe(highest(stream))
          const [of, number] = script[Number(messageId.split(':')[1]) - 1] ?? []
          expect([of, number]).toEqual([stream, sequence])
        }
        expect(told.at(-1)?.stream).toBe(script.at(-1)?.[0])
      }),
    )
  })

  test('whatever the broker answers: every row is stored or parked, and per key nothing overtakes', async () => {
    await fc.assert(
      fc.asyncProperty(rows, rows, fc.array(fc.tuple(verdicts, fc.nat()), { maxLength: 200 }), async (a, b, script) => {
        const { broker, open, stored } = scriptedBroker()
        const pipeline = new Pipeline(broker, SILENT, 8, new Set())
        const first = a.map((key, index) => row(index + 1, key))
        const second = b.map((key, index) => row(a.length + index + 1, key))
        const batches = Promise.all([pipeline.feed(first), pipeline.feed(second)])
        let settled: Awaited<typeof batches> | undefined
        void batches.then((result) => {
          settled = result
        })
        const answers = [...script]
        for (let turn = 0; settled === undefined; turn += 1) {
          if (turn > 5000) throw new Error('the pipeline stands still')
          const keys = open.map(({ message }) => message.key).filter((key) => key !== undefined)
          expect(new Set(keys).size, 'one in flight per key').toBe(keys.length)
          const [verdict, at] = answers.shift() ?? ['ack', 0]
          const [answered] = open.splice(at % Math.max(1, open.length), 1)
          if (answered === undefined) await new Promise((resolve) => setTimeout(resolve, 5))
          else if (verdict === 'refuse') answered.settle({ kind: 'refused', error: 'no', status: 400 })
          else if (verdict === 'withhold') answered.settle(WITHHELD)
          else {
            // An outage may or may not have stored the message.
            if (verdict === 'ack' || at % 2 === 0) stored.push(answered.message)
            answered.settle(verdict === 'ack' ? ACKED : { kind: 'outage', error: 'gone' })
          }
          await Promise.resolve()
        }
        pipeline.stop()
        const parked = new Set(settled.flatMap((batch) => batch.parked.map(({ id }) => Number(id))))
        const firstStored = new Map<number, number>()
        for (const [position, { branch }] of stored.entries()) {
          if (!firstStored.has(branch)) firstStored.set(branch, position)
        }
        for (const key of ['k1', 'k2', 'k3']) {
          const ofKey = [...first, ...second].filter((entry) => entry.key === key).map(({ branch }) => branch)
          const order = ofKey.filter((branch) => firstStored.has(branch)).map((branch) => firstStored.get(branch) ?? 0)
          expect(order).toEqual([...order].sort((x, y) => x - y))
          const firstParked = ofKey.findIndex((branch) => parked.has(branch))
          if (firstParked >= 0) expect(ofKey.slice(firstParked).every((branch) => parked.has(branch))).toBe(true)
        }
        for (const { branch } of [...first, ...second]) expect(firstStored.has(branch) || parked.has(branch)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  test('rows of a blocked key are parked without being sent', async () => {
    const { broker, open } = scriptedBroker()
    const pipeline = new Pipeline(broker, SILENT, 8, new Set(['k1']))
    const { parked } = await pipeline.feed([row(1, 'k1')])
    expect(parked).toEqual([{ id: '1', error: 'an earlier message of this key is set aside', dead: undefined }])
    expect(open).toEqual([])
  })

  test('an outage is probed with another subject than the one that was interrupted', async () => {
    const { broker, open } = scriptedBroker()
    const pipeline = new Pipeline(broker, SILENT, 1, new Set())
    const fed = pipeline.feed([row(1, null), { ...row(2, null), topic: 'c.d' }])
    open.shift()?.settle({ kind: 'outage', error: 'silence' })
    await vi.waitFor(() => expect(open).toHaveLength(1))
    expect(open[0]?.message.subject).toBe('c.d')
    open.shift()?.settle(ACKED)
    open.shift()?.settle(WITHHELD)
    expect((await fed).parked).toEqual([{ id: '1', error: 'full', withheldBy: 'subject a.b', dueInMs: 9 }])
  })

  test('ten thousand that are held back at once need no deep stack', async () => {
    const { broker } = scriptedBroker()
    const refusing: Broker = { ...broker, publish: (_, settle) => settle({ ...WITHHELD, sent: false }) }
    const pipeline = new Pipeline(refusing, SILENT, 8, new Set())
    const { parked } = await pipeline.feed(Array.from({ length: 10_000 }, (_, index) => row(index + 1, null)))
    expect(parked).toHaveLength(10_000)
  })

  test('a row that may not be sent is never sent, and holds its key if that is one', async () => {
    const { broker, open } = scriptedBroker()
    const pipeline = new Pipeline(broker, SILENT, 8, new Set())
    const bad = { ...row(1, 'k1'), topic: '$JS.API.STREAM.DELETE.ORDERS' }
    const keyless = { ...row(2, 'k\n'), topic: 'a.b' }
    const { parked } = await pipeline.feed([bad, keyless, row(3, 'k1')])
    expect(parked).toEqual([
      { id: '1', error: expect.stringMatching(/topic/), dead: { keepsKey: true } },
      { id: '2', error: expect.stringMatching(/key/), dead: { keepsKey: false } },
      { id: '3', error: 'an earlier message of this key is set aside', dead: undefined },
    ])
    expect(open).toEqual([])
    expect(pipeline.blockedKeys).toEqual(new Set(['k1']))
  })
})
