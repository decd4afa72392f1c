import { Command, InvalidArgumentError, Option } from 'commander'
import type { SwitchChange } from 'postcommit/cache'
import { invalidationTopic } from 'postcommit/protocol'
import { shownJson } from '../engine/error-text.ts'
import { formatDuration, parseDuration } from '../operators/duration.ts'
import { selectInvalidated } from '../store/log/select-invalidated.ts'
import { type NamedCache, withCacheModule } from './shell/cache-module.ts'
import { addSourceFlags, isGiven } from './shell/config-flags.ts'
import type { CommandContext } from './shell/context.ts'
import { ExitCode } from './shell/exit-code.ts'
import { withSources } from './shell/sources.ts'
import { type CheckedValues, type ValueToCheck, verifyCaches } from './verify-caches.ts'

interface VerifyFlags {
  readonly module: string
  readonly values?: string
  readonly sample: number
  readonly since: number
  readonly grace: number
  readonly timeout: number
}

interface SwitchFlags {
  readonly module: string
  readonly read?: boolean
  readonly invalidate?: boolean
  readonly timeout: number
  readonly force?: boolean
}

const MODULE = 'the file of the service that exports its caches, such as ./dist/caches.js'

export function cacheCommand(context: CommandContext): Command {
  return new Command('cache')
    .description('the caches of a service: compares them with the database, takes them out of use')
    .addCommand(verifyCommand(context))
    .addCommand(switchCommand(context))
}

function verifyCommand(context: CommandContext): Command {
  return addSourceFlags(new Command('verify'))
    .description('compares values that were invalidated with the database')
    .argument('[ids...]', 'these values; otherwise some of those that were invalidated lately')
    .requiredOption('--module <file>', MODULE)
    .option('--values <name>', 'only those of this definition')
    .addOption(new Option('--sample <n>', 'how many values').argParser(readCount).default(100))
    .addOption(duration('--since <time>', 'of those invalidated within, for example 15m, 1h, 2d', '1h'))
    .addOption(duration('--grace <time>', 'how long an invalidation may be on its way', '1s'))
    .addOption(duration('--timeout <time>', 'stop comparing then, with what was compared by then', '60s'))
    .option('--source <name>', 'only this database')
    .action(async (ids: readonly string[], flags: VerifyFlags, command: Command) => {
      const deadline = performance.now() + flags.timeout
      await withCacheModule(context, command, flags.module, async (caches) => {
        const names = definitions(caches, flags.values)
        if (names.length === 0) return command.error(`error: no cache defines ${flags.values ?? 'anything'}`)
        if (ids.length > 0 && names.length > 1) command.error(`error: --values: one of ${names.join(', ')}`)
        const values =
          ids.length > 0
            ? ids.map((text) => ({ name: names[0] ?? '', id: readId(text) }))
            : await sample(context, command, names, flags)
        const { values: found, complete } = await verifyCaches(caches, values, { graceMs: flags.grace, deadline })
        const isGood = found.every(({ inconsistent, failed }) => inconsistent.length + failed.length === 0)
        if (!isGood) context.finish(ExitCode.Failed)
        if (isGiven(command, 'json')) context.out(shownJson({ values: found, complete }, 2))
        else for (const line of describe(found, complete, flags)) context.out(line)
      })
    })
}

