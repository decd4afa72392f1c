import type { NatsServer } from '@postcommit/relay/dev'
import { createFaultProxy } from './fault-proxy.ts'

/** The way of one client to all nodes of a cluster: it can be cut while the cluster and its other clients are well. */
export interface NatsPath {
  /** For the client, with commas between the addresses. */
  readonly url: string
  /** The node that it leads to at the moment. */
  connectedTo(): NatsServer | undefined
  /** `silent`: nothing passes, and nobody is told. `refused`: connections break, and new ones are refused. */
  cut(how?: 'silent' | 'refused'): void
  mend(): Promise<void>
  close(): Promise<void>
}

/** Opens a way to these nodes. */
export async function openNatsPath(nodes: readonly NatsServer[]): Promise<NatsPath> {
  const proxies = await Promise.all(nodes.map(({ host, port }) => createFaultProxy({ target: { host, port } })))
  return {
    url: proxies.map((proxy, index) => proxy.through(nodes[index]?.url ?? '')).join(','),
    connectedTo: () => nodes[proxies.findIndex((proxy) => proxy.stats().open > 0)],
    cut(how = 'silent') {
      for (const proxy of proxies) {
        if (how === 'silent') proxy.blackhole()
        else {
          proxy.refuseNew()
          proxy.cutAll()
        }
      }
    },
    async mend() {
      for (const proxy of proxies) {
        proxy.heal()
        await proxy.acceptNew()
      }
    },
    async close() {
      for (const proxy of proxies) await proxy.close()
    },
  }
}
