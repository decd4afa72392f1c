/** The server's clock, as far as a client can know it. */
export interface ServerTime {
  /** Not later than the server's time, milliseconds. */
  readonly earliest: number
  /** Not earlier than it. */
  readonly latest: number
}

const MEASURE_AGAIN_MS = 600_000

/**
 * Tells the server's time. NATS does not say it, but stamps what it stores: what was stored between two moments of ours
 * has a stamp of its clock between them. From then on our monotonic clock counts.
 *
 * @param store - has the server store something; resolves to its stamp, milliseconds
 */
export function serverClock(store: () => Promise<number>): { now(): Promise<ServerTime>; forget(): void } {
  let measured: { readonly at: number; readonly earliest: number; readonly latest: number } | undefined
  let measuring: Promise<void> | undefined

  async function measure(): Promise<void> {
    const before = performance.now()
    const stamp = await store()
    const after = performance.now()
    // Stored as early as `before`: then our time differs by at most that much from the stamp.
    measured = { at: after, earliest: stamp - after, latest: stamp + 1 - before }
  }

  return {
    async now() {
      if (measured === undefined || performance.now() - measured.at > MEASURE_AGAIN_MS) {
        measuring ??= measure().finally(() => {
          measuring = undefined
        })
        await measuring
      }
      const own = performance.now()
      return { earliest: own + (measured?.earliest ?? 0), latest: own + (measured?.latest ?? 0) }
    },
    forget() {
      measured = undefined
    },
  }
}
