import {
  type ActionTarget,
  isDestinationName,
  NATS_DESTINATION,
  pathProblem,
  readTarget,
  type Target,
  topicProblem,
} from 'postcommit/protocol'

/** Where a stored target leads. */
export type Route =
  /** A configured destination, and the path, subject or handler at it. */
  | { readonly kind: 'named'; readonly destination: string; readonly target: string }
  | { readonly kind: 'url'; readonly url: URL }
  | { readonly kind: 'topic'; readonly topic: string }
  /** Nothing is called, and that is done. */
  | { readonly kind: 'nobody' }
  /** Nothing is called, because no target like this can have been handed in. */
  | { readonly kind: 'unreadable'; readonly reason: string }

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

/**
 * Reads a stored target: a row is foreign input, so by the grammar by which targets are handed in. What DTM's clients hand
 * in is read by the same rules: addresses and topics.
 */
export function readStoredTarget(text: string): Route {
  if (text === '') return { kind: 'nobody' }
  if (text.startsWith(TOPIC)) return { kind: 'topic', topic: text.slice(TOPIC.length) }
  if (/^https?:\/\//i.test(text)) {
    return URL.canParse(text) ? { kind: 'url', url: new URL(text) } : unreadable('not a URL')
  }
  if (text.startsWith(`${NATS_DESTINATION}:`)) {
    const subject = text.slice(NATS_DESTINATION.length + 1)
    const problem = topicProblem(subject)
    return problem === undefined ? named(NATS_DESTINATION, subject) : unreadable(problem)
  }
  const slash = text.indexOf('/')
  const destination = slash === -1 ? text : text.slice(0, slash)
  const path = slash === -1 ? '/' : text.slice(slash)
  if (!isDestinationName(destination)) return unreadable('its destination is none')
  const problem = pathProblem(path)
  return problem === undefined ? named(destination, path) : unreadable(problem)
}

function named(destination: string, target: string): Route {
  return { kind: 'named', destination, target }
}

function unreadable(reason: string): Route {
  return { kind: 'unreadable', reason: `its target is not valid: ${reason}` }
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
