import type { Reporter, SerializedError, TestModule } from 'vitest/node'

/** What a run amounts to. */
interface Counts {
  passed: number
  failed: number
  skipped: number
}

/**
 * Ends the output of a run with `N passed, N failed` alone on the last line, and `, N skipped` if there were any.
 *
 * Whatever went wrong outside a test counts as failed too: a file that cannot be loaded, a hook that throws, an error
 * nobody caught, servers that do not start. A run that ended without a report has failed.
 */
export default class ClosingLine implements Reporter {
  private counts: Counts = { passed: 0, failed: 1, skipped: 0 }

  onInit(): void {
    // Teardown still prints after the last test; nothing prints after this.
    process.once('exit', (code) => {
      // Servers that do not start, or no test file at all, reach no test and show in the exit code alone.
      if (code !== 0 && this.counts.failed === 0) this.counts.failed = 1
      if (this.counts.failed > 0 && code === 0) process.exitCode = 1
      process.stdout.write(`\n${closingLine(this.counts)}\n`)
    })
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    this.counts = countResults(modules, unhandled)
  }
}

/** Adds up tests, and as failures everything that failed around them. */
export function countResults(modules: readonly TestModule[], unhandled: readonly SerializedError[]): Counts {
  const counts: Counts = { passed: 0, failed: unhandled.length, skipped: 0 }
  for (const module of modules) {
    counts.failed += module.errors().length
    for (const suite of module.children.allSuites()) counts.failed += suite.errors().length
    for (const test of module.children.allTests()) {
      const { state } = test.result()
      // Pending at the end of a run: it never got to its end.
      counts[state === 'pending' ? 'failed' : state] += 1
    }
  }
  return counts
}

/** The line itself. */
export function closingLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}
