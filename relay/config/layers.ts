import { CONFIG_OPTIONS, type ConfigOption } from './options.ts'
import type { ConfigProblem } from './rules.ts'
import { suggest } from './suggest.ts'
import { mapStrings } from './tree.ts'

/** Text per flag (`--nats-servers`) or per variable (`POSTCOMMIT_NATS_SERVERS`). */
export type NamedTexts = Readonly<Record<string, string | undefined>>

/** One option that was set outside the file. */
export interface SetOption {
  readonly path: readonly string[]
  readonly value: unknown
  /** The flag or variable that set it. */
  readonly source: string
}

/** What the environment sets; empty variables count as unset, because many tools cannot unset one. */
export function readEnvironment(env: NamedTexts, problems: ConfigProblem[]): readonly SetOption[] {
  reportNearMisses(env, problems)
  return CONFIG_OPTIONS.flatMap((option) => setBy(option, option.env, env[option.env] || undefined, env, problems))
}

/** What the command line sets. */
export function readFlags(flags: NamedTexts, env: NamedTexts, problems: ConfigProblem[]): readonly SetOption[] {
  return CONFIG_OPTIONS.flatMap((option) =>
    option.flag === undefined ? [] : setBy(option, option.flag, flags[option.flag], env, problems),
  )
}

/**
 * Replaces `${NAME}` by the environment variable NAME; `$${` stands for `${` itself. This is how secrets stay out of
 * the file.
 */
export function substitute(
  value: unknown,
  env: NamedTexts,
  path: readonly PropertyKey[],
  problems: ConfigProblem[],
): unknown {
  return mapStrings(
    value,
    (text, at) =>
      text.replace(/\$(\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_, escaped: string | undefined, name = '') => {
        if (escaped !== undefined) return escaped
        const replacement = env[name]
        if (replacement !== undefined) return replacement
        problems.push({ path: at, message: `the environment variable ${name} is not set` })
        return ''
      }),
    path,
  )
}

function setBy(
  option: ConfigOption,
  source: string,
  text: string | undefined,
  env: NamedTexts,
  problems: ConfigProblem[],
): readonly SetOption[] {
  if (text === undefined) return []
  const { path, kind } = option
  if (kind !== 'json') return [{ path, source, value: parseText(text, kind) }]
  try {
    return [{ path, source, value: substitute(JSON.parse(text), env, path, problems) }]
  } catch {
    problems.push({ path, message: `${source} is not JSON` })
    return []
  }
}

// What does not parse stays text, and the schema says what it should have been.
function parseText(text: string, kind: Exclude<ConfigOption['kind'], 'json'>): unknown {
  switch (kind) {
    case 'string':
      return text
    case 'list':
      return text.split(',').map((item) => item.trim())
    case 'integer':
      return /^-?\d{1,15}$/.test(text.trim()) ? Number(text) : text
    case 'boolean':
      return { true: true, '1': true, false: false, '0': false }[text.trim().toLowerCase()] ?? text
  }
}

const OTHER_VARIABLES = ['POSTCOMMIT_CONFIG', 'POSTCOMMIT_DATABASE_URL']

// Only near misses: other programs of the same service may have POSTCOMMIT_ variables of their own.
function reportNearMisses(env: NamedTexts, problems: ConfigProblem[]): void {
  const known = [...CONFIG_OPTIONS.map((option) => option.env), ...OTHER_VARIABLES]
  for (const name of Object.keys(env)) {
    if (!name.startsWith('POSTCOMMIT_') || known.includes(name)) continue
    const meant = suggest(
      name.slice('POSTCOMMIT_'.length),
      known.map((other) => other.slice('POSTCOMMIT_'.length)),
    )
    if (meant === undefined) continue
    problems.push({ path: [], message: `${name} sets nothing; did you mean POSTCOMMIT_${meant}?` })
  }
}
