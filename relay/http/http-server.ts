import type { FastifyInstance } from 'fastify'
import { PostcommitError } from 'postcommit/protocol'

/** The servers of a relay, by the section of the configuration that says where they listen. */
export type ServerName = 'http' | 'api' | 'dtm'

/** Where a server listens. */
export interface ListenAddress {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
}

/** A server that listens. */
export interface Listening {
  readonly url: string
  /** Answers what is under way, for a short time, and ends. */
  close(): Promise<void>
}

/** A server could not listen where it was to; it says which one, so that whoever chose its port can choose another. */
export class ListenFailed extends PostcommitError<'POSTCOMMIT_LISTEN_FAILED'> {
  readonly server: ServerName

  constructor(server: ServerName, { host, port }: ListenAddress, cause: unknown) {
    const taken = cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE'
    const reason = taken ? 'another program listens there' : cause instanceof Error ? cause.message : String(cause)
    super('POSTCOMMIT_LISTEN_FAILED', { server, address: `${host}:${port}`, reason }, { cause })
    this.server = server
  }
}

const CLOSE_MS = 2000
/** Connections that come at once. Beyond Node's 511 the kernel drops them, and they come again after 1, 3, 7 … seconds. */
const BACKLOG = 4096

/**
 * Lets a server listen. If it cannot, it is closed.
 * @throws {@link ListenFailed}.
 */
export async function listen(app: FastifyInstance, server: ServerName, address: ListenAddress): Promise<Listening> {
  const { host, port } = address
  const url = await app.listen({ host, port, backlog: BACKLOG }).catch(async (error: unknown) => {
    await app.close()
    throw new ListenFailed(server, address, error)
  })
  return {
    url,
    async close() {
      const closed = app.close()
      const timer = setTimeout(() => app.server.closeAllConnections(), CLOSE_MS)
      await closed
      clearTimeout(timer)
    },
  }
}
