import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createMetrics } from './metrics.ts'

const PAGE = new URL('../../docs/operations.md', import.meta.url)
const MARKED = /(<!-- metrics -->\n)[\s\S]*(<!-- \/metrics -->)/

// UPDATE_DOCS=1 npx vitest run relay/observe/metrics-table.test.ts writes the table instead of comparing it.
test('docs/operations.md lists exactly the metrics of the relay', async () => {
  const page = readFileSync(PAGE, 'utf8')
  const own = await table()
  const current = page.replace(MARKED, (_, open: string, close: string) => `${open}${own}${close}`)
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(PAGE, current)
  else expect(page).toBe(current)
})

test('the alerts name metrics that exist', () => {
  const { registry } = createMetrics()
  const alerts = /```yaml\n([\s\S]*?)```/.exec(readFileSync(PAGE, 'utf8'))?.[1] ?? ''
  const named = [...new Set(alerts.match(/postcommit_\w+/g))]
  expect(named.length).toBeGreaterThan(4)
  expect(named.filter((name) => registry.getSingleMetric(name) === undefined)).toEqual([])
})

async function table(): Promise<string> {
  const { registry } = createMetrics()
  const types = new Map((await registry.getMetricsAsJSON()).map(({ name, type }) => [name, String(type)]))
  const rows = registry
    .getMetricsAsArray()
    .filter(({ name }) => name.startsWith('postcommit_'))
    .map((metric) => {
      const labels = 'labelNames' in metric && Array.isArray(metric.labelNames) ? metric.labelNames : []
      return [`\`${metric.name}\``, types.get(metric.name), labels.join(', '), metric.help]
    })
  const head = ['Metric', 'Type', 'Labels', 'Meaning']
  const cells = [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`)
  return `\n${cells.join('\n')}\n\n`
}
