import type { Target } from 'postcommit/protocol'
import { describe, expect, test } from 'vitest'
import { laneOf, readStoredTarget, storeTarget } from './stored-target.ts'

describe('stored targets', () => {
  test.each<[Target, string, object, string]>([
    [
      { destination: 'stock', path: '/a/b?c=1' },
      'stock/a/b?c=1',
      { kind: 'named', destination: 'stock', target: '/a/b?c=1' },
      'stock',
    ],
    [
      { subject: 'order.placed' },
      'nats:order.placed',
      { kind: 'named', destination: 'nats', target: 'order.placed' },
      'nats',
    ],
    [
      { url: 'https://a.example:8443/x?y=1' },
      'https://a.example:8443/x?y=1',
      { kind: 'url' },
      'https://a.example:8443',
    ],
  ])('%o', (target, text, route, lane) => {
    expect(storeTarget(target)).toBe(text)
    expect(readStoredTarget(text)).toMatchObject(route)
    expect(laneOf(readStoredTarget(text))).toBe(lane)
  })

  test.each([
    ['', { kind: 'nobody' }],
    ['topic://order.placed', { kind: 'topic', topic: 'order.placed' }],
    ['stock', { kind: 'named', destination: 'stock', target: '/' }],
    ['HTTP://A.example/x', { kind: 'url' }],
    ['http://', { kind: 'unreadable' }],
    ['/path', { kind: 'unreadable' }],
    ['../stock/x', { kind: 'unreadable' }],
    ['etcd://host/key', { kind: 'unreadable' }],
  ])('%s', (text, route) => {
    expect(readStoredTarget(text)).toMatchObject(route)
  })
})
