/** The middle of several rounds, and how far they lie apart. */
export interface Spread {
  readonly min: number
  readonly median: number
  readonly max: number
}

/** What a figure is held to. `value` is what it came to; for a ratio that of the median round. */
export interface Goal {
  readonly text: string
  readonly value: number
  readonly held: boolean
}

/** One thing measured: ours beside what is physically possible and what others do. Written as it is by `--json`. */
export interface Measurement {
  readonly name: string
  readonly unit: string
  readonly ours: Spread
  /** Where all rows are ours and are not compared: what the first of them is. */
  readonly first?: string
  /** What the machine could do at best: the same work without us. */
  readonly limit?: Spread & { readonly name: string }
  readonly peers: Readonly<Record<string, Spread>>
  readonly ratioToLimit?: number
  readonly ratioToBestPeer?: number
  readonly goal?: string
  readonly held?: boolean
  readonly goals: readonly Goal[]
  /** What a reader has to know to read the figure rightly. */
  readonly note?: string
}

/** The figures of every round, by contender. Round `i` of all of them was measured one after the other. */
export type Samples<Name extends string = string> = Readonly<Record<Name, readonly number[]>>

/** How to read samples. */
export interface Reading<Name extends string> {
  readonly name: string
  readonly unit: string
  /** Which contender is ours. */
  readonly ours: Name
  readonly limit?: Name
  readonly peers?: readonly Name[]
  readonly goals?: readonly Condition<Name>[]
  /** Default `higher`; a time is better when it is lower. */
  readonly better?: 'higher' | 'lower'
  /** All rows are ours and are not compared. */
  readonly allOurs?: boolean
  readonly note?: string
}

/** Something to hold. */
export type Condition<Name extends string> =
  | { readonly kind: 'at-least' | 'at-most'; readonly value: number }
  | { readonly kind: 'ratio-at-least' | 'ratio-at-most'; readonly to: Name; readonly value: number }

/** The median of the rounds is at least `value`. */
export const atLeast = (value: number) => ({ kind: 'at-least', value }) as const
/** The median of the rounds is at most `value`. */
export const atMost = (value: number) => ({ kind: 'at-most', value }) as const
/** Ours divided by `to` is at least `value`, in the median round. */
export const ratioAtLeast = <Name extends string>(to: Name, value: number) =>
  ({ kind: 'ratio-at-least', to, value }) as const
/** Ours divided by `to` is at most `value`, in the median round. */
export const ratioAtMost = <Name extends string>(to: Name, value: number) =>
  ({ kind: 'ratio-at-most', to, value }) as const

/** Makes a measurement of the samples of all rounds. */
export function read<Name extends string>(samples: Samples<Name>, reading: Reading<Name>): Measurement {
  const {
    name,
    unit,
    ours,
    limit,
    peers = [],
    goals: conditions = [],
    better = 'higher',
    allOurs = false,
    note,
  } = reading
  const goals = conditions.map((condition) => check(samples, ours, condition, unit))
  const best = allOurs ? undefined : bestOf(samples, peers, better)
  return {
    name,
    unit,
    ours: spread(samples[ours]),
    ...(allOurs ? { first: ours } : {}),
    ...(limit === undefined ? {} : { limit: { name: limit, ...spread(samples[limit]) } }),
    peers: Object.fromEntries(peers.map((peer) => [peer, spread(samples[peer])])),
    ...(limit === undefined ? {} : { ratioToLimit: ratio(samples, ours, limit) }),
    ...(best === undefined ? {} : { ratioToBestPeer: ratio(samples, ours, best) }),
    ...(goals.length === 0 ? {} : { goal: goals.map(({ text }) => text).join('; '), held: goals.every((g) => g.held) }),
    goals,
    ...(note === undefined ? {} : { note }),
  }
}

/** @throws if there is nothing to summarise: a case that measured nothing must not pass for one that did. */
export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const [min] = sorted
  const max = sorted.at(-1)
  if (min === undefined || max === undefined || !sorted.every(Number.isFinite)) {
    throw new Error(`not measured: [${values.join(', ')}]`)
  }
  return { min, median: median(sorted), max }
}

/** Of the ratios of all rounds the middle one: what disturbs a machine for a while disturbs both sides of a round. */
export function ratio<Name extends string>(samples: Samples<Name>, ours: Name, to: Name): number {
  return median(samples[ours].map((value, round) => value / (samples[to][round] ?? Number.NaN)).sort((a, b) => a - b))
}

function bestOf<Name extends string>(samples: Samples<Name>, peers: readonly Name[], better: 'higher' | 'lower') {
  const byMedian = [...peers].sort((a, b) => spread(samples[b]).median - spread(samples[a]).median)
  return better === 'higher' ? byMedian[0] : byMedian.at(-1)
}

function check<Name extends string>(
  samples: Samples<Name>,
  ours: Name,
  condition: Condition<Name>,
  unit: string,
): Goal {
  const limit = condition.value
  switch (condition.kind) {
    case 'at-least':
    case 'at-most': {
      const { median: value } = spread(samples[ours])
      const least = condition.kind === 'at-least'
      const text = `${least ? '≥' : '≤'} ${limit.toLocaleString('en')} ${unit}`
      return { text, value, held: least ? value >= limit : value <= limit }
    }
    case 'ratio-at-least':
    case 'ratio-at-most': {
      const value = ratio(samples, ours, condition.to)
      const least = condition.kind === 'ratio-at-least'
      const text = `${least ? '≥' : '≤'} ${limit} × ${condition.to}`
      return { text, value, held: least ? value >= limit : value <= limit }
    }
  }
}

function median(sorted: readonly number[]): number {
  const middle = sorted.length / 2
  const high = sorted[Math.floor(middle)] ?? Number.NaN
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? Number.NaN) + high) / 2
}
