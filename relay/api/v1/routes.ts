import { RELAY_VERSION } from '../../version.ts'
import type { Route } from '../route.ts'
import { batchRoute } from './batch.ts'
import { deadLetterRoutes } from './dead-letters.ts'
import { eventsRoute } from './events.ts'
import { messageRoutes } from './messages.ts'
import { openApiDocument } from './openapi.ts'
import { overviewRoute } from './overview.ts'
import { singleOperationRoutes } from './single-operations.ts'
import { topicRoutes } from './topics.ts'
import { transactionRoutes } from './transactions.ts'

const documented = [
  batchRoute,
  ...singleOperationRoutes,
  ...transactionRoutes,
  ...topicRoutes,
  ...messageRoutes,
  ...deadLetterRoutes,
  overviewRoute,
  eventsRoute,
]

/** The document of everything under `/v1`, as it is served. */
export const V1_DOCUMENT = openApiDocument(documented, RELAY_VERSION)

const json = JSON.stringify(V1_DOCUMENT)

const documentRoute: Route = {
  method: 'GET',
  path: '/v1/openapi.json',
  summary: 'This document',
  tag: 'document',
  scope: undefined,
  bodyBytesMax: 0,
  answers: {},
  handle: async () => ({ status: 200, json }),
}

/** Everything under `/v1`. */
export const v1Routes: readonly Route[] = [...documented, documentRoute]
