import { CONFIG_SCHEMA, type SchemaNode } from './options.ts'
import type { RelayConfig } from './schema.ts'
import { formatPath, isTree } from './tree.ts'

/** One value of a configuration, fit to be shown. */
export interface ShownValue {
  readonly path: readonly PropertyKey[]
  readonly name: string
  readonly value: string | number | boolean | readonly unknown[] | null
}

/**
 * Every value of a configuration with its secrets masked. What is secret is marked in the schema, so that a new
 * option is shown only after somebody has decided it.
 */
export function maskConfig(config: RelayConfig): readonly ShownValue[] {
  return flatten(config, CONFIG_SCHEMA, [])
}

/** An address without its password; anything that is no address is masked as a whole. */
export function maskUrl(text: string): string {
  if (!URL.canParse(text)) return MASK
  const url = new URL(text)
  if (url.password !== '') url.password = MASK
  // nats://token@host: what stands alone before the @ is the secret itself.
  else if (url.username !== '' && /^(nats|tls|wss?):$/.test(url.protocol)) url.username = MASK
  for (const name of url.searchParams.keys()) {
    if (/password|secret|token|key$/i.test(name)) url.searchParams.set(name, MASK)
  }
  return url.href
}

const MASK = '***'

function flatten(value: unknown, node: SchemaNode | undefined, path: readonly PropertyKey[]): ShownValue[] {
  const name = formatPath(path)
  if (value === undefined) return []
  if (Array.isArray(value)) {
    if (value.length === 0) return [{ path, name, value: [] }]
    return value.flatMap((item, index) => flatten(item, node?.items, [...path, index]))
  }
  if (isTree(value)) {
    const { properties, additionalProperties } = node ?? {}
    const others = typeof additionalProperties === 'object' ? additionalProperties : undefined
    return Object.entries(value).flatMap(([key, item]) => flatten(item, properties?.[key] ?? others, [...path, key]))
  }
  return [{ path, name, value: maskLeaf(value, node) }]
}

function maskLeaf(value: unknown, node: SchemaNode | undefined): ShownValue['value'] {
  if (typeof value === 'number' || typeof value === 'boolean') return value
  if (typeof value !== 'string') return null
  if (node === undefined || node.secret === true) return value.includes('://') ? maskUrl(value) : MASK
  // Servers and proxies are often written with credentials although they need not be.
  return value.includes('@') && value.includes('://') ? maskUrl(value) : value
}
