import { setTimeout as sleep } from 'node:timers/promises'
import type { Order } from './schema.ts'

/** How customers behave. */
export interface LoadOptions {
  /** Of the order service. */
  readonly url: string
  /** The ids of the orders begin with it. */
  readonly batch: string
  /** How many customers order at the same time, each one order after the other, default 8. */
  readonly customers?: number
  /** How long a customer thinks between two orders, default 40. */
  readonly pauseMs?: number
  /** In [0, 1), for what they order; default Math.random. */
  readonly random?: () => number
}

/** Customers at work. */
export interface Load {
  /** Ids of the orders that customers know to be placed. */
  readonly confirmed: readonly string[]
  /** Orders that customers know to be refused: more than a dozen of something. */
  readonly refused: readonly string[]
  /** How often a customer had to send an order again, not knowing what had become of it. */
  readonly repeats: number
  /** No new orders; resolves when every one that was begun has been answered, however long that takes. */
  stop(): Promise<void>
}

const SKUS = ['anvil', 'bellows', 'chisel', 'drill', 'easel', 'file'] as const
const ANSWER_TIMEOUT_MS = 5000
const REPEAT_AFTER_MS = 50

/** Has customers order until they are stopped. They never give up: what the shop does not answer is sent again. */
export function startLoad({ url, batch, customers = 8, pauseMs = 40, random = Math.random }: LoadOptions): Load {
  const confirmed: string[] = []
  const refused: string[] = []
  let repeats = 0
  let isOpen = true

  async function visit(customer: string): Promise<void> {
    for (let number = 1; isOpen; number += 1) {
      const sku = SKUS[Math.floor(random() * SKUS.length)] ?? SKUS[0]
      const quantity = 1 + Math.floor(random() * 13)
      const order = { orderId: `${batch}-${customer}-${number}`, customer, sku, quantity }
      let answer = await placeOrder(url, order)
      while (answer === 'unknown') {
        repeats += 1
        await sleep(REPEAT_AFTER_MS)
        answer = await placeOrder(url, order)
      }
      if (answer === 'placed') confirmed.push(order.orderId)
      else refused.push(order.orderId)
      await sleep(pauseMs)
    }
  }

  const visits = Promise.all(Array.from({ length: customers }, (_, index) => visit(`customer${index + 1}`)))
  // Reported by stop(); it may be a while until somebody calls it.
  visits.catch(() => undefined)
  return {
    confirmed,
    refused,
    get repeats() {
      return repeats
    },
    async stop() {
      isOpen = false
      await visits
    },
  }
}

/**
 * Sends one order once. `unknown`: no answer, or one that says "later"; the order may be placed all the same.
 * @throws Error if the shop says that the order makes no sense, which none of these customers deserves.
 */
export async function placeOrder(url: string, order: Order): Promise<'placed' | 'refused' | 'unknown'> {
  const request = { method: 'POST', body: JSON.stringify(order), signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) }
  const response = await fetch(`${url}/orders`, request).catch(() => undefined)
  const text = await response?.text().catch(() => undefined)
  switch (response?.status) {
    case 200:
    case 201:
      return 'placed'
    case 422:
      return 'refused'
    case undefined:
    case 503:
      return 'unknown'
    default:
      throw new Error(`${order.orderId}: ${response?.status} ${text}`)
  }
}
