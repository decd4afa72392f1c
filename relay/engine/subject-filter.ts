/** Why a text is not a filter of subjects, or undefined. */
export function subjectFilterProblem(text: string): string | undefined {
  const tokens = text.split('.')
  if (!tokens.every((token) => /^[A-Za-z0-9_-]+$|^[*>]$/.test(token))) {
    return 'a subject is tokens of A-Z a-z 0-9 _ and - joined by dots; * stands for one token, > for the rest'
  }
  return tokens.slice(0, -1).includes('>') ? '> is only allowed at the end' : undefined
}

/** Whether a filter takes a subject. */
export function takesSubject(filter: string, subject: string): boolean {
  const tokens = subject.split('.')
  const wanted = filter.split('.')
  const isOpen = wanted.at(-1) === '>'
  const fixed = isOpen ? wanted.slice(0, -1) : wanted
  if (isOpen ? tokens.length <= fixed.length : tokens.length !== fixed.length) return false
  return fixed.every((token, index) => token === '*' || token === tokens[index])
}
