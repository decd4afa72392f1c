import type { Queryable } from '../queryable.ts'
import { OPERATION_COLUMNS, operationOf } from './operation-columns.ts'
import type { OperationRow } from './transaction-row.ts'

type Row = Parameters<typeof operationOf>[0] & { readonly id: string }

/** Reads the ops of several transactions, in the order in which they were handed in. Index: branch_pkey. */
export async function selectOperations(
  client: Queryable,
  ids: readonly string[],
): Promise<ReadonlyMap<string, readonly OperationRow[]>> {
  const { rows } = await client.query<Row>({
    name: 'postcommit_select_operations',
    text: `select b.transaction_id as id, ${OPERATION_COLUMNS}
from unnest($1::bigint[]) as r (id) join postcommit.branch b on b.transaction_id = r.id
order by b.transaction_id, b.place`,
    values: [ids],
  })
  const operations = new Map<string, OperationRow[]>()
  for (const row of rows) {
    const list = operations.get(row.id)
    if (list === undefined) operations.set(row.id, [operationOf(row)])
    else list.push(operationOf(row))
  }
  return operations
}
