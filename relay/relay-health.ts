import type { BrokerTrouble } from './broker/broker.ts'
import type { Publishing } from './broker/publishing.ts'
import type { Source, SourceHealth } from './serve-database.ts'

/** How the relay is doing, without asking any server. */
export interface RelayHealth {
  readonly sources: readonly SourceHealth[]
  readonly nats: {
    readonly configured: boolean
    readonly connected: boolean
    /** Why nothing is published although the connection is up. */
    readonly problem: string | undefined
    /** What keeps messages from the broker: `nats` is all of it, else a subject or a stream. */
    readonly trouble: readonly BrokerTrouble[]
  }
}

/** How the parts of a relay are doing. */
export function healthOf(
  sources: readonly Source[],
  { configured, publishing }: { readonly configured: boolean; readonly publishing: Publishing | undefined },
): RelayHealth {
  return {
    sources: sources.map((source) => source.health()),
    nats: {
      configured,
      connected: publishing?.broker.connected ?? false,
      problem: publishing?.problem,
      trouble: publishing?.trouble() ?? [],
    },
  }
}
