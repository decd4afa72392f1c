import type { NamedTexts } from '../../config/layers.ts'
import type { ExitCode } from './exit-code.ts'

/** What a command may know and touch of the process that it runs in. */
export interface CommandContext {
  readonly cwd: string
  readonly env: NamedTexts
  /** Writes a line of the answer. */
  out(line: string): void
  /** Writes a line about the answer: errors, progress. */
  err(line: string): void
  /** Sets what the process will end with; 0 if no command does. */
  finish(code: ExitCode): void
  /** Ends the process at once, whatever it still holds open; without a code, with the one of `finish`. */
  end(code?: ExitCode): void
  /**
   * Aborted by the first SIGINT or SIGTERM; a second one ends the process at once. A command that does not ask for it
   * is ended by the first.
   */
  stopSignal(): AbortSignal
}
