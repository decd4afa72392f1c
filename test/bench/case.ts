import type { Measurement } from './measurement.ts'
import type { Servers } from './servers.ts'

/** A part of the bench that can be run alone with `--only`. */
export interface Case {
  readonly name: string
  /** What it answers, in a line. */
  readonly title: string
  /** What of it cannot be compared, and with what. Printed in the document. */
  readonly caveats?: readonly string[]
  /** A quick run leaves it out, unless it is named. */
  readonly onlyInFull?: boolean
  /** Begins, before the first case is run, what has to grow old until this one is measured. */
  prepare?(bench: Bench): Promise<Prepared>
  run(bench: Bench): Promise<readonly Measurement[]>
}

/** Something that needs time more than work; it takes none of the processors while it waits. */
export interface Prepared {
  /** Measured after the case that prepared it. */
  measure(bench: Bench): Promise<readonly Measurement[]>
}

/** What a case is run with. */
export interface Bench {
  readonly servers: Servers
  /** Less work and fewer rounds, for a run of minutes. */
  readonly quick: boolean
  readonly rounds: number
  /** The first in a full run, the second in a quick one. */
  scale<T>(full: T, quick: T): T
  /** A line of progress that the next one replaces. */
  progress(text: string): void
}
