import { DtmError } from './dtm-error.ts'
import { type Fields, readFields } from './trans-request.ts'

/** How the steps of a saga follow each other. */
export interface Orders {
  readonly concurrent: boolean
  /** By the place of a step, from 0: the places of those that have to succeed before it. */
  readonly orders: ReadonlyMap<number, readonly number[]>
}

const DELAY_MAX = 366 * 24 * 60 * 60

/** How many seconds after its submission a message is delivered. */
export function readDelay(customData: string): number {
  const fields = readCustomData(customData)
  const delay = fields['delay'] ?? fields['Delay'] ?? 0
  if (typeof delay !== 'number' || !Number.isInteger(delay) || delay < 0 || delay > DELAY_MAX) {
    throw new DtmError(`custom_data: delay is not a whole number of seconds up to ${DELAY_MAX}`)
  }
  return delay
}

/**
 * Reads how the steps of a saga follow each other.
 * @throws DtmError also for an order that has no beginning: at DTM such a saga stands still for ever.
 */
export function readSagaCustom(customData: string, steps: number): Orders {
  const fields = readCustomData(customData)
  const concurrent = fields['concurrent'] ?? false
  if (typeof concurrent !== 'boolean') throw new DtmError('custom_data: concurrent is neither true nor false')
  const orders = new Map(
    Object.entries(readFields(fields['orders'] ?? {})).map(([place, before]) => {
      if (!Array.isArray(before)) throw new DtmError('custom_data: orders is not a map of lists')
      return [readPlace(Number(place), steps), before.map((one: unknown) => readPlace(one, steps))] as const
    }),
  )
  // One after the other, a step that waits for a later one waits for ever as well.
  const isBackwards = !concurrent && [...orders].some(([place, before]) => before.some((one) => one >= place))
  if (isBackwards || hasCycle(orders)) throw new DtmError('custom_data: orders has a cycle')
  return { concurrent, orders }
}

function readPlace(value: unknown, steps: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < steps) return value
  throw new DtmError('custom_data: orders names a step that is not there')
}

function hasCycle(orders: ReadonlyMap<number, readonly number[]>): boolean {
  const done = new Set<number>()
  const open = new Set<number>()
  const visit = (place: number): boolean => {
    if (done.has(place)) return false
    if (open.has(place)) return true
    open.add(place)
    const found = (orders.get(place) ?? []).some(visit)
    open.delete(place)
    done.add(place)
    return found
  }
  return [...orders.keys()].some(visit)
}

function readCustomData(customData: string): Fields {
  if (customData === '') return {}
  try {
    return readFields(JSON.parse(customData) as unknown)
  } catch {
    throw new DtmError('custom_data: not a JSON object')
  }
}
