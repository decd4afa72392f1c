/** The word by which a service of DTM decides. */
export type DtmWord = 'SUCCESS' | 'ONGOING' | 'FAILURE'

/** In the order of DTM: a service that is not ready yet has not failed. */
const WORDS = ['ONGOING', 'FAILURE', 'SUCCESS'] as const satisfies readonly DtmWord[]

/**
 * Reads `dtm_result` of an answer that was parsed. It is a decision wherever it is a field of the answer itself, since
 * nothing but a service of DTM has such a field; the same words in any other text are data of the business. They may be
 * a part of it: the client for Python says `DTMFAILUREERROR`.
 */
export function dtmWordOf(value: unknown): DtmWord | undefined {
  const said = fieldOf(value, 'dtm_result')
  return typeof said === 'string' ? WORDS.find((word) => said.includes(word)) : undefined
}

/** Reads an answer as DTM itself does: by the status, and by the words wherever they are in the text. */
export function lenientWordOf(status: number, text: string): Exclude<DtmWord, 'SUCCESS'> | undefined {
  if (status === 425 || text.includes('ONGOING')) return 'ONGOING'
  return status === 409 || text.includes('FAILURE') ? 'FAILURE' : undefined
}

/** Whether an answer says nothing at all, as handlers do that have no result: no text, `null` or `{}`. */
export function isNothing(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return true
  return typeof value === 'object' && !Array.isArray(value) && Object.keys(value).length === 0
}

/** The value of an answer in JSON; a text that is not JSON, or blank, is itself. */
export function contentOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text.trim()
  }
}

/** A field of an object; undefined if it is none or has none of that name. */
export function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined
}
