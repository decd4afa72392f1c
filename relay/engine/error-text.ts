const CHARACTERS_MAX = 200

/**
 * What moves the cursor of a terminal, ends a line or turns the direction of what follows: control characters, line and
 * paragraph separators, formatting characters (bidi overrides, zero width) and halves of surrogate pairs.
 */
const UNSHOWABLE = '\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}'
const RUNS = new RegExp(`[${UNSHOWABLE}\\s]+`, 'gu')
const SINGLE = new RegExp(`[${UNSHOWABLE}]`, 'gu')

/**
 * A text from outside as it may be stored, logged and shown: one line, well-formed, without characters that do something
 * to a terminal (PostgreSQL refuses NUL in a text, and one refused row would hold up the batch it is in), at most 200
 * characters unless the caller has room for more.
 */
export function errorText(text: string, charactersMax = CHARACTERS_MAX): string {
  const line = text
    .slice(0, 4 * charactersMax)
    .replace(RUNS, ' ')
    .trim()
  if (line.length <= charactersMax) return line
  return `${line.slice(0, charactersMax - 1).replace(/\p{Cs}$/u, '')}…`
}

/**
 * Whole output, of several lines perhaps, as it may go to a terminal or a log: whatever else would do something there is
 * written as `\u202e`, which is what JSON text says for the same character. Line breaks stay.
 */
export function escapeUnshowable(text: string): string {
  return text.replace(SINGLE, (character) =>
    character === '\n' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}${low(character)}`,
  )
}

/** The second half of a character beyond the first plane. */
function low(character: string): string {
  return character.length === 1 ? '' : `\\u${character.charCodeAt(1).toString(16).padStart(4, '0')}`
}

const JSON_CHARACTERS_MAX = 2000
/** What is asked for to be seen whole. */
const WHOLE = new Set(['payload', 'headers'])

/** A value as JSON text for a terminal or a program: escaped as above, and no text in it without end. */
export function shownJson(value: unknown, indent?: number): string {
  const bounded = (name: string, field: unknown): unknown =>
    typeof field === 'string' && field.length > JSON_CHARACTERS_MAX && !WHOLE.has(name)
      ? errorText(field, JSON_CHARACTERS_MAX)
      : field
  return escapeUnshowable(JSON.stringify(value, bounded, indent))
}
