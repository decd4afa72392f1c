import { Command, InvalidArgumentError, Option } from 'commander'
import { drawApiKey, SCOPES, type Scope } from '../api/api-key.ts'
import { shownJson } from '../engine/error-text.ts'
import { parseDuration } from '../operators/duration.ts'
import type { ApiKey } from '../store/api-key/api-key.ts'
import { insertApiKey } from '../store/api-key/insert-api-key.ts'
import { revokeApiKey } from '../store/api-key/revoke-api-key.ts'
import { selectApiKeys } from '../store/api-key/select-api-keys.ts'
import { addSourceFlags, isGiven } from './shell/config-flags.ts'
import type { CommandContext } from './shell/context.ts'
import { withCoordinator } from './shell/coordinator-source.ts'
import { ExitCode } from './shell/exit-code.ts'
import { formatTable, shorten } from './shell/table.ts'

interface CreateOptions {
  readonly tenant: string
  readonly scopes: readonly Scope[]
  readonly label: string
  readonly expiresIn?: number
}

const LABEL_CHARACTERS = 100
/** Of a service that sends messages and sagas; `admin` is for people. */
const DEFAULT_SCOPES: readonly Scope[] = ['prepare', 'submit', 'abort', 'read']

export function apiKeyCommand(context: CommandContext): Command {
  return new Command('api-key')
    .description('keys of the API')
    .addCommand(createCommand(context))
    .addCommand(listCommand(context))
    .addCommand(revokeCommand(context))
}

function createCommand(context: CommandContext): Command {
  return addSourceFlags(new Command('create'))
    .description('makes a key; it is printed once and stored nowhere')
    .addOption(new Option('--tenant <name>', 'whose transactions it opens').default('').argParser(parseTenant))
    .addOption(
      new Option('--scopes <scopes>', `${SCOPES.join(', ')}; several with commas`)
        .default(DEFAULT_SCOPES, DEFAULT_SCOPES.join(','))
        .argParser(parseScopes),
    )
    .addOption(new Option('--label <text>', 'a name for operators').default('').argParser(parseLabel))
    .addOption(new Option('--expires-in <time>', 'for example 90d; without it: never').argParser(parseTime))
    .option('--source <name>', 'only this database')
    .action(async (options: CreateOptions, command: Command) => {
      const { tenant, scopes, label, expiresIn: expiresInMs } = options
      const { id, digest, text } = drawApiKey()
      const made = await withCoordinator(context, command, ({ pool }) =>
        insertApiKey(pool, { id, digest, tenant, scopes, label, expiresInMs }),
      )
      if (isGiven(command, 'json')) context.out(shownJson({ key: text, ...made }, 2))
      else context.out(text)
    })
}

function listCommand(context: CommandContext): Command {
  return addSourceFlags(new Command('list'))
    .description('keys, newest first, never their secrets')
    .addOption(new Option('--tenant <name>', 'only of this tenant').argParser(parseTenant))
    .option('--source <name>', 'only this database')
    .action(async ({ tenant }: { readonly tenant?: string }, command: Command) => {
      const keys = await withCoordinator(context, command, ({ pool }) => selectApiKeys(pool, tenant))
      if (isGiven(command, 'json')) return context.out(shownJson({ apiKeys: keys }, 2))
      for (const line of describe(keys)) context.out(line)
    })
}

function revokeCommand(context: CommandContext): Command {
  return addSourceFlags(new Command('revoke'))
    .description('ends a key for good; relays notice within five seconds')
    .argument('<id>', 'its id, as list shows it')
    .option('--source <name>', 'only this database')
    .action(async (id: string, _: unknown, command: Command) => {
      const revoked = await withCoordinator(context, command, ({ pool }) => revokeApiKey(pool, id))
      if (!revoked) context.finish(ExitCode.Failed)
      if (isGiven(command, 'json')) context.out(shownJson({ id, revoked }, 2))
      else context.out(revoked ? `Revoked ${id}.` : 'There is no such key that opens.')
    })
}

function describe(keys: readonly ApiKey[]): readonly string[] {
  if (keys.length === 0) return ['No keys.']
  const rows = keys.map(({ id, tenant, scopes, label, createdAt, expiresAt, revokedAt }) => [
    id,
    tenant === '' ? '-' : tenant,
    scopes.join(','),
    shorten(label === '' ? '-' : label, 40),
    createdAt.toISOString(),
    revokedAt !== null ? `revoked ${revokedAt.toISOString()}` : (expiresAt?.toISOString() ?? 'never'),
  ])
  return formatTable([['ID', 'TENANT', 'SCOPES', 'LABEL', 'CREATED', 'EXPIRES'], ...rows])
}

function parseScopes(text: string): readonly Scope[] {
  return text.split(',').map((name) => {
    const scope = SCOPES.find((known) => known === name.trim())
    if (scope === undefined) throw new InvalidArgumentError(`Scopes are ${SCOPES.join(', ')}.`)
    return scope
  })
}

function parseTenant(text: string): string {
  if (!/^([a-z][a-z0-9-]{0,62})?$/.test(text)) throw new InvalidArgumentError('Tenants are a-z 0-9 and -.')
  return text
}

function parseLabel(text: string): string {
  if (text.length > LABEL_CHARACTERS || /[\p{Cc}\p{Surrogate}]/u.test(text)) {
    throw new InvalidArgumentError(`At most ${LABEL_CHARACTERS} characters, in one line.`)
  }
  return text
}

function parseTime(text: string): number {
  const milliseconds = parseDuration(text)
  if (milliseconds === undefined) throw new InvalidArgumentError('Times are a whole number with ms, s, m, h or d.')
  return milliseconds
}
