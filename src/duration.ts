/** A time span: milliseconds, or text such as `500ms`, `90s`, `10m`, `1h` or `2d`. */
export type Duration = number | string

const SIZES = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** Milliseconds of a {@link Duration}, whole ones; undefined if it is none. */
export function readDuration(value: Duration): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined
  const [, amount, unit] = /^(\d{1,9}) ?(ms|s|m|min|h|d)$/.exec(String(value).trim()) ?? []
  return unit === undefined ? undefined : Number(amount) * SIZES[unit as keyof typeof SIZES]
}
