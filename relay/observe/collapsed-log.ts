/** One line of a log that stands for many. */
export interface CollapsedLog {
  /** Writes it, or counts it if one of the same cause was written within the last minute. */
  add(cause: string, write: (count: number) => void): void
}

const LINE_EVERY_MS = 60_000
/** Causes that are told apart; of more of them the oldest is written anew. */
const CAUSES_MAX = 1000

interface Told {
  at: number
  /** Since then. */
  count: number
}

/**
 * Writes one line a minute for each cause, with how often it occurred since the line before. What goes on for hours would
 * otherwise write a line for each message that it concerns.
 *
 * @param now - monotonic milliseconds
 */
export function collapseLog(now: () => number = () => performance.now()): CollapsedLog {
  const causes = new Map<string, Told>()
  return {
    add(cause, write) {
      const told = causes.get(cause)
      if (told !== undefined && now() - told.at < LINE_EVERY_MS) {
        told.count += 1
        return
      }
      if (told === undefined && causes.size >= CAUSES_MAX) {
        const [oldest] = causes.keys()
        if (oldest !== undefined) causes.delete(oldest)
      }
      causes.set(cause, { at: now(), count: 0 })
      write((told?.count ?? 0) + 1)
    },
  }
}
