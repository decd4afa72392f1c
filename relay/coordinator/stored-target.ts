import { type ActionTarget, isDestinationName, NATS_DESTINATION, readTarget, type Target } from 'postcommit/protocol'

/** Where a stored target leads. */
export type Route =
  /** A configured destination, and the path, subject or handler at it. */
  | { readonly kind: 'named'; readonly destination: string; readonly target: string }
  | { readonly kind: 'url'; readonly url: URL }
  | { readonly kind: 'topic'; readonly topic: string }
  /** Nothing is called, and that is done. */
  | { readonly kind: 'nobody' }
  | { readonly kind: 'unreadable' }

const TOPIC = 'topic://'

/** The destination of a back-query about messages of which nobody is asked: when their time has come they are committed. */
export const ASSUME_COMMITTED = 'dtm:committed'

/** A target as `postcommit.branch` holds it: `stock/deduct`, `nats:order.placed`, `https://…`, `topic://…`. */
export function storeTarget(target: ActionTarget): string {
  if ('topic' in target) return TOPIC + target.topic
  if ('url' in target) return target.url
  if ('subject' in target) return `${NATS_DESTINATION}:${target.subject}`
  return target.destination + target.path
}

/** Reads a stored target. What DTM's clients hand in is read by the same rules: addresses and topics. */
export function readStoredTarget(text: string): Route {
  if (text === '') return { kind: 'nobody' }
  if (text.startsWith(TOPIC)) return { kind: 'topic', topic: text.slice(TOPIC.length) }
  if (/^https?:\/\//i.test(text)) {
    return URL.canParse(text) ? { kind: 'url', url: new URL(text) } : { kind: 'unreadable' }
  }
  if (text.startsWith(`${NATS_DESTINATION}:`)) {
    return { kind: 'named', destination: NATS_DESTINATION, target: text.slice(NATS_DESTINATION.length + 1) }
  }
  const slash = text.indexOf('/')
  const destination = slash === -1 ? text : text.slice(0, slash)
  if (!isDestinationName(destination)) return { kind: 'unreadable' }
  return { kind: 'named', destination, target: slash === -1 ? '/' : text.slice(slash) }
}

/**
 * Reads a target that a person wrote as it is stored: one that a branch could have, and no topic.
 * @throws what the parsers of the protocol throw, with what is wrong.
 */
export function parseStoredTarget(text: string): Target {
  const route = readStoredTarget(text)
  switch (route.kind) {
    case 'url':
      return readTarget({ url: text }, 'target')
    case 'named': {
      const { destination, target } = route
      if (destination === NATS_DESTINATION) return readTarget({ subject: target }, 'target')
      return readTarget({ destination, path: target }, 'target')
    }
    case 'topic':
    case 'nobody':
    case 'unreadable':
      throw new RangeError('target: neither a destination with its path, nor nats: with a subject, nor an address')
  }
}

/** The name by which the limits of a destination go: the configured one, or the origin of an address. */
export function laneOf(route: Route): string | undefined {
  switch (route.kind) {
    case 'named':
      return route.destination
    case 'url':
      return route.url.origin
    case 'topic':
    case 'nobody':
    case 'unreadable':
      return undefined
  }
}
