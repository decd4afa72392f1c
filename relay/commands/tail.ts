import { Command } from 'commander'
import { messageId } from 'postcommit/protocol'
import { shownJson } from '../engine/error-text.ts'
import { formatDuration } from '../operators/duration.ts'
import { followMessages, type MessageEvent } from '../operators/follow-messages.ts'
import { addSourceFlags, isGiven } from './shell/config-flags.ts'
import type { CommandContext } from './shell/context.ts'
import { pause } from './shell/pause.ts'
import { type OpenSource, reasonOf, withSources } from './shell/sources.ts'
import { shorten } from './shell/table.ts'

interface TailOptions {
  readonly destination?: string
}

const POLL_MS = 300

export function tailCommand(context: CommandContext): Command {
  return addSourceFlags(new Command('tail'))
    .argument('[topic]', 'only this subject or path; * stands for any text')
    .description('what becomes of messages, as it happens; with --json one document a line')
    .option('--destination <name>', 'only of this destination, or nats')
    .option('--source <name>', 'only this database')
    .action(async (topic: string | undefined, { destination }: TailOptions, command: Command) => {
      const stop = context.stopSignal()
      const format = isGiven(command, 'json') ? (event: MessageEvent) => shownJson(event) : describeEvent
      await withSources(context, command, (sources) =>
        tail(sources, stop, {
          show(event) {
            if (matches(event.target, topic) && (destination ?? event.destination) === event.destination) {
              context.out(format(event))
            }
          },
          note: (text) => context.err(text),
        }),
      )
    })
}

/** Shows what happens until `stop` is aborted; waits for databases that are away. */
export async function tail(
  sources: readonly OpenSource[],
  stop: AbortSignal,
  to: { show(event: MessageEvent): void; note(text: string): void },
): Promise<void> {
  await Promise.all(sources.map((source) => tailOne(source, stop, to)))
}

async function tailOne(
  source: OpenSource,
  stop: AbortSignal,
  to: { show(event: MessageEvent): void; note(text: string): void },
): Promise<void> {
  let look = await followMessages(source)
  let away = false
  while (!stop.aborted) {
    await pause(POLL_MS, stop)
    try {
      if (away) look = await followMessages(source)
      const { events, more } = await look()
      if (away) to.note(`${source.source}: the database is back; what happened meanwhile is not shown`)
      away = false
      for (const event of events) to.show(event)
      if (more) to.note(`${source.source}: more happened than is shown`)
    } catch (error) {
      if (!away && !stop.aborted) to.note(`${source.source}: ${reasonOf(error)}; waiting for the database`)
      away = true
    }
  }
}

/** An event as a line for people. */
export function describeEvent(event: MessageEvent): string {
  const { at, gid, branch, destination, target, key, attempt, tookMs, detail } = event
  const time = at.toTimeString().slice(0, 8)
  const milliseconds = String(at.getMilliseconds()).padStart(3, '0')
  const parts = [
    destination === 'nats' ? shorten(target, 60) : `${destination} ${shorten(target, 60)}`,
    shorten(messageId(gid, branch), 100),
    ...(key === null ? [] : [`key ${shorten(key, 40)}`]),
    ...(attempt === null || attempt === 0 ? [] : [`attempt ${attempt}`]),
    ...(detail === null ? [] : [shorten(detail, 100)]),
    ...(tookMs === null ? [] : [`${formatDuration(tookMs)} after commit`]),
  ]
  return `${time}.${milliseconds}  ${event.event.padEnd(11)}  ${parts.join('  ')}`
}

function matches(text: string, pattern: string | undefined): boolean {
  if (pattern === undefined) return true
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`).test(text)
}
