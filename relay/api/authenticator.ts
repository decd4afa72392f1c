import { timingSafeEqual } from 'node:crypto'
import { selectApiKey, type ValidApiKey } from '../store/api-key/select-api-key.ts'
import type { Queryable } from '../store/queryable.ts'
import { parseApiKey, SCOPES, type Scope } from './api-key.ts'

/** Who calls: everything that is done is done in this tenant and under this name. */
export interface Caller {
  readonly tenant: string
  /** For the audit. */
  readonly actor: string
  readonly scopes: ReadonlySet<Scope>
}

interface Remembered {
  readonly key: Promise<ValidApiKey | undefined>
  readonly untilMs: number
}

/** For so long a key that was revoked or has expired may still open. */
const REMEMBERED_MS = 5000
/** Ids that nobody has are remembered too, and anybody can send them. */
const REMEMBERED_MAX = 1000
const BEARER = /^Bearer +(\S+)$/i

/** Tells who calls by the key of a request. A client sends hundreds of requests a second: a key is read once in a while. */
export class Authenticator {
  readonly #client: Queryable
  readonly #remembered = new Map<string, Remembered>()

  constructor(client: Queryable) {
    this.#client = client
  }

  /**
   * Resolves to undefined if the header holds no valid key, whatever is wrong with it.
   * @throws if the database cannot be asked.
   */
  async authenticate(authorization: string | undefined): Promise<Caller | undefined> {
    const presented = parseApiKey(BEARER.exec(authorization ?? '')?.[1] ?? '')
    if (presented === undefined) return undefined
    const key = await this.#find(presented.id)
    if (key === undefined || !timingSafeEqual(key.digest, presented.digest)) return undefined
    const { id, label, tenant } = key
    const scopes = new Set(SCOPES.filter((scope) => key.scopes.includes(scope)))
    return { tenant, actor: label === '' ? `key ${id}` : `key ${id} (${label})`, scopes }
  }

  #find(id: string): Promise<ValidApiKey | undefined> {
    const now = performance.now()
    const known = this.#remembered.get(id)
    if (known !== undefined && known.untilMs > now) return known.key
    if (this.#remembered.size >= REMEMBERED_MAX) this.#remembered.clear()
    const key = selectApiKey(this.#client, id)
    this.#remembered.set(id, { key, untilMs: now + REMEMBERED_MS })
    // What could not be found out is found out anew.
    key.catch(() => this.#remembered.delete(id))
    return key
  }
}

/** Who calls where no key is demanded: programs of this host. */
export const ANYBODY: Caller = { tenant: '', actor: 'api without authentication', scopes: new Set(SCOPES) }
