import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { describe, expect, test } from 'vitest'
import { CONFIG_OPTIONS } from '../config/options.ts'
import { createProgram } from './program.ts'
import { ExitCode } from './shell/exit-code.ts'

const PAGE = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8')
const CONTEXT = {
  cwd: '/',
  env: {},
  out: () => undefined,
  err: () => undefined,
  finish: () => undefined,
  end: (): never => {
    throw new Error('nothing runs here')
  },
  stopSignal: () => new AbortController().signal,
}
const COMMON = ['--config', '--database-url', '--source', '--json', '--verbose']
const CONFIGURED = CONFIG_OPTIONS.flatMap(({ flag }) => flag ?? [])

describe('docs/cli.md', () => {
  const commands = createProgram(CONTEXT).commands.filter((command) => command.name() !== 'help')

  test('has a section for every command and for nothing else', () => {
    const sections = [...PAGE.matchAll(/^## ([a-z-]+)$/gm)].map(([, name]) => name)
    expect(sections.toSorted()).toEqual(commands.map((command) => command.name()).toSorted())
  })

  test.each(commands.map((command) => [command.name(), command] as const))(
    'lists exactly the flags of %s',
    (name, command) => {
      const section = PAGE.split(/^## /m).find((part) => part.startsWith(`${name}\n`)) ?? ''
      const listed = [...section.matchAll(/^\| `(--[a-z-]+)` \|/gm)].map(([, flag]) => flag)
      expect(listed.toSorted()).toEqual(ownFlags(command).toSorted())
    },
  )

  test('lists the flags that commands share, and the exit codes', () => {
    for (const flag of COMMON) expect(PAGE).toContain(`| \`${flag}\` |`)
    const codes = [...PAGE.matchAll(/^\| (\d) \|/gm)].map(([, code]) => Number(code))
    expect(codes).toEqual(Object.values(ExitCode))
  })
})

function ownFlags(command: Command): readonly string[] {
  const flags = [command, ...command.commands].flatMap(({ options }) => options.map(({ long }) => long ?? ''))
  return [...new Set(flags)].filter((flag) => !COMMON.includes(flag) && !CONFIGURED.includes(flag))
}
