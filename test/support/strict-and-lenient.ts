import { afterAll, beforeAll, beforeEach } from 'vitest'
import { database, type TestDatabase } from './database.ts'
import { type DtmBusiness, dtmBusiness } from './dtm-business.ts'
import { dtmClient } from './dtm-client.ts'
import { dtmRelay } from './dtm-relay.ts'
import type { DtmRelay } from './dtm-steps.ts'

/** What the differences between this project and DTM are tested with. */
export interface StrictAndLenient {
  readonly db: TestDatabase
  /** The services; their calls are forgotten before each test. */
  readonly busi: DtmBusiness
  /** The relay that is asked: before each test the strict one. */
  relay: DtmRelay
  readonly strict: DtmRelay
  readonly lenient: DtmRelay
  readonly dtm: ReturnType<typeof dtmClient>
  newGid(): string
}

/** A relay as it is by default and one that is as careless as DTM, over one database. To be called at the top of the file. */
export function useStrictAndLenient(prefix: string): StrictAndLenient {
  let db: TestDatabase
  let busi: DtmBusiness
  let strict: DtmRelay
  let lenient: DtmRelay
  let relay: DtmRelay
  let made = 0
  const dtm = dtmClient(() => relay)
  beforeAll(async () => {
    db = await database()
    busi = await dtmBusiness()
    strict = await dtmRelay(db.url)
    lenient = await dtmRelay(db.url, { strict: false })
    relay = strict
  })
  afterAll(async () => {
    await Promise.all([strict.stop(), lenient.stop()])
    await busi.close()
    await db.drop()
  })
  beforeEach(() => {
    relay = strict
    busi.calls.length = 0
  })
  return {
    dtm,
    newGid: () => `${prefix}-${++made}`,
    get db() {
      return db
    },
    get busi() {
      return busi
    },
    get strict() {
      return strict
    },
    get lenient() {
      return lenient
    },
    get relay() {
      return relay
    },
    set relay(chosen) {
      relay = chosen
    },
  }
}
