import { CACHE_STREAM, INVALIDATION_SUBJECT } from 'postcommit/protocol'
import type { RelayConfig } from './schema.ts'

/** A stream as the configuration says it. */
export type ConfiguredStream = RelayConfig['nats']['streams'][number]

const DAY_MS = 86_400_000
const DUPLICATE_WINDOW_MS = 600_000

/** The streams that a configuration names, and that of the invalidations of caches where it asks for it. */
export function configuredStreams({ nats, leaseMs }: RelayConfig): readonly ConfiguredStream[] {
  if (!nats.cacheStream) return nats.streams
  const cacheStream = {
    name: CACHE_STREAM,
    subjects: [`${INVALIDATION_SUBJECT}.>`],
    create: true,
    replicas: 1,
    // Whoever applies them may be away for so long; what a cache has kept longer would stay old until its ttl is over.
    maxAgeMs: 7 * DAY_MS,
    duplicateWindowMs: Math.max(DUPLICATE_WINDOW_MS, repeatHorizonMs({ nats, leaseMs })),
  }
  return [...nats.streams, cacheStream]
}

/** The longest time in which this relay or its successor publishes a message again, milliseconds. */
export function repeatHorizonMs({ nats, leaseMs }: Pick<RelayConfig, 'nats' | 'leaseMs'>): number {
  return 2 * leaseMs + nats.ackTimeoutMs
}

/** Whether a stream takes invalidations of caches. */
export function takesInvalidations({ subjects }: Pick<ConfiguredStream, 'subjects'>): boolean {
  const [own = ''] = INVALIDATION_SUBJECT.split('.')
  return subjects.some((subject) => subject === '>' || subject === `${own}.>` || subject.startsWith(`${own}.`))
}
