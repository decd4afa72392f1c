import type { Queryable } from '../queryable.ts'
import { API_KEY_COLUMNS, type ApiKey } from './api-key.ts'

/** A key to be kept. */
export interface NewApiKey {
  readonly id: string
  /** SHA-256 of the secret half. */
  readonly digest: Buffer
  readonly tenant: string
  readonly scopes: readonly string[]
  readonly label: string
  /** Undefined: it does not expire. */
  readonly expiresInMs?: number | undefined
}

/** Keeps a key; fails with 23505 if there is one of that id. */
export async function insertApiKey(client: Queryable, key: NewApiKey): Promise<ApiKey | undefined> {
  const { rows } = await client.query<ApiKey>({
    text: `insert into postcommit.api_key (id, digest, tenant, scopes, label, expires_at)
values ($1, $2, $3, $4, $5, clock_timestamp() + $6::float8 * interval '1 millisecond')
returning ${API_KEY_COLUMNS}`,
    values: [key.id, key.digest, key.tenant, key.scopes, key.label, key.expiresInMs ?? null],
  })
  return rows[0]
}
