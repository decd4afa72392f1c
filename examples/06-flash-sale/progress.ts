/** A line that says how far the sale is. */
import type { Told } from './crowd.ts'
import type { Killer } from './killer.ts'
import type { Market } from './market.ts'

/** The line. */
export interface Progress {
  answered(told: Told): void
  stop(): void
}

const EVERY_MS = { terminal: 200, file: 5000 }

/**
 * On a terminal the next line replaces the last one. Elsewhere there is one now and then, if it is `long`: a transcript
 * must be the same each time.
 */
export function showProgress(market: Market, { kills }: Killer, long: boolean): Progress {
  const { isTTY } = process.stdout
  const count = (number: number) => number.toLocaleString('en')
  let last: Told = { clicks: 0, served: 0, refused: 0 }
  const show = async () => {
    // A server that is being killed answers another time.
    const numbers = await market.numbers().catch(() => undefined)
    if (numbers === undefined || isOver) return
    const killed = [...kills.values()].reduce((sum, times) => sum + times, 0)
    const line = `  ${count(last.clicks)} clicks answered, deducted ${count(numbers.deducted)}, orders ${count(numbers.orders)}, ${killed} killed`
    process.stdout.write(isTTY ? `\r\u001b[K${line}` : `${line}\n`)
  }
  let isOver = false
  const timer = isTTY || long ? setInterval(() => void show(), EVERY_MS[isTTY ? 'terminal' : 'file']) : undefined
  return {
    answered(told) {
      last = { ...told }
    },
    stop() {
      isOver = true
      clearInterval(timer)
      if (isTTY) process.stdout.write('\r\u001b[K')
    },
  }
}
