const CHARACTERS_MAX = 200

/**
 * A text from outside as it may be stored and logged: one line, well-formed, without control characters (PostgreSQL
 * refuses NUL in a text, and one refused row would hold up the batch it is in), at most 200 characters.
 */
export function errorText(text: string): string {
  const line = text
    .slice(0, 4 * CHARACTERS_MAX)
    .replace(/[\p{Cc}\p{Cs}\s]+/gu, ' ')
    .trim()
  if (line.length <= CHARACTERS_MAX) return line
  return `${line.slice(0, CHARACTERS_MAX - 1).replace(/\p{Cs}$/u, '')}…`
}
