const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const

/** A time span for people, in the largest unit of which it has at least one: `13 ms`, `2.5 s`, `40 min`. */
export function formatDuration(milliseconds: number): string {
  const rounded = Math.max(0, Math.round(milliseconds))
  const [unit, size] = UNITS.find(([, candidate]) => rounded >= candidate) ?? (['ms', 1] as const)
  const amount = rounded / size
  return `${amount < 10 && unit !== 'ms' ? Math.floor(amount * 10) / 10 : Math.floor(amount)} ${unit}`
}

/** Milliseconds of a time span such as `90s`, `15m`, `1h` or `2d`; undefined if it is none. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9}) ?(ms|s|m|min|h|d)$/.exec(text.trim())
  const size = UNITS.find(([unit]) => unit === (match?.[2] === 'm' ? 'min' : match?.[2]))?.[1]
  return match === null || size === undefined ? undefined : Number(match[1]) * size
}
