import { ERRORS } from 'postcommit'
import { describe, expect, test } from 'vitest'
import { createProgram } from '../../relay/commands/program.ts'
import { createMetrics } from '../../relay/observe/metrics.ts'
import { repositoryFiles } from './repository-files.ts'

/** Words that leave out which of relay, service, handler, client and operator is meant. */
const UNNAMED =
  /\b(nobody|noone|whoever|whomever|somebody|someone|anybody|anyone|everybody|everyone|people|whatever)\b/i

/** `npm run bench` writes it. */
const MEASURED = 'docs/performance.md'

type Command = ReturnType<typeof createProgram>

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

describe('public texts name the actor', () => {
  test('in the documents', () => {
    const pages = repositoryFiles(['.'], ['.md']).filter(
      ({ path }) => /^(README|ARCHITECTURE)\.md$|^docs\/(?!api\/)/.test(path) && path !== MEASURED,
    )
    expect(pages.length).toBeGreaterThan(20)
    expect(pages.flatMap(({ path, text }) => unnamedIn(text).map((line) => `${path}: ${line}`))).toEqual([])
  })

  test('in the errors', () => {
    const texts = Object.entries(ERRORS).map(([code, { message, action }]) => `${code} ${message} ${action}`)
    expect(texts.flatMap(unnamedIn)).toEqual([])
  })

  test('in the help of all commands, which also shows the options of the configuration', () => {
    const help = helpOf(createProgram(CONTEXT))
    expect(help.length).toBeGreaterThan(10)
    expect(help.flatMap(unnamedIn)).toEqual([])
  })

  test('in the metrics', async () => {
    const help = await createMetrics().registry.getMetricsAsJSON()
    expect(help.length).toBeGreaterThan(30)
    expect(help.flatMap(({ name, help }) => unnamedIn(`${name} ${help}`))).toEqual([])
  })

  test('in the description of the API', () => {
    expect(repositoryFiles(['docs'], ['.json']).flatMap(({ text }) => unnamedIn(text))).toEqual([])
  })

  test('finds a word that does not', () => {
    expect(unnamedIn('Ask the relay.\nWhoever asks is answered.')).toEqual(['Whoever asks is answered.'])
  })
})

/** The pages of help of a command and of all below it. */
function helpOf(command: Command): string[] {
  return [command.helpInformation(), ...(command.commands as Command[]).flatMap(helpOf)]
}

function unnamedIn(text: string): string[] {
  return text.split('\n').filter((line) => UNNAMED.test(line))
}
