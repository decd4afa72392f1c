/** DTM's limits, which its clients know. */
const GID_CHARACTERS = 128
const HEADERS_MAX = 32
const HEADER_CHARACTERS = 1024
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/
// They would change what the request is, not what it says.
const HEADERS_REFUSED = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'upgrade',
  'expect',
  'te',
])

/** Why a gid of DTM's clients is none, or `undefined`: up to 128 characters of anything that can be shown. */
export function dtmGidProblem(gid: string): string | undefined {
  if (gid === '') return 'no gid specified'
  if (gid.length > GID_CHARACTERS) return `gid: longer than ${GID_CHARACTERS} characters`
  if (/[\p{Cc}\p{Cs};]/u.test(gid)) return 'gid: it has a control character, half a surrogate pair, or ;'
  return undefined
}

/** Why headers that DTM's clients hand in are not sent, or `undefined`. */
export function dtmHeadersProblem(headers: Readonly<Record<string, unknown>>): string | undefined {
  const entries = Object.entries(headers)
  if (entries.length > HEADERS_MAX) return `branch_headers: more than ${HEADERS_MAX}`
  for (const [name, content] of entries) {
    const key = name.toLowerCase()
    if (!HEADER_NAME.test(name) || HEADERS_REFUSED.has(key)) return `branch_headers: ${key} is not allowed`
    if (typeof content !== 'string' || content.length > HEADER_CHARACTERS || !/^[\x20-\x7e]*$/.test(content)) {
      return `branch_headers: the value of ${key} is not up to ${HEADER_CHARACTERS} printable characters`
    }
  }
  return undefined
}
