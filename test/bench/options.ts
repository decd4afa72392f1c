import { parseArgs } from 'node:util'
import type { Case } from './case.ts'

/** What the command line asks for. */
export interface Options {
  readonly quick: boolean
  /** Where to write the measurements as JSON. */
  readonly json: string | undefined
  /** Whether to write `docs/performance.md`. */
  readonly doc: boolean
  readonly cases: readonly Case[]
}

/** The command line was wrong; the message says what is right. */
export class UsageError extends Error {}

/** What `--help` prints. */
export const usage = (cases: readonly Case[]) => `npm run bench -- [options]

  --quick        fewer rounds and less work: about four minutes
  --only NAMES   only these, separated by commas: ${cases.map(({ name }) => name).join(', ')}
  --json FILE    write the measurements for a program
  --doc          write docs/performance.md (a full run of everything)
  --help`

/** @throws UsageError for options that there are not, names that there are not, and combinations that make no sense. */
export function parseOptions(args: readonly string[], all: readonly Case[]): Options | 'help' {
  const values = parse(args)
  if (values.help === true) return 'help'
  const { quick = false, doc = false, json, only } = values
  if (doc && (quick || only !== undefined)) {
    throw new UsageError('--doc is written from a full run of everything; leave --quick and --only away.')
  }
  return { quick, doc, json, cases: only === undefined ? all.filter(inRun(quick)) : selected(only, all) }
}

function inRun(quick: boolean): (each: Case) => boolean {
  return ({ onlyInFull = false }) => !(quick && onlyInFull)
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        quick: { type: 'boolean' },
        only: { type: 'string' },
        json: { type: 'string' },
        doc: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function selected(only: string, all: readonly Case[]): readonly Case[] {
  const names = only.split(',').map((name) => name.trim())
  const unknown = names.filter((name) => !all.some((each) => each.name === name))
  if (unknown.length > 0) {
    throw new UsageError(
      `There is nothing named ${unknown.map((name) => `"${name}"`).join(', ')}; there is ${all.map(({ name }) => name).join(', ')}.`,
    )
  }
  return all.filter(({ name }) => names.includes(name))
}
