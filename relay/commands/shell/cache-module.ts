import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Command } from 'commander'
import type { Cache } from 'postcommit/cache'
import type { CommandContext } from './context.ts'
import { reasonOf } from './sources.ts'

/** A cache that a module of the service exports. */
export interface NamedCache {
  /** The name of the export; of a list, with the place in it. */
  readonly name: string
  readonly cache: Cache
}

/**
 * Imports a module of the service and works with the caches that it exports: only the service knows where they are and
 * how their values are loaded. Closes them afterwards, and ends the process when the command is over: what the module
 * has opened besides would keep it.
 */
export async function withCacheModule<T>(
  context: CommandContext,
  command: Command,
  module: string,
  work: (caches: readonly NamedCache[]) => Promise<T>,
): Promise<T> {
  let caches: readonly NamedCache[] = []
  try {
    caches = await importCaches(context, command, module)
    return await work(caches)
  } finally {
    await Promise.allSettled(caches.map(({ cache }) => cache.close()))
    // Not before the result, or the error, is written: that takes no turn of the event loop.
    setImmediate(() => context.end())
  }
}

async function importCaches({ cwd }: CommandContext, command: Command, module: string): Promise<readonly NamedCache[]> {
  let exported: Readonly<Record<string, unknown>>
  try {
    exported = await import(pathToFileURL(resolve(cwd, module)).href)
  } catch (error) {
    return command.error(`error: ${module} cannot be imported: ${reasonOf(error)}`, { exitCode: 2 })
  }
  const caches = Object.entries(exported).flatMap(([name, value]) => cachesIn(name, value))
  if (caches.length > 0) return caches
  return command.error(`error: ${module} exports no cache: export what createCache() has given`)
}

function cachesIn(name: string, value: unknown): readonly NamedCache[] {
  if (Array.isArray(value)) return value.flatMap((one, index) => cachesIn(`${name}[${index}]`, one))
  return isCache(value) ? [{ name, cache: value }] : []
}

/** By its shape: the module may have a copy of the package of its own. */
function isCache(value: unknown): value is Cache {
  if (typeof value !== 'object' || value === null) return false
  const { define, verify, switch: set } = value as Partial<Record<keyof Cache, unknown>>
  return [define, verify, set].every((method) => typeof method === 'function')
}
