import { errorText } from '../engine/error-text.ts'

const MESSAGE_CHARACTERS_MAX = 1000

/** A line of JSON as a line for people: time, level if it matters, message, and the rest as `name=value`. */
export function formatLogLine(line: string): string {
  const { time, level, msg, relay: _, ...rest } = parseLine(line)
  const clock = typeof time === 'string' ? time.slice(11, 23) : ''
  const severity = level === 'info' ? '' : `${String(level)} `
  const fields = Object.entries(rest).map(([name, value]) => `  ${name}=${formatValue(value)}`)
  return `${clock}  ${severity}${errorText(String(msg ?? ''), MESSAGE_CHARACTERS_MAX)}${fields.join('')}\n`
}

function parseLine(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value === 'object' && value !== null) return { ...value }
  } catch {
    // Not one of ours; shown as it is.
  }
  return { level: 'info', msg: line.trimEnd() }
}

// JSON quotes line breaks and control characters, so no value can pass itself off as a line of its own.
function formatValue(value: unknown): string {
  return typeof value === 'string' && /^[\w.:/@-]+$/.test(value) ? value : JSON.stringify(value)
}
