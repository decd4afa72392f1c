import type { Queryable } from '../queryable.ts'

/** The gid and the number of a delivery, whatever they are; undefined: there is none. Primary key. */
export async function selectGidOfDelivery(
  client: Queryable,
  id: string,
): Promise<{ readonly gid: string; readonly branch: number } | undefined> {
  const { rows } = await client.query<{ gid: string; branch: number }>({
    text: 'select gid, branch from postcommit.delivery where id = $1',
    values: [id],
  })
  return rows[0]
}
