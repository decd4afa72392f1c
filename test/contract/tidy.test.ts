import { basename, dirname } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { isTest, packageSources, type RepositoryFile, repositoryFiles, trackedPaths } from './repository-files.ts'
import { clockOrWorldUses, longFunctions, processUses } from './syntax.ts'

const FILE_LINES_MAX = 400
const FUNCTION_LINES_MAX = 70

/** Names that say where code was put instead of what it is about. */
const EMPTY_NAME =
  /^(utils?|helpers?|common|types|misc|shared|lib|managers?|services?)(\.|$)|-(utils?|helpers?|manager)\./
const EMPTY_DECLARATION =
  /^(?:export )?(?:class|interface|type|function|const) (\w*(?:Manager|Helpers?|Utils?)|\w+Service)\b/gm
const LEFT_UNDONE = /\b(TODO|FIXME|XXX|HACK)\b/

/** What a repository of code holds. Logs, profiles, archives and pictures of a run are none of it. */
const TRACKED_KIND = /\.(ts|mjs|cjs|js|json|md|sql|txt|ya?ml)$/
const TRACKED_BY_NAME = new Set(['LICENSE', 'run', '.editorconfig', '.gitattributes', '.gitignore', '.npmrc', '.nvmrc'])

/** The shell around the relay: what reads variables and arguments, and what ends the process. */
const SHELL = /^relay\/(main\.ts|config\/|commands\/|dev\/)/

const code = repositoryFiles(['.'], ['.ts', '.mjs', '.cjs', '.js'])
const migrations = repositoryFiles(['migrations'], ['.sql'])

function parse({ path, text }: RepositoryFile): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
}

test('there is code to look at', () => {
  expect(code.length).toBeGreaterThan(100)
})

describe('size', () => {
  test(`no file is longer than ${FILE_LINES_MAX} lines`, () => {
    const long = [...code, ...migrations].map(({ path, text }) => [path, text.split('\n').length - 1] as const)
    expect(long.filter(([, lines]) => lines > FILE_LINES_MAX)).toEqual([])
  })

  test(`no function is longer than ${FUNCTION_LINES_MAX} lines`, () => {
    expect(code.flatMap((file) => longFunctions(parse(file), FUNCTION_LINES_MAX))).toEqual([])
  })
})

describe('names', () => {
  test('no file and no folder is called utils, helpers, common, types and the like', () => {
    expect(
      code.map(({ path }) => path).filter((path) => path.split('/').some((part) => EMPTY_NAME.test(part))),
    ).toEqual([])
  })

  test('nothing in the packages is a Manager, a Helper or a Service', () => {
    const found = packageSources().flatMap(({ path, text }) =>
      [...text.matchAll(EMPTY_DECLARATION)].map(([, name]) => `${path}: ${name}`),
    )
    expect(found).toEqual([])
  })

  test('files are named in kebab-case', () => {
    const names = code.map(({ path }) => path).filter((path) => !/^\.?[a-z0-9-]+(\.[a-z-]+)+$/.test(basename(path)))
    expect(names).toEqual([])
  })

  test.each(['migrations', 'migrations/mariadb'])('%s are numbered without a gap', (folder) => {
    const files = migrations.map(({ path }) => path).filter((path) => dirname(path) === folder)
    const numbers = files.map((path) => Number(/^(\d{4})-[a-z0-9-]+\.sql$/.exec(basename(path))?.[1]))
    expect(numbers.length).toBeGreaterThan(0)
    expect(numbers.sort((a, b) => a - b)).toEqual(numbers.map((_, index) => index + 1))
  })
})

test('every file is of a kind that belongs here', () => {
  const strays = trackedPaths().filter((path) => !TRACKED_KIND.test(path) && !TRACKED_BY_NAME.has(basename(path)))
  expect(strays).toEqual([])
})

test('nothing is left undone', () => {
  const self = 'test/contract/tidy.test.ts'
  const undone = [...code, ...migrations].filter(({ path, text }) => path !== self && LEFT_UNDONE.test(text))
  expect(undone.map(({ path }) => path)).toEqual([])
})

describe('reach', () => {
  test('only the shell of the relay reads variables and arguments, and ends the process', () => {
    const inside = packageSources().filter(({ path }) => !SHELL.test(path))
    expect(inside.flatMap((file) => processUses(parse(file)))).toEqual([])
  })

  test('the engine has no clock, no chance and no output', () => {
    const engine = packageSources().filter(({ path }) => path.startsWith('relay/engine/'))
    expect(engine.flatMap((file) => clockOrWorldUses(parse(file)))).toEqual([])
  })

  test('statements leave time to the database', () => {
    const statements = packageSources().filter(({ path }) => /^(relay|src)\/store\//.test(path))
    expect(statements.filter(({ text }) => /\bDate\.now\(|\bnew Date\(\)/.test(text)).map(({ path }) => path)).toEqual(
      [],
    )
  })

  test('no test is kept from running', () => {
    const held = code.filter(({ path, text }) => isTest(path) && /\b(test|it|describe)\.(only|todo|skip)\(/.test(text))
    expect(held.map(({ path }) => path).filter((path) => path !== 'test/contract/tidy.test.ts')).toEqual([])
  })
})
