import { ERRORS } from 'postcommit'
import { createScanner, ScriptTarget, SyntaxKind } from 'typescript'
import { describe, expect, test } from 'vitest'
import { createProgram } from '../../relay/commands/program.ts'
import { createMetrics } from '../../relay/observe/metrics.ts'
import { repositoryFiles } from './repository-files.ts'

/** Words that leave out which of relay, service, handler, client and operator is meant. */
const UNNAMED =
  /\b(nobody|noone|whoever|whomever|somebody|someone|anybody|anyone|everybody|everyone|people|whatever)\b/i

/** These too have a word of the field. */
const ILL_NAMED = new RegExp(`${UNNAMED.source}|\\b(mend(s|ed|ing)?|hand(s|ed)? (it )?in)\\b`, 'i')

const TEXTS: ReadonlySet<SyntaxKind> = new Set([
  SyntaxKind.StringLiteral,
  SyntaxKind.NoSubstitutionTemplateLiteral,
  SyntaxKind.TemplateHead,
  SyntaxKind.TemplateMiddle,
  SyntaxKind.TemplateTail,
])

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

  test('in whatever the programs say: sentences in the code that ships', () => {
    const files = repositoryFiles(['src', 'relay'], ['.ts']).filter(
      ({ path }) => !/\.(test|prop\.test)\.ts$/.test(path),
    )
    expect(files.length).toBeGreaterThan(300)
    const found = files.flatMap(({ path, text }) =>
      sentencesIn(text).flatMap((sentence) => (ILL_NAMED.test(sentence) ? [`${path}: ${sentence}`] : [])),
    )
    expect(found).toEqual([])
  })

  test('in the bench, whose titles, names and notes become docs/performance.md', () => {
    const sources = repositoryFiles(['test/bench'], ['.ts'])
    expect(sources.length).toBeGreaterThan(50)
    expect(sources.flatMap(({ path, text }) => unnamedIn(text).map((line) => `${path}: ${line}`))).toEqual([])
  })

  test('finds a word that does not', () => {
    const code = ['// nobody there', "const name = 'nobody'", `f(\`one \${name} by nobody else\`)`].join('\n')
    expect(sentencesIn(code).filter((text) => ILL_NAMED.test(text))).toEqual(['} by nobody else`'])
    expect(unnamedIn('Ask the relay.\nWhoever asks is answered.')).toEqual(['Whoever asks is answered.'])
  })
})

/** The pages of help of a command and of all below it. */
function helpOf(command: Command): string[] {
  return [command.helpInformation(), ...(command.commands as Command[]).flatMap(helpOf)]
}

/** String literals and pieces of templates that have more than one word. */
function sentencesIn(text: string): string[] {
  const scanner = createScanner(ScriptTarget.Latest, true, undefined, text)
  const found: string[] = []
  // How many braces are open in each template that a substitution interrupts.
  const templates: number[] = []
  for (let kind = scanner.scan(); kind !== SyntaxKind.EndOfFileToken; kind = scanner.scan()) {
    const depth = templates.at(-1)
    if (kind === SyntaxKind.OpenBraceToken && depth !== undefined) templates[templates.length - 1] = depth + 1
    if (kind === SyntaxKind.CloseBraceToken && depth !== undefined) {
      if (depth > 0) templates[templates.length - 1] = depth - 1
      else kind = scanner.reScanTemplateToken(false)
    }
    if (kind === SyntaxKind.TemplateHead) templates.push(0)
    if (kind === SyntaxKind.TemplateTail) templates.pop()
    if (TEXTS.has(kind) && / /.test(scanner.getTokenText())) found.push(scanner.getTokenText())
  }
  return found
}

function unnamedIn(text: string): string[] {
  return text.split('\n').filter((line) => UNNAMED.test(line))
}
