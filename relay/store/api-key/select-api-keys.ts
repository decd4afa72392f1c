import type { Queryable } from '../queryable.ts'
import { API_KEY_COLUMNS, type ApiKey } from './api-key.ts'

/** Lists the keys of a tenant, or, undefined, of all, newest first: there are few, all of them are read. */
export async function selectApiKeys(client: Queryable, tenant: string | undefined): Promise<readonly ApiKey[]> {
  const { rows } = await client.query<ApiKey>({
    text: `select ${API_KEY_COLUMNS} from postcommit.api_key
where $1::text is null or tenant = $1 order by created_at desc, id`,
    values: [tenant ?? null],
  })
  return rows
}
