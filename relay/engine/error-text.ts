const CHARACTERS_MAX = 200

/**
 * A text from outside as it may be stored and logged: one line, well-formed, without control characters (PostgreSQL
 * refuses NUL in a text, and one refused row would hold up the batch it is in), at most 200 characters unless the caller has room for more.
 */
export function errorText(text: string, charactersMax = CHARACTERS_MAX): string {
  const line = text
    .slice(0, 4 * charactersMax)
    .replace(/[\p{Cc}\p{Cs}\s]+/gu, ' ')
    .trim()
  if (line.length <= charactersMax) return line
  return `${line.slice(0, charactersMax - 1).replace(/\p{Cs}$/u, '')}…`
}
