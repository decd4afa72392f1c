import type { z } from 'zod'
import { CONFIG_SCHEMA, type SchemaNode } from './options.ts'
import { type ConfigProblem, crossFieldProblems } from './rules.ts'
import { RelayConfig } from './schema.ts'
import { suggest } from './suggest.ts'
import { isTree, type Tree, valueAt, withoutPath } from './tree.ts'

/** A valid configuration, or everything that is wrong with it. */
export type Validated =
  | { readonly config: RelayConfig; readonly problems: readonly [] }
  | { readonly config: undefined; readonly problems: readonly ConfigProblem[] }

/**
 * Checks a configuration. What is wrong is taken out and the rest is checked again, so that one run lists every
 * problem, those between options included.
 */
export function validate(input: Tree): Validated {
  const problems: ConfigProblem[] = []
  let rest = input
  // Each round removes at least one key; the empty configuration is valid.
  for (;;) {
    const result = RelayConfig.safeParse(rest)
    if (result.success) {
      problems.push(...crossFieldProblems(result.data))
      return problems.length === 0 ? { config: result.data, problems: [] } : { config: undefined, problems }
    }
    const { issues } = result.error
    problems.push(
      ...issues.filter((issue) => !isTakenOut(issue, rest, input)).flatMap((issue) => describe(issue, rest)),
    )
    rest = issues.flatMap((issue) => brokenPaths(issue, rest)).reduce(withoutPath, rest)
  }
}

/** Missing only because an earlier round took it out, and reported then. */
function isTakenOut({ path }: z.core.$ZodIssue, rest: Tree, input: Tree): boolean {
  return valueAt(rest, path) === undefined && valueAt(input, path) !== undefined
}

function brokenPaths(issue: z.core.$ZodIssue, rest: Tree): readonly (readonly PropertyKey[])[] {
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => [...issue.path, key])
  // A missing option cannot be removed; the entry that lacks it is.
  return [valueAt(rest, issue.path) === undefined ? issue.path.slice(0, -1) : issue.path]
}

function describe(issue: z.core.$ZodIssue, input: Tree): readonly ConfigProblem[] {
  const { path } = issue
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({ path: [...path, key], message: unknownKey(key, path) }))
    case 'invalid_type': {
      const value = valueAt(input, path)
      if (value === undefined) return [{ path, message: 'is missing' }]
      return [{ path, message: `must be ${TYPE_NAMES[issue.expected] ?? issue.expected}, not ${typeName(value)}` }]
    }
    case 'too_small':
      return [{ path, message: `must ${quantity(issue.origin)} at least ${issue.minimum}${unit(issue.origin)}` }]
    case 'too_big':
      return [{ path, message: `must ${quantity(issue.origin)} at most ${issue.maximum}${unit(issue.origin)}` }]
    case 'invalid_value':
      return [{ path, message: `must be one of ${issue.values.join(', ')}` }]
    case 'invalid_key':
      return issue.issues.map(({ message }) => ({ path, message }))
    default:
      return [{ path, message: issue.message }]
  }
}

function unknownKey(key: string, path: readonly PropertyKey[]): string {
  const meant = suggest(key, knownKeys(path))
  return meant === undefined ? 'is not an option' : `is not an option; did you mean ${meant}?`
}

function knownKeys(path: readonly PropertyKey[]): readonly string[] {
  const node = path.reduce<SchemaNode | undefined>((schema, key) => {
    if (typeof key === 'number') return schema?.items
    const { properties, additionalProperties } = schema ?? {}
    return properties?.[String(key)] ?? (typeof additionalProperties === 'object' ? additionalProperties : undefined)
  }, CONFIG_SCHEMA)
  return Object.keys(node?.properties ?? {})
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  int: 'a whole number',
  number: 'a whole number',
  string: 'a text',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
}

function typeName(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  if (isTree(value)) return 'an object'
  return typeof value === 'string' ? 'a text' : `a ${typeof value}`
}

function quantity(origin: string): string {
  return origin === 'string' || origin === 'array' ? 'have' : 'be'
}

function unit(origin: string): string {
  return origin === 'string' ? ' characters' : origin === 'array' ? ' entries' : ''
}
