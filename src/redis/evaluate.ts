import { createHash } from 'node:crypto'

/** A client of the package `redis` (version 4 or newer), single or of a cluster. */
export interface NodeRedisLike {
  evalSha(sha: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>
}

/** A client of the package `ioredis`, single or of a cluster. */
export interface IoredisLike {
  evalsha(sha: string, keys: number, ...keysAndArguments: string[]): Promise<unknown>
  eval(script: string, keys: number, ...keysAndArguments: string[]): Promise<unknown>
}

/** A script, known to the server by its digest after the first time. */
export interface Script {
  readonly text: string
  readonly sha: string
}

/** Runs a script on a client. */
export type Evaluate = (script: Script, keys: readonly string[], values: readonly string[]) => Promise<unknown>

/** A script of these lines. */
export function script(text: string): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}

/**
 * How scripts run on a client; undefined if it is of neither package.
 *
 * @param onUnknown - told of a script that the server did not know; gives the values to run it with after all
 */
export function evaluateOn(
  client: NodeRedisLike | IoredisLike,
  onUnknown: (script: Script, values: readonly string[]) => readonly string[] = (_, values) => values,
): Evaluate | undefined {
  const run = runOn(client)
  if (run === undefined) return undefined
  return (script, keys, values) =>
    run.known(script, keys, values).catch((error: unknown) => {
      // After a restart or on another node of a cluster the server does not know it; nothing of it has run then.
      if (!isUnknownScript(error)) throw error
      return run.whole(script, keys, onUnknown(script, values))
    })
}

/** Whether a server does not know a script by its digest. */
export function isUnknownScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT')
}

/** How a client runs a script that the server knows, and one that it may not know; undefined if it is of neither package. */
export function runOn(
  client: NodeRedisLike | IoredisLike,
): { readonly known: Evaluate; readonly whole: Evaluate } | undefined {
  if ('evalsha' in client) {
    return {
      known: ({ sha }, keys, values) => client.evalsha(sha, keys.length, ...keys, ...values),
      whole: ({ text }, keys, values) => client.eval(text, keys.length, ...keys, ...values),
    }
  }
  if ('evalSha' in client) {
    return {
      known: ({ sha }, keys, values) => client.evalSha(sha, { keys: [...keys], arguments: [...values] }),
      whole: ({ text }, keys, values) => client.eval(text, { keys: [...keys], arguments: [...values] }),
    }
  }
  return undefined
}
