/** How long the event loop of this process has lately kept its callers waiting. */
export interface EventLoopWatch {
  lagMs(): number
  stop(): void
}

const TICK_MS = 500

/** Watches by a timer: a tick that comes late was kept waiting, and so was everything else. */
export function watchEventLoop(): EventLoopWatch {
  let tickedAt = performance.now()
  let lateMs = 0
  const timer = setInterval(() => {
    const now = performance.now()
    lateMs = Math.max(0, now - tickedAt - TICK_MS)
    tickedAt = now
  }, TICK_MS)
  timer.unref()
  return {
    lagMs: () => Math.max(lateMs, performance.now() - tickedAt - TICK_MS),
    stop: () => clearInterval(timer),
  }
}
