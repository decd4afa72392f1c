import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { CONFIG_OPTIONS, CONFIG_SCHEMA, type SchemaNode } from './options.ts'

const PAGE = new URL('../../docs/configuration.md', import.meta.url)
const MARKED = /(<!-- options -->\n)[\s\S]*(<!-- \/options -->)/

// UPDATE_DOCS=1 npx vitest run relay/config/options-table.test.ts writes the tables instead of comparing them.
test('docs/configuration.md lists exactly the options of the schema', () => {
  const page = readFileSync(PAGE, 'utf8')
  const current = page.replace(MARKED, (_, open: string, close: string) => `${open}${tables()}${close}`)
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(PAGE, current)
  else expect(page).toBe(current)
})

function tables(): string {
  const top = CONFIG_OPTIONS.map((option) => {
    const node = nodeAt(CONFIG_SCHEMA, option.path)
    return [
      `\`${option.path.join('.')}\``,
      option.flag === undefined ? '' : `\`${option.flag}\``,
      `\`${option.env}\``,
      ...meaning(node, true),
    ]
  })
  const entries = ['databases', 'destinations', 'redisOutboxes'].map((name) => {
    const record = CONFIG_SCHEMA.properties?.[name]?.additionalProperties
    return section(`${name}.<name>`, typeof record === 'object' ? record : {})
  })
  const stream = CONFIG_SCHEMA.properties?.['nats']?.properties?.['streams']?.items ?? {}
  return `\n${table(['Option', 'Flag', 'Variable', 'Type', 'Default', 'Meaning'], top)}
${[...entries, section('nats.streams[]', stream)].join('\n')}\n`
}

function section(title: string, node: SchemaNode): string {
  const rows = Object.entries(node.properties ?? {}).map(([key, child]) => [
    `\`${key}\``,
    ...meaning(child, !(node.required ?? []).includes(key)),
  ])
  return `### \`${title}\`\n\n${table(['Option', 'Type', 'Default', 'Meaning'], rows)}`
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n')
    .concat('\n')
}

function meaning(node: SchemaNode, optional: boolean): string[] {
  const none = optional ? '' : 'required'
  const shown = node.default === undefined || typeof node.default === 'object' ? none : `\`${node.default}\``
  return [typeOf(node), shown, node.description ?? '']
}

function typeOf(node: SchemaNode): string {
  if (node.enum !== undefined) return node.enum.join(', ')
  if (node.type === 'integer') return `${node.minimum} to ${node.maximum}`
  if (node.type === 'array') return node.items?.type === 'string' ? 'list' : 'list of objects'
  if (node.type === 'object') return 'objects by name'
  return node.type === 'boolean' ? 'true or false' : 'text'
}

function nodeAt(node: SchemaNode, path: readonly string[]): SchemaNode {
  return path.reduce((schema, key) => schema.properties?.[key] ?? {}, node)
}
