import { readFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { PostcommitError } from 'postcommit/protocol'
import { type NamedTexts, readEnvironment, readFlags, type SetOption, substitute } from './layers.ts'
import type { ConfigProblem } from './rules.ts'
import type { RelayConfig } from './schema.ts'
import { formatPath, isTree, type Tree, valueAt, withoutPath, withValueAt } from './tree.ts'
import { validate } from './validate.ts'

/** Where a configuration is read from. */
export interface ConfigInputs {
  readonly cwd: string
  readonly env: NamedTexts
  /** Flags by name, `--config` and `--database-url` included. */
  readonly flags: NamedTexts
  /** What a command decides itself, above everything else: `dev` its own servers. */
  readonly decided?: readonly SetOption[]
  /** What a command takes where nobody says otherwise: `dev` what fits a developer's machine. */
  readonly defaults?: readonly SetOption[]
  /** What the file says of these is not even looked at: `dev` has servers of its own. */
  readonly ignored?: readonly (readonly string[])[]
}

/** A valid configuration that knows where each value came from. */
export interface LoadedConfig {
  readonly config: RelayConfig
  /** The path of the file, if there is one. */
  readonly file: string | undefined
  /** A flag, a variable, the name of the file, or `default`. */
  sourceOf(path: readonly PropertyKey[]): string
}

/** The file that is read from the working directory unless another is named. */
const CONFIG_FILE = 'postcommit.json'

/**
 * Reads the configuration: flag over environment over file over default.
 * @throws `POSTCOMMIT_INVALID_CONFIG`, which lists every problem at once.
 */
export function loadConfig({ cwd, env, flags, decided = [], defaults = [], ignored = [] }: ConfigInputs): LoadedConfig {
  const problems: ConfigProblem[] = []
  const file = readConfigFile(cwd, flags['--config'] ?? (env['POSTCOMMIT_CONFIG'] || undefined), problems)
  const fromFile = asTree(substitute(ignored.reduce(withoutPath, file?.tree ?? {}), env, [], problems))
  const { $schema: _, ...settings } = fromFile

  // Later ones win.
  const set: readonly SetOption[] = [
    ...hostDatabase(settings, env),
    ...readEnvironment(env, problems),
    ...onlyDatabase(env['POSTCOMMIT_DATABASE_URL'], 'POSTCOMMIT_DATABASE_URL'),
    ...readFlags(flags, env, problems),
    ...onlyDatabase(flags['--database-url'], '--database-url'),
    ...decided,
  ]
  const put = (tree: unknown, { path, value }: SetOption) => withValueAt(tree, path, value)
  const input = set.reduce<unknown>(
    put,
    defaults.reduce<unknown>((tree, one) => (valueAt(tree, one.path) === undefined ? put(tree, one) : tree), settings),
  )
  const sourceOf = (path: readonly PropertyKey[]) => findSource(path, set, settings, file?.name)

  const result = validate(asTree(input))
  const all = [...problems, ...result.problems]
  if (result.config === undefined || all.length > 0) throw invalidConfig(all, sourceOf)
  return { config: result.config, file: file?.path, sourceOf }
}

function readConfigFile(cwd: string, named: string | undefined, problems: ConfigProblem[]) {
  const path = resolve(cwd, named ?? CONFIG_FILE)
  const name = named ?? basename(path)
  try {
    const tree: unknown = JSON.parse(readFileSync(path, 'utf8'))
    if (isTree(tree)) return { path, name, tree }
    problems.push({ path: [], message: `${name} does not hold an object` })
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    if (missing && named === undefined) return undefined
    const reason = error instanceof Error ? error.message : String(error)
    problems.push({ path: [], message: missing ? `${name} does not exist` : `${name} cannot be read: ${reason}` })
  }
  return undefined
}

/** `DATABASE_URL` is the address of the database called main; it adds none to a file that names others. */
function hostDatabase(settings: Tree, env: NamedTexts): readonly SetOption[] {
  const value = env['DATABASE_URL'] || undefined
  const named = Object.keys(asTree(settings['databases']))
  if (value === undefined || (named.length > 0 && !named.includes('main'))) return []
  return [{ path: ['databases', 'main', 'url'], value, source: 'DATABASE_URL' }]
}

/** The explicit shorthands mean this database and no other. */
function onlyDatabase(url: string | undefined, source: string): readonly SetOption[] {
  if (url === undefined || url === '') return []
  return [{ path: ['databases'], value: { main: { url } }, source }]
}

function findSource(
  path: readonly PropertyKey[],
  set: readonly SetOption[],
  settings: Tree,
  fileName: string | undefined,
): string {
  const setting = set.findLast(
    (option) =>
      option.path.every((key, index) => path[index] === key) &&
      valueAt(option.value, path.slice(option.path.length)) !== undefined,
  )
  if (setting !== undefined) return setting.source
  return valueAt(settings, path) === undefined ? 'default' : (fileName ?? 'default')
}

function invalidConfig(problems: readonly ConfigProblem[], sourceOf: LoadedConfig['sourceOf']) {
  const lines = problems.map(({ path, message }) => {
    const source = sourceOf(path)
    const where = path.length === 0 ? '' : `${formatPath(path)}${source === 'default' ? '' : ` (${source})`}: `
    return `  - ${where}${message}`
  })
  return new PostcommitError('POSTCOMMIT_INVALID_CONFIG', { problems: [...new Set(lines)].join('\n') })
}

function asTree(value: unknown): Tree {
  return isTree(value) ? value : {}
}
