const startedAt = performance.now()

/** Prints a line of the timeline: seconds since the start, what happened, to whom. */
export function say(event: string, text: string): void {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(5)
  console.log(`${seconds} s  ${event.padEnd(5)}  ${text}`)
}
