/** Part of the gap that is kept at least, however few commit. */
const SHORT = 0.2
/** Commits since the last wake-up that are few. */
const FEW = 8
/** A wake-up is followed by a gap of so many times as long as it took. */
const REST = 10

/**
 * Wakes the relay after a commit, at most one wake-up in flight. No two are closer together than `gapMs` while commits
 * are many, than ten times what the last one took, and than a fifth of `gapMs`.
 *
 * Flat out, a NOTIFY for every commit costs a producer 11 to 21 % of its rate; a relay that has just been woken is
 * reading anyway and needs no second call. But for commits that come one by one the whole gap is their delay: with 10 ms
 * the median from commit to acknowledgement was 2.4 to 2.9 ms at 100 a second, with 2 ms 1.5 to 1.9. Where the
 * connections are all in use a wake-up waits for one, and keeps it from a commit: that is when it takes long. A wake-up
 * that fails is dropped: the relay polls as well.
 */
export function coalesceWake(wake: () => Promise<unknown>, gapMs: number): () => void {
  let settledAt = Number.NEGATIVE_INFINITY
  /** The gap after the last wake-up while few commit. */
  let restMs = 0
  /** Calls since the last wake-up was sent. */
  let calls = 0
  let busy = false

  const quietMs = (): number => settledAt + (calls > FEW ? gapMs : restMs) - performance.now()

  function send(): void {
    calls = 0
    const sentAt = performance.now()
    const settle = (): void => {
      settledAt = performance.now()
      restMs = Math.min(gapMs, Math.max(gapMs * SHORT, REST * (settledAt - sentAt)))
      busy = false
      if (calls > 0) sendOrSchedule()
    }
    wake().then(settle, settle)
  }

  function sendOrSchedule(): void {
    const waitMs = quietMs()
    busy = true
    if (waitMs <= 0) send()
    // Unreferenced: a process that has nothing else to do may end without this wake-up.
    else setTimeout(sendOrSchedule, waitMs).unref()
  }

  return () => {
    calls += 1
    if (!busy) sendOrSchedule()
  }
}
