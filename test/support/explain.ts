import type { Queryable } from '../../relay/store/queryable.ts'

/** A node of a plan, as EXPLAIN (format json) tells it. */
export interface PlanNode {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Index Name'?: string
  readonly 'Actual Rows': number
  readonly 'Actual Loops': number
  readonly 'Rows Removed by Filter'?: number
  readonly Plans?: readonly PlanNode[]
}

/** Runs a statement, and resolves to the nodes of the plan it was run with. Its own result is of no use then. */
export async function explain(
  client: Queryable,
  run: (client: Queryable) => Promise<unknown>,
): Promise<readonly PlanNode[]> {
  const nodes: PlanNode[] = []
  await run({
    async query({ text, values = [] }) {
      const result = await client.query<{ 'QUERY PLAN': readonly { readonly Plan: PlanNode }[] }>({
        text: `explain (analyze, format json) ${text}`,
        values,
      })
      for (const { Plan } of result.rows[0]?.['QUERY PLAN'] ?? []) nodes.push(...flatten(Plan))
      return { ...result, rows: [] }
    },
  })
  return nodes
}

function flatten(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(flatten)]
}
