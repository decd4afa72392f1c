import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { HttpDestinationOptions } from '../../../relay/destinations/http.ts'
import { eventually } from '../../support/eventually.ts'
import { MODES, onStage, type ParityStage } from '../../support/parity/stage.ts'

/** A program, the options of the destination `stock`, and what has to be seen in either mode. */
interface Program {
  readonly options?: Partial<HttpDestinationOptions>
  readonly run: (stage: ParityStage) => Promise<readonly unknown[]>
  readonly transcript: readonly unknown[]
}

/** The n-th call of a path fails `times` times, then it works. */
const failing =
  (paths: Readonly<Record<string, number>>, status = 500) =>
  (path: string, n: number) =>
    n <= (paths[path] ?? 0) ? status : 204

// The same code has to mean the same with an outbox that the relay reads and with messages that are announced to it.
const PROGRAMS: Readonly<Record<string, Program>> = {
  'two calls of a key in one commit, the first of which fails once': {
    async run(stage) {
      stage.answer = failing({ '/first': 1 })
      await stage.outbox.commit(async (_tx, message) => {
        message.call('stock', '/first', 1, { key: 'k' }).call('stock', '/second', 2, { key: 'k' })
      })
      await stage.called(3)
      return stage.calls()
    },
    transcript: ['/first 1', '/first 1', '/second 2'],
  },
  'every key of a commit orders, not the first one only': {
    async run(stage) {
      stage.answer = failing({ '/b1': 1 })
      await stage.outbox.commit(async (_tx, message) => {
        message.call('stock', '/a1', 1, { key: 'a' }).call('stock', '/b1', 1, { key: 'b' })
      })
      await stage.outbox.commit(async (_tx, message) => void message.call('stock', '/b2', 2, { key: 'b' }))
      await stage.called(4)
      return stage.calls().filter((call) => call.startsWith('/b'))
    },
    transcript: ['/b1 1', '/b1 1', '/b2 2'],
  },
  'a call that always fails is dead after attemptsMax, holds its key, and goes on when it is requeued': {
    options: { attemptsMax: 2 },
    async run(stage) {
      stage.answer = failing({ '/sick': 2 })
      for (const [path, n] of [
        ['/sick', 1],
        ['/behind', 2],
      ] as const) {
        await stage.outbox.commit(async (_tx, message) => void message.call('stock', path, n, { key: 'k' }))
      }
      await stage.outbox.commit(async (_tx, message) => void message.call('stock', '/other', 3, { key: 'other' }))
      const isHeld = async () => expect((await stage.deadLetters())[0]).toContain('holds 1')
      await eventually(isHeld, { timeoutMs: 20_000 })
      await stage.called(3)
      const dead = await stage.deadLetters()
      const before = [...stage.calls()].sort()
      await stage.requeueAll()
      await stage.called(5)
      return [dead, before, stage.calls().slice(-2)]
    },
    transcript: [
      ['stock · /sick · attempts 2 · answered 500 · 500 · holds 1'],
      ['/other 3', '/sick 1', '/sick 1'],
      ['/sick 1', '/behind 2'],
    ],
  },
  'what is refused is dead at once, and its key goes on when it is discarded': {
    async run(stage) {
      stage.answer = (path) => (path === '/poison' ? 410 : 204)
      await stage.outbox.commit(async (_tx, message) => {
        message.call('stock', '/poison', 1, { key: 'k' }).call('stock', '/next', 2, { key: 'k' })
      })
      await eventually(async () => expect(await stage.deadLetters()).toHaveLength(1), { timeoutMs: 20_000 })
      const dead = await stage.deadLetters()
      await stage.discardAll()
      await stage.called(2)
      return [dead, stage.calls()]
    },
    transcript: [['stock · /poison · attempts 1 · answered 410 · 410 · holds 1'], ['/poison 1', '/next 2']],
  },
  'a destination that is away burns no attempt': {
    options: { attemptsMax: 1 },
    async run(stage) {
      await stage.stock.kill()
      await stage.outbox.commit(async (_tx, message) => void message.call('stock', '/late', 1, { key: 'k' }))
      await sleep(300)
      await stage.stock.restart()
      await stage.called(1)
      return [stage.calls(), await stage.deadLetters()]
    },
    transcript: [['/late 1'], []],
  },
  'publishes and calls, JSON and bytes, keys, headers and delays': {
    async run(stage) {
      await stage.outbox.commit(async (_tx, message) => {
        message
          .publish(stage.subject('order.placed'), { id: 'é', n: 1 }, { key: 'Schlüssel', headers: { 'x-a': '1' } })
          .publish(stage.subject('order.raw'), Buffer.from([0, 255]))
          .publish(stage.subject('order.later'), 'later', { key: 'k', deliverAfter: 300 })
          .call('stock', '/call', { n: 2 }, { key: 'ké', headers: { 'x-b': '2' } })
          .call('stock', '/bytes', Buffer.from([0, 255]))
          .call('stock', '/later', 3, { key: 'k', deliverAfter: 300 })
      })
      await stage.called(3)
      await stage.published(3)
      const known = (headers: Readonly<Record<string, unknown>>) =>
        Object.entries(headers)
          .filter(([name]) => /^(postcommit-(branch|op|key|attempt)|content-type|x-|webhook-id)/.test(name))
          .map(([name, value]) => `${name}: ${String(value).replace(/^[\w-]{20,}:/, 'gid:')}`)
          .sort()
      const calls = stage.stock.calls.map(({ path, headers, body }) => [path, body.toString('hex'), known(headers)])
      const order = (list: readonly unknown[]) =>
        [...list].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
      return [order(await stage.stored()), order((await stage.storedHeaders()).map(known)), order(calls)]
    },
    transcript: [
      ['order.later "later"', 'order.placed {"id":"é","n":1}', 'order.raw \u0000\ufffd'],
      [
        ['content-type: application/json', 'postcommit-branch: 1', 'postcommit-key: Schl%C3%BCssel', 'x-a: 1'],
        ['content-type: application/json', 'postcommit-branch: 3', 'postcommit-key: k'],
        ['content-type: application/octet-stream', 'postcommit-branch: 2'],
      ],
      [
        [
          '/bytes',
          '00ff',
          [
            'content-type: application/octet-stream',
            'postcommit-attempt: 1',
            'postcommit-branch: 5',
            'postcommit-op: action',
            'webhook-id: gid:5',
          ],
        ],
        [
          '/call',
          '7b226e223a327d',
          [
            'content-type: application/json',
            'postcommit-attempt: 1',
            'postcommit-branch: 4',
            'postcommit-key: k%C3%A9',
            'postcommit-op: action',
            'webhook-id: gid:4',
            'x-b: 2',
          ],
        ],
        [
          '/later',
          '33',
          [
            'content-type: application/json',
            'postcommit-attempt: 1',
            'postcommit-branch: 6',
            'postcommit-key: k',
            'postcommit-op: action',
            'webhook-id: gid:6',
          ],
        ],
      ],
    ],
  },
  'a chosen gid is committed once, and other messages under it are a conflict': {
    async run(stage) {
      const commit = (n: number) =>
        stage.outbox.commit(async (_tx, message) => void message.call('stock', '/once', n), { gid: 'order-1' })
      const first = await commit(1)
      const again = await commit(1)
      const other = await commit(2).catch((error: { code: string }) => error.code)
      await stage.called(1)
      await sleep(300)
      return [first.duplicated, again.duplicated, other, stage.calls()]
    },
    transcript: [false, true, 'POSTCOMMIT_GID_CONFLICT', ['/once 1']],
  },
  'what is rolled back is neither called nor published': {
    async run(stage) {
      const failed = await stage.outbox
        .commit(async (_tx, message) => {
          message.call('stock', '/never', 1, { key: 'k' }).publish(stage.subject('never'), 1)
          throw new Error('no')
        })
        .catch((error: Error) => error.message)
      await stage.outbox.commit(async (_tx, message) => {
        message.call('stock', '/yes', 2, { key: 'k' }).publish(stage.subject('yes'), 2)
      })
      await stage.called(1)
      await stage.published(1)
      return [failed, stage.calls(), await stage.stored()]
    },
    transcript: ['no', ['/yes 2'], ['yes 2']],
  },
  'a stream that was lost is published again, each key in order': {
    async run(stage) {
      for (let n = 1; n <= 5; n += 1) {
        await stage.outbox.commit(async (_tx, message) => {
          message.publish(stage.subject('order.placed'), n, { key: 'k' })
        })
      }
      await stage.published(5)
      await sleep(500)
      await stage.loseStream()
      await stage.published(5)
      return await stage.stored()
    },
    transcript: [1, 2, 3, 4, 5].map((n) => `order.placed ${n}`),
  },
  'a hundred messages of one commit, in the order of their key': {
    async run(stage) {
      await stage.outbox.commit(async (_tx, message) => {
        for (let n = 1; n <= 100; n += 1) message.publish(stage.subject('n'), n, { key: 'k' })
      })
      await stage.published(100)
      return await stage.stored()
    },
    transcript: Array.from({ length: 100 }, (_, n) => `n ${n + 1}`),
  },
}

describe.each(MODES)('%s', (mode) => {
  test.each(Object.entries(PROGRAMS))(
    '%s',
    async (_name, { options = {}, run, transcript }) => {
      expect(await onStage(mode, options, run)).toEqual(transcript)
    },
    120_000,
  )
})
