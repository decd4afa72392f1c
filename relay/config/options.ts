import { z } from 'zod'
import { RelayConfig } from './schema.ts'

/** How an option is written as text: on the command line and in the environment. */
export type OptionKind = 'string' | 'integer' | 'boolean' | 'list' | 'json'

/** One option that a flag or an environment variable sets. */
export interface ConfigOption {
  readonly path: readonly string[]
  readonly kind: OptionKind
  /** `nats.credsFile` is `--nats-creds-file`. Secrets have none: other users of the host can read command lines. */
  readonly flag: string | undefined
  /** `nats.credsFile` is `POSTCOMMIT_NATS_CREDS_FILE`. */
  readonly env: string
  readonly description: string
  readonly secret: boolean
  readonly choices: readonly string[] | undefined
  readonly default: unknown
}

/** The part of a JSON Schema that is looked at. */
export interface SchemaNode {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly string[]
  readonly minimum?: number
  readonly maximum?: number
  readonly secret?: boolean
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly items?: SchemaNode
  readonly additionalProperties?: SchemaNode | boolean
}

/** The configuration as JSON Schema; everything else about options is derived from it. */
export const CONFIG_SCHEMA: SchemaNode = z.toJSONSchema(RelayConfig, { io: 'input' }) as SchemaNode

/** Every option, in the order of the schema; names follow from the path by rule and are never chosen. */
export const CONFIG_OPTIONS: readonly ConfigOption[] = collectOptions(CONFIG_SCHEMA, [])

function collectOptions(node: SchemaNode, path: readonly string[]): ConfigOption[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) =>
    child.properties === undefined ? [optionOf(child, [...path, key])] : collectOptions(child, [...path, key]),
  )
}

function optionOf(node: SchemaNode, path: readonly string[]): ConfigOption {
  const words = path.flatMap((key) => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`).split('-'))
  return {
    path,
    kind: kindOf(node),
    flag: node.secret === true ? undefined : `--${words.join('-')}`,
    env: `POSTCOMMIT_${words.join('_').toUpperCase()}`,
    description: node.description ?? '',
    secret: node.secret === true,
    choices: node.enum,
    default: node.default,
  }
}

function kindOf({ type, items }: SchemaNode): OptionKind {
  if (type === 'integer' || type === 'boolean' || type === 'string') return type
  return type === 'array' && items?.type === 'string' ? 'list' : 'json'
}
