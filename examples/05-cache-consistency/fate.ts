/** When each life of a service ends. */
export type Death =
  | { readonly how: 'between COMMIT and the caches'; readonly change: number }
  | { readonly how: 'somewhere'; readonly afterMs: number }

/** The same deaths for the same seed. */
export function drawDeaths(seed: number, lives: number): readonly Death[] {
  const random = randomOf(seed)
  return Array.from({ length: lives }, () =>
    random() < 0.5
      ? { how: 'between COMMIT and the caches', change: 1 + Math.floor(random() * 20) }
      : { how: 'somewhere', afterMs: Math.floor(random() * 400) },
  )
}

/** Of a death, for people. */
export function describeDeath(death: Death): string {
  return death.how === 'somewhere'
    ? `${death.afterMs} ms after its first change`
    : `between COMMIT and the caches, at its change ${death.change}`
}

/** Numbers from 0 to 1 that look random and are not: a linear congruential generator. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
