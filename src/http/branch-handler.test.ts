import { Webhook } from 'standardwebhooks'
import { describe, expect, test } from 'vitest'
import { PostcommitError } from '../protocol/errors.ts'
import { DeliveryPostponed, DeliveryRefused } from '../protocol/refusal.ts'
import { type BranchDelivery, branchHandler } from './branch-handler.ts'
import { handler } from './handler.ts'

const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const body = '{"sku":"a"}'

function signed(id: string, change: Record<string, string> = {}, content = body): Record<string, string> {
  const at = new Date()
  return {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(secret).sign(id, at, content),
    ...change,
  }
}

async function call(headers: Record<string, string>, thrown?: Error, content = body) {
  const seen: BranchDelivery[] = []
  const errors: unknown[] = []
  const { fetch } = branchHandler({
    secrets: [secret],
    onError: (error) => errors.push(error),
    handle(delivery) {
      seen.push(delivery)
      if (thrown !== undefined) throw thrown
    },
  })
  const response = await fetch(new Request('http://stock/deduct', { method: 'POST', headers, body: content }))
  return { status: response.status, text: await response.text(), seen, errors }
}

test('hands over what is under the signature, in headers too that did not come', async () => {
  const { status, seen } = await call(signed('order-1:stock.a:compensate', { 'postcommit-attempt': '3' }))
  expect(status).toBe(204)
  expect(seen).toMatchObject([
    { id: 'order-1:stock.a:compensate', gid: 'order-1', branch: 'stock.a', op: 'compensate', attempt: 3 },
  ])
  expect(seen[0]?.payload).toEqual({ sku: 'a' })
  expect(seen[0]?.headers).toMatchObject({
    'postcommit-gid': 'order-1',
    'postcommit-branch': 'stock.a',
    'postcommit-op': 'compensate',
  })
})

test('takes a message as the action of the branch that its number is', async () => {
  const { status, seen } = await call(signed('order-1:2', { 'postcommit-branch': '2', 'postcommit-op': 'action' }))
  expect(status).toBe(204)
  expect(seen).toMatchObject([{ gid: 'order-1', branch: '2', op: 'action' }])
})

test('takes a step without data as one without a payload', async () => {
  const { status, seen } = await call(signed('order-1:stock.a:action', {}, ''), undefined, '')
  expect(status).toBe(204)
  expect(seen).toMatchObject([{ gid: 'order-1', op: 'action', payload: undefined }])
})

describe('what no relay sends is refused', () => {
  test.each([
    ['another op than the one that is signed', 400, signed('g:stock:action', { 'postcommit-op': 'compensate' })],
    ['another branch', 400, signed('g:stock:action', { 'postcommit-branch': 'order' })],
    ['another gid', 400, signed('g:stock:action', { 'postcommit-gid': 'h' })],
    ['an op that is none', 400, signed('g:stock:drop')],
    ['an id with more in it', 400, signed('g:stock:action:x')],
    ['an id that is none', 400, signed('what')],
    ['an id that was not signed', 401, signed('g:stock:action', { 'webhook-id': 'g:stock:compensate' })],
  ])('%s', async (_, expected, headers) => {
    const { status, seen } = await call(headers)
    expect({ status, seen }).toEqual({ status: expected, seen: [] })
  })
})

describe('what it throws is answered', () => {
  const inProgress = new PostcommitError('POSTCOMMIT_BRANCH_IN_PROGRESS', { gid: 'g', branch: 'stock' })
  test.each([
    ['a refusal', 409, new DeliveryRefused('sold out'), 'sold out', 0],
    ['another call at work', 425, inProgress, 'POSTCOMMIT_BRANCH_IN_PROGRESS', 0],
    ['a pause', 503, new DeliveryPostponed(1000), 'pause', 0],
    ['anything else, without what it is', 500, new Error('secret'), '', 1],
  ])('%s', async (_, expected, thrown, says, unexpected) => {
    const { status, text, errors } = await call(signed('g:stock:action'), thrown)
    expect({ status, errors: errors.length }).toEqual({ status: expected, errors: unexpected })
    expect(text).toContain(says)
    expect(text).not.toContain('secret')
  })
})

test('a handler of messages says whose a branch of a saga is', async () => {
  const { fetch } = handler({ secrets: [secret], handle: () => undefined })
  const headers = signed('g:stock:action')
  const response = await fetch(new Request('http://stock/deduct', { method: 'POST', headers, body }))
  expect(response.status).toBe(400)
  expect(await response.text()).toContain('branchHandler()')
})
