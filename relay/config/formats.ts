import { subjectFilterProblem } from '../engine/subject-filter.ts'
import { isLoopback } from '../http/loopback.ts'

/** Why a text is not the address of a PostgreSQL database, or undefined. The reason never quotes the text. */
export function postgresUrlProblem(text: string): string | undefined {
  const url = parseUrl(text)
  if (url === undefined) return 'it is not a URL; it should look like postgres://user:password@host:5432/database'
  if (url.protocol !== 'postgres:' && url.protocol !== 'postgresql:') return 'it does not start with postgres://'
  return undefined
}

/** The other host that a valid PostgreSQL address leads to without TLS; pg speaks TLS only where it is asked to. */
export function remotePlaintextHost(text: string): string | undefined {
  const url = parseUrl(text)
  const host = url?.searchParams.get('host') ?? decodeURIComponent(url?.hostname ?? '')
  // None, or the folder of a socket: pg stays on this machine.
  if (url === undefined || host === '' || host.startsWith('/') || isLoopback(host)) return undefined
  const mode = url.searchParams.get('sslmode')
  const ssl = url.searchParams.get('ssl')
  const encrypted = mode === null ? ssl === 'true' || ssl === '1' : mode !== 'disable'
  return encrypted ? undefined : host
}

/** Why a text is not the address of a Redis, or undefined. The reason never quotes the text. */
export function redisUrlProblem(text: string): string | undefined {
  const url = parseUrl(text)
  if (url === undefined) return 'it is not a URL; it should look like redis://user:password@host:6379'
  return url.protocol === 'redis:' || url.protocol === 'rediss:'
    ? undefined
    : 'it does not start with redis:// or rediss://'
}

/** Why a text is not the base address of an HTTP destination, or undefined. */
export function destinationUrlProblem(text: string): string | undefined {
  const url = parseUrl(text)
  if (url === undefined) return 'it is not a URL; it should look like https://stock.internal/hooks'
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return 'only http:// and https:// can be called'
  if (url.username !== '' || url.password !== '') return 'user and password in a URL are not sent; use secrets'
  if (url.search !== '' || url.hash !== '') return 'a base address has no query and no fragment'
  return undefined
}

/** Why a text is not a subject filter that a stream for messages may have, or undefined. */
export function streamSubjectProblem(text: string): string | undefined {
  const problem = subjectFilterProblem(text)
  if (problem !== undefined) return problem
  const [first, second] = text.split('.')
  // Such a stream also takes the requests of JetStream's own API, and answers them itself.
  if (first === '>' || (first === '*' && second !== undefined)) {
    return 'the first token must not be a wildcard: the stream would swallow the requests to JetStream itself'
  }
  return undefined
}

function parseUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined
}
