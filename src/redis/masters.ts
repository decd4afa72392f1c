import type { IoredisLike, NodeRedisLike } from './evaluate.ts'

/** The client of a cluster of `redis`, as far as it tells of its nodes. */
interface NodeRedisClusterLike<Master> {
  readonly masters: readonly Master[]
  nodeClient(master: Master): Promise<NodeRedisLike> | NodeRedisLike
}

/** The client of a cluster of `ioredis`, as far as it tells of its nodes. */
interface IoredisClusterLike {
  nodes(role: 'master'): readonly IoredisLike[]
}

/**
 * The nodes of a cluster that keep slots, each as a client of its own; undefined if the client is not of a cluster. A
 * node that cannot be reached may be a promise that is settled when it can.
 */
export function mastersOf(
  client: NodeRedisLike | IoredisLike | NodeRedisClusterLike<unknown> | IoredisClusterLike,
): (() => readonly (Promise<NodeRedisLike> | NodeRedisLike | IoredisLike)[]) | undefined {
  if ('nodeClient' in client) return () => client.masters.map((master) => client.nodeClient(master))
  if ('nodes' in client) return () => client.nodes('master')
  return undefined
}
