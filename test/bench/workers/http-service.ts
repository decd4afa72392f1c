/** The service that is called: reads the body, answers 200, and counts. A path that is hung answers nothing. */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serve } from '../serve.ts'

export type HttpServiceCommands = {
  url(): string
  /** How many calls have been answered since the last `reset`. */
  answered(): number
  reset(): void
  /** Calls of this path wait from now on. */
  hang(path: string): void
  /** Answers what waits, and lets nothing wait any more. */
  letGo(): void
}

serve<null, HttpServiceCommands>(async () => {
  let answered = 0
  let hung: string | undefined
  const waiting = new Set<ServerResponse>()
  const answer = (response: ServerResponse) => {
    answered += 1
    response.writeHead(200).end()
  }
  const server = createServer((request, response) => {
    request.resume()
    request.on('end', () => {
      if (request.url === hung) waiting.add(response)
      else answer(response)
    })
  })
  server.keepAliveTimeout = 600_000
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    commands: {
      url: () => `http://127.0.0.1:${port}`,
      answered: () => answered,
      reset: () => {
        answered = 0
      },
      hang: (path) => {
        hung = path
      },
      letGo: () => {
        hung = undefined
        for (const response of waiting) answer(response)
        waiting.clear()
      },
    },
    close: async () => {
      server.closeAllConnections()
      server.close()
    },
  }
})
