const VALUE_LENGTH_MAX = 300

/** Puts values in the place of the names in braces. */
export function fillTemplate(template: string, values: Record<string, string | number>): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => shown(name, values[name] ?? ''))
}

/** Values come from outside: shorten them and show control characters, so that a message stays one message. */
function shown(name: string, value: string | number): string {
  const text = String(value)
  if (name === 'problems') return text
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is being escaped
  const printable = text.replace(/[\u0000-\u001f\u007f]/g, (c) => JSON.stringify(c).slice(1, -1))
  return printable.length > VALUE_LENGTH_MAX ? `${printable.slice(0, VALUE_LENGTH_MAX)}…` : printable
}
