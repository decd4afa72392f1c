import type { Statement } from './database.ts'

/** A statement without parameters: `$1`, `$2` … become literals. Its text must have no other dollar sign. */
export function inlineValues({ text, values }: Statement<string>): string {
  return text.replace(/\$(\d+)/g, (_, number: string) => literal(values[Number(number) - 1]))
}

/**
 * Text as a literal. Written so that it reads the same whether or not `standard_conforming_strings` is on: with it
 * off, a backslash escapes in a plain literal too, so text with one is always written as an escape string.
 */
function literal(value: string | undefined): string {
  // Types end at the border of a program, and what is no text here would end up in the statement as code.
  if (typeof value !== 'string') throw new TypeError(`a value of the statement is ${typeof value}, not text`)
  const quoted = `'${value.replaceAll("'", "''")}'`
  return quoted.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted
}
