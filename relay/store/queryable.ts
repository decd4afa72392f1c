import type { QueryConfig, QueryResult, QueryResultRow } from 'pg'

/** What a statement needs of pg: a Pool, a PoolClient or a Client. */
export interface Queryable {
  query<Row extends QueryResultRow>(config: QueryConfig): Promise<QueryResult<Row>>
}
