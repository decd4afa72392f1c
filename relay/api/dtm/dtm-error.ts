/**
 * Something that a client of DTM is told with a message: `failure` (409) has been decided otherwise, `ongoing` (425) is
 * not decided yet, anything else is 500 at DTM, a broken request included.
 */
export class DtmError extends Error {
  readonly kind: 'failure' | 'ongoing' | 'other'

  constructor(message: string, kind: 'failure' | 'ongoing' | 'other' = 'other') {
    super(message)
    this.kind = kind
  }
}

/** DTM's own word for a topic that is not there. */
export const NOT_FOUND = 'storage: NotFound'

/** DTM's own words for a gid that is not there. */
export function unknownGid(gid: string): DtmError {
  return new DtmError(`no TransGlobal with gid: ${gid} found`)
}

/** The refusal of a kind of transaction that is not served. */
export function notServed(transType: string): DtmError {
  return new DtmError(`trans type '${transType}' is not served here`)
}
