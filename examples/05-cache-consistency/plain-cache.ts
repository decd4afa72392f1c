/** A cache as one usually has it: loaded when it is missing, deleted after the commit. Nothing keeps it right. */
import { load, redis } from './caches.ts'

const keyOf = (id: number) => `plain:${id}`

export async function getPlain(id: number): Promise<string> {
  const cached = await redis.get(keyOf(id))
  if (cached !== null) return cached
  const loaded = JSON.stringify(await load(id))
  await redis.set(keyOf(id), loaded)
  return loaded
}

export async function deletePlain(id: number): Promise<void> {
  await redis.del(keyOf(id))
}
