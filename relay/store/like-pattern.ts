/** A LIKE pattern in which only `*` is special. */
export function likePattern(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&').replaceAll('*', '%')
}

/** A LIKE pattern of what begins with a text, in which nothing is special. */
export function likePrefix(text: string): string {
  return `${text.replace(/[\\%_]/g, '\\$&')}%`
}
