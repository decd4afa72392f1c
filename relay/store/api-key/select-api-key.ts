import type { Queryable } from '../queryable.ts'
import { API_KEY_COLUMNS, type ApiKey } from './api-key.ts'

/** A key that opens, with the digest that its secret must have. */
export type ValidApiKey = ApiKey & { readonly digest: Buffer }

/**
 * Finds a key that is neither revoked nor expired, by the database's clock. Primary key. The digest is compared by the
 * caller, in constant time.
 */
export async function selectApiKey(client: Queryable, id: string): Promise<ValidApiKey | undefined> {
  const { rows } = await client.query<ValidApiKey>({
    name: 'postcommit_select_api_key',
    text: `select digest, ${API_KEY_COLUMNS} from postcommit.api_key
where id = $1 and revoked_at is null and (expires_at is null or expires_at > clock_timestamp())`,
    values: [id],
  })
  return rows[0]
}
