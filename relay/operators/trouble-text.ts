import type { Trouble } from '../store/broker/select-trouble.ts'
import { formatDuration } from './duration.ts'

/** What is in the way of messages, in a sentence without its end: `stream ORDERS is full since …; next probe in 12 s`. */
export function troubleText(trouble: Trouble): string {
  const { since, error, nextProbeInMs } = trouble
  const because = error === '' ? '' : ` (${error})`
  const next = nextProbeInMs <= 0 ? 'now' : `in ${formatDuration(nextProbeInMs)}`
  return `${whatOf(trouble)} since ${since.toISOString()}${because}; next probe ${next}`
}

function whatOf({ scope, cause }: Trouble): string {
  if (scope === 'nats') return cause === 'not ready' ? 'NATS is not published to' : 'NATS does not acknowledge'
  if (scope.startsWith('destination ')) return `${scope.slice('destination '.length)} is away`
  switch (cause) {
    case 'full':
      return `${scope} is full`
    case 'sealed':
      return `${scope} is sealed`
    case 'missing':
      return `no stream takes ${scope}`
    case 'denied':
      return `the user of the relay may not publish to ${scope}`
    case 'foreign':
      return `${scope} is not acknowledged by the stream that should`
    default:
      return `${scope} does not acknowledge`
  }
}
