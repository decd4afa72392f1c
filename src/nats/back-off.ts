/** Pauses between attempts: exponential with full jitter. */
export interface BackOff {
  /** Longest pause after the first failure, milliseconds. */
  readonly baseMs: number
  /** Longest pause ever, milliseconds. */
  readonly capMs: number
}

/**
 * The pause after the nth failure: anything up to `min(capMs, baseMs * 2 ** (failures - 1))`, evenly, so that what
 * failed together does not come back together.
 *
 * @param failures - from 1
 * @param random - in [0, 1)
 */
export function pauseMs({ baseMs, capMs }: BackOff, failures: number, random: number): number {
  return Math.round(random * Math.min(capMs, baseMs * 2 ** Math.min(failures - 1, 52)))
}
