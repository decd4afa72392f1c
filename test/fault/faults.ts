import { setTimeout as sleep } from 'node:timers/promises'
import type { Program } from '../../examples/shop/program.ts'
import type { Stage } from './stage.ts'

/** Something that goes wrong and is mended again. */
export interface Fault {
  readonly name: string
  /** Makes it happen; resolves when it is mended. */
  happen(): Promise<void>
}

type Between = (least: number, most: number) => number

/** What can happen to the programs of a shop: they are killed, and relays are also stopped past their lease. */
export function programFaults(
  { orders, stock, mail, relays }: Stage,
  leaseMs: number,
  between: Between,
): readonly Fault[] {
  const kill = (program: Program): Fault => ({
    name: `kill -9 ${program.name}`,
    async happen() {
      await program.end('SIGKILL')
      await sleep(between(0, 500))
      await program.start()
    },
  })
  const stop = (program: Program): Fault => ({
    name: `stop ${program.name}`,
    async happen() {
      program.pause()
      await sleep(between(leaseMs / 4, 2 * leaseMs))
      program.resume()
    },
  })
  return [...[orders, stock, mail, ...relays].map(kill), ...relays.map(stop)]
}

/** What can happen to the servers. */
export function serverFaults({ postgres, nats }: Stage, between: Between): readonly Fault[] {
  return Object.entries({ PostgreSQL: postgres, 'nats-server': nats }).flatMap(([name, server]) => [
    {
      name: `kill -9 ${name}`,
      async happen() {
        await server.kill()
        await sleep(between(0, 500))
        await server.start()
      },
    },
    {
      name: `stop ${name}`,
      async happen() {
        server.pause()
        await sleep(between(200, 3000))
        server.resume()
      },
    },
    { name: `restart ${name}`, happen: () => server.restart() },
  ])
}
