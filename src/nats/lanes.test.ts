import { describe, expect, test } from 'vitest'
import { createLanes, type Lanes } from './lanes.ts'

function lanesOf(...messages: readonly [sequence: number, key?: string][]): Lanes<string> {
  const lanes = createLanes<string>({ waitingBytesMax: 20, settledMax: 3 })
  for (const [sequence, key] of messages) deliver(lanes, sequence, key)
  return lanes
}

function deliver(lanes: Lanes<string>, sequence: number, key?: string, stamp = `t${sequence}`) {
  return lanes.arrive({
    sequence,
    stamp,
    key,
    reply: `ack.${sequence}.${stamp}`,
    content: `content ${sequence}`,
    bytes: 10,
  })
}

function takeAll(lanes: Lanes<string>) {
  const taken = []
  for (let next = lanes.take(); next !== undefined; next = lanes.take()) taken.push(next.entry)
  return taken
}

const sequences = (entries: readonly { sequence: number }[]) => entries.map(({ sequence }) => sequence)

describe('lanes', () => {
  test('messages without a key and heads of different keys run beside each other, followers wait', () => {
    const lanes = lanesOf([1, 'a'], [2], [3, 'a'], [4, 'b'], [5])
    expect(sequences(takeAll(lanes))).toEqual([1, 2, 4, 5])
    expect(lanes.waitingBytes).toBe(10)
  })

  test('the next of a key runs when the one before it is settled', () => {
    const lanes = lanesOf([1, 'a'], [2, 'a'])
    const [head] = takeAll(lanes)
    expect(head && lanes.settle(head)).toBe(true)
    expect(sequences(takeAll(lanes))).toEqual([2])
  })

  test('a failing head holds its key and no other', () => {
    const lanes = lanesOf([1, 'a'], [2, 'a'], [3, 'b'])
    const [head] = takeAll(lanes)
    if (head) lanes.pause(head, true)
    expect(takeAll(lanes)).toEqual([])
    if (head) lanes.resume(head)
    expect(takeAll(lanes)).toMatchObject([{ sequence: 1, failures: 1 }])
  })

  test('a paused message keeps its content if there is room, and is called back if there is none', () => {
    const lanes = lanesOf([1], [2], [3])
    for (const entry of takeAll(lanes)) {
      lanes.pause(entry, true)
      expect(takeAll(lanes)).toEqual([])
    }
    for (const entry of [...lanes.entries]) lanes.resume(entry)
    expect(sequences(takeAll(lanes))).toEqual([1, 2])
    expect(sequences(lanes.recall(10))).toEqual([3])
  })

  test('contents beyond the limit are given up, not their place; they are called back when it is their turn', () => {
    const lanes = lanesOf([1, 'a'], [2, 'a'], [3, 'a'], [4, 'a'])
    expect(lanes.waitingBytes).toBe(20)
    for (const expected of [1, 2, 3]) {
      const [entry] = takeAll(lanes)
      expect(entry?.sequence).toBe(expected)
      if (entry) lanes.settle(entry)
    }
    expect(takeAll(lanes)).toEqual([])
    expect(sequences(lanes.recall(10))).toEqual([4])
    expect(lanes.recall(10)).toEqual([])
    deliver(lanes, 4, 'a')
    expect(sequences(takeAll(lanes))).toEqual([4])
  })

  test('a redelivery of a running message does not run it again and moves where it is acknowledged', () => {
    const lanes = createLanes<string>({ waitingBytesMax: 20, settledMax: 3 })
    lanes.arrive({ sequence: 1, stamp: 't', key: undefined, reply: 'first', content: '', bytes: 0 })
    const [entry] = takeAll(lanes)
    expect(lanes.arrive({ sequence: 1, stamp: 't', key: undefined, reply: 'second', content: '', bytes: 0 })).toBe(
      'known',
    )
    expect(takeAll(lanes)).toEqual([])
    expect(entry?.reply).toBe('second')
  })

  test('a redelivery of a settled message is known as such, as long as it is remembered', () => {
    const lanes = lanesOf([1], [2], [3], [4])
    for (const entry of takeAll(lanes)) lanes.settle(entry)
    expect(deliver(lanes, 4)).toBe('settled')
    expect(deliver(lanes, 1)).toBe('new')
    expect(lanes.settledBetween(2, 3)).toEqual(['ack.3.t3'])
  })

  test('another message with the sequence of one that runs takes its place and waits for it', () => {
    const lanes = lanesOf([1, 'a'])
    const [old] = takeAll(lanes)
    expect(deliver(lanes, 1, 'a', 'of a new stream')).toBe('new')
    expect(takeAll(lanes)).toEqual([])
    expect(old && lanes.settle(old)).toBe(false)
    expect(takeAll(lanes)).toMatchObject([{ sequence: 1, stamp: 'of a new stream' }])
  })

  test('an earlier message that comes late runs before the later ones that have not begun', () => {
    const lanes = lanesOf([5, 'a'], [6, 'a'])
    deliver(lanes, 3, 'a')
    const order = []
    for (let [entry] = takeAll(lanes); entry !== undefined; [entry] = takeAll(lanes)) {
      order.push(entry.sequence)
      lanes.settle(entry)
    }
    expect(order).toEqual([3, 5, 6])
  })

  test('while the gate is closed only messages without a key run', () => {
    const lanes = lanesOf([1, 'a'])
    lanes.setGate(false)
    deliver(lanes, 2, 'b')
    deliver(lanes, 3)
    expect(sequences(takeAll(lanes))).toEqual([3])
    lanes.setGate(true)
    expect(sequences(takeAll(lanes)).sort()).toEqual([1, 2])
  })

  test('a message that the server has no more lets its key go on', () => {
    const lanes = lanesOf([1, 'a'], [2, 'a'])
    const [head] = takeAll(lanes)
    if (head) {
      lanes.pause(head, true)
      lanes.drop(head)
      lanes.resume(head)
    }
    expect(sequences(takeAll(lanes))).toEqual([2])
  })
})
