import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { watchEventLoop } from './event-loop.ts'

test('tells how long the event loop kept others waiting, during and after', async () => {
  const loop = watchEventLoop()
  try {
    expect(loop.lagMs()).toBeLessThan(200)
    const until = performance.now() + 900
    while (performance.now() < until);
    expect(loop.lagMs()).toBeGreaterThan(300)
    // The tick that was late has run by now, and what it saw is still told.
    await sleep(50)
    expect(loop.lagMs()).toBeGreaterThan(300)
  } finally {
    loop.stop()
  }
})
