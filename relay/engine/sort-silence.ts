/** What is known when a publish has got no acknowledgement in time. */
export interface Heard {
  /** Something that is not JetStream has answered it, so the connection works. */
  readonly foreign: boolean
  /** Streams that take the subject; undefined if JetStream does not say. */
  readonly streams: readonly string[] | undefined
  /** The stream that has acknowledged another subject, sent later than this one; undefined if none has. */
  readonly ackedBy: string | undefined
}

/** Whom a silence is about. */
export type Silence =
  | { readonly of: 'broker' }
  | { readonly of: 'subject'; readonly cause: 'missing' | 'foreign' | 'silent' }
  | { readonly of: 'stream'; readonly stream: string; readonly cause: 'silent' }

/**
 * Decides whom a missing acknowledgement is about. It is the broker only if nothing at all gets through: a subject that no
 * stream takes, an answer of something else, or an acknowledgement of a later message each prove that the broker works.
 */
export function sortSilence({ foreign, streams, ackedBy }: Heard): Silence {
  if (foreign) return { of: 'subject', cause: 'foreign' }
  if (streams?.length === 0) return { of: 'subject', cause: 'missing' }
  if (ackedBy === undefined) return { of: 'broker' }
  const [stream] = streams ?? []
  // Another subject of the same stream gets through, or it is not known which stream it is.
  return stream === undefined || stream === ackedBy
    ? { of: 'subject', cause: 'silent' }
    : { of: 'stream', stream, cause: 'silent' }
}
