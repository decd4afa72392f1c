import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Samples } from './measurement.ts'

/** Something that is measured once a round. */
export type Contender = () => Promise<number>

const LOOK_MS = 150
const IDLE_MIN = 0.85
const PATIENCE_MS = 1500

/**
 * Measures all contenders in every round, each round in another order, so that neither a disturbance that lasts a
 * while nor what one leaves behind (dirty pages, a checkpoint, an autovacuum) always meets the same one.
 *
 * @param onSample - told of every figure, for the progress line
 */
export async function alternate<Name extends string>(
  contenders: Readonly<Record<Name, Contender>>,
  rounds: number,
  onSample: (name: Name, value: number) => void = () => undefined,
): Promise<Samples<Name>> {
  const names = Object.keys(contenders) as Name[]
  const samples = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, number[]>
  for (let round = 0; round < rounds; round += 1) {
    for (const turn of names.keys()) {
      const name = names[(turn + round) % names.length]
      if (name === undefined) continue
      await quiet()
      const value = await contenders[name]()
      samples[name].push(value)
      onSample(name, value)
    }
  }
  return samples
}

/** Waits until the machine has been idle for a moment, but not for ever: others may be using it. */
export async function quiet(): Promise<void> {
  const until = performance.now() + PATIENCE_MS
  while (performance.now() < until) {
    const before = times()
    await sleep(LOOK_MS)
    const after = times()
    if ((after.idle - before.idle) / (after.all - before.all) >= IDLE_MIN) return
  }
}

function times(): { readonly idle: number; readonly all: number } {
  const each = cpus().map((cpu) => cpu.times)
  // What runs at a low priority gives way at once.
  const idle = each.reduce((sum, time) => sum + time.idle + time.nice, 0)
  return { idle, all: each.reduce((sum, { user, sys, irq }) => sum + user + sys + irq, idle) }
}