function switchCommand(context: CommandContext): Command {
  const state = (flags: string, what: string) => new Option(flags, what).argParser(readState)
  return new Command('switch')
    .description('takes caches out of use, or back, and waits for all processes')
    .requiredOption('--module <file>', MODULE)
    .addOption(state('--read <state>', 'whether reads are answered from the cache: on, off'))
    .addOption(state('--invalidate <state>', 'whether invalidations are applied: on, off'))
    .addOption(duration('--timeout <time>', 'how long to wait for all processes', '10s'))
    .option('--force', 'in any order, although readers may then be shown what is out of date')
    .option('--json', 'print one JSON document')
    .option('--verbose', 'show what caused an error')
    .action(async ({ module, read, invalidate, timeout, force = false }: SwitchFlags, command: Command) => {
      const change = changeOf(read, invalidate)
      if (change === undefined) return command.error('error: either --read or --invalidate')
      await withCacheModule(context, command, module, async (caches) => {
        for (const { name, cache } of caches) {
          await cache.switch(change, { timeout, force })
          if (!isGiven(command, 'json')) context.out(`${name}: ${describeChange(change)}, in every process`)
        }
        const names = caches.map(({ name }) => name)
        if (isGiven(command, 'json')) context.out(shownJson({ caches: names, ...change }, 2))
      })
    })
}

/** What the caches define, of the name if there is one. */
function definitions(caches: readonly NamedCache[], only: string | undefined): readonly string[] {
  const names = new Set(caches.flatMap(({ cache }) => Object.keys(cache.stats)))
  return [...names].filter((name) => only === undefined || name === only)
}

async function sample(
  context: CommandContext,
  command: Command,
  names: readonly string[],
  { sample: limit, since: sinceMs }: VerifyFlags,
): Promise<readonly ValueToCheck[]> {
  const topics = new Map(names.map((name) => [invalidationTopic(name), name]))
  const rows = await withSources(context, command, (sources) =>
    Promise.all(sources.map(({ pool }) => selectInvalidated(pool, { topics: [...topics.keys()], sinceMs, limit }))),
  )
  return rows
    .flat()
    .slice(0, limit)
    .flatMap(({ topic, payload }) => {
      // Only this project publishes there. What an id that is no JSON value was made of, the message does not say.
      const { id } = JSON.parse(payload) as { readonly id?: unknown }
      const name = topics.get(topic)
      return id === undefined || name === undefined ? [] : [{ name, id }]
    })
}

function describe(
  found: readonly CheckedValues[],
  complete: boolean,
  { since, timeout }: VerifyFlags,
): readonly string[] {
  if (found.length === 0) return [`Nothing was invalidated within ${formatDuration(since)}.`]
  const lines = found.flatMap(({ cache, name, checked, cached, inconsistent, failed }) => [
    `${cache} ${name}: ${checked} compared, ${cached} of them cached, ${inconsistent.length} not what the database holds`,
    ...inconsistent.map(
      ({ key, differsIn }) => `  ${key} differs${differsIn === null ? '' : ` in ${differsIn.join(', ')}`}`,
    ),
    ...failed.map(({ id, reason }) => `  ${JSON.stringify(id)} could not be compared: ${reason}`),
  ])
  return complete ? lines : [...lines, `Not all: ${formatDuration(timeout)} were over.`]
}

function describeChange(change: SwitchChange): string {
  const [[what, state] = ['', false]] = Object.entries(change)
  return `${what === 'read' ? 'reads' : 'invalidations'} are ${state ? 'on' : 'off'}`
}

function changeOf(read: boolean | undefined, invalidate: boolean | undefined): SwitchChange | undefined {
  if (read !== undefined) return invalidate === undefined ? { read } : undefined
  return invalidate === undefined ? undefined : { invalidate }
}

function duration(flags: string, what: string, standard: string): Option {
  return new Option(flags, what).argParser(readDuration).default(parseDuration(standard), standard)
}

function readDuration(text: string): number {
  const milliseconds = parseDuration(text)
  if (milliseconds === undefined) throw new InvalidArgumentError('Times are a whole number with ms, s, m, h or d.')
  return milliseconds
}

function readCount(text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1 || count > 100_000) throw new InvalidArgumentError('1 to 100000.')
  return count
}

function readState(text: string): boolean {
  if (text !== 'on' && text !== 'off') throw new InvalidArgumentError('on or off.')
  return text === 'on'
}

/** An id as it is written in JSON: 42 is a number, "42" a text. What is no JSON is a text too. */
function readId(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
