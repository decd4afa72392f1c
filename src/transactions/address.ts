import type { ActionTarget, Target, TopicTarget } from '../protocol/target.ts'

/**
 * Where a step is called: `stock/deduct` for the path `/deduct` of the configured destination `stock`, a whole URL, or
 * either spelled out.
 */
export type Address = `http://${string}` | `https://${string}` | `${string}/${string}` | Target

/** Where a step is called that may be several: also `{ topic: 'order.placed' }`, everybody who has subscribed to it by then. */
export type ActionAddress = Address | TopicTarget

/** The target that an address means; whether it is a valid one is seen when the definition is checked. */
export function targetOf(address: Address): Target
export function targetOf(address: ActionAddress): ActionTarget
export function targetOf(address: ActionAddress): ActionTarget {
  if (typeof address !== 'string') return address
  if (/^https?:\/\//.test(address)) return { url: address }
  const slash = address.indexOf('/')
  // Without a slash there is no path, which the check says.
  return slash < 0
    ? { destination: address, path: '' }
    : { destination: address.slice(0, slash), path: address.slice(slash) }
}
