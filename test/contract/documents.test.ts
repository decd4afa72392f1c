import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { repositoryFolder } from '../support/repository-folder.ts'
import { repositoryFiles } from './repository-files.ts'

const documents = repositoryFiles(['.'], ['.md']).filter(({ path }) => !path.startsWith('docs/api/'))
const everything = repositoryFiles(['src', 'relay', 'test', 'migrations', 'examples', '.ci'], ['.ts', '.mjs', '.sql'])
const words = new Set(everything.flatMap(({ text }) => text.match(/\w+/g) ?? []))

/** Documents about the inside, which name what is there. The README shows code of services too. */
const DESIGN = documents.map(({ path }) => path).filter((path) => path.startsWith('docs/design/'))
const INSIDE = ['ARCHITECTURE.md', 'CONTRIBUTING.md', ...DESIGN]

/** `npm run bench` writes it. */
const MEASURED = 'docs/performance.md'
const COLUMNS = 120
const PARAGRAPH_LINES_MAX = 6

const FOLDER = /^\.?[a-z][\w.-]*(\/[\w.*-]+)+\/?$|^[\w-]+(\.[\w-]+)*\.(ts|mjs|cjs|sql|json)$/
const NAME = /^[a-zA-Z]+[a-z][A-Z]\w*(\(\))?$/

function cited(text: string): string[] {
  const prose = text.replace(/^```[\s\S]*?^```/gm, '')
  return [...prose.matchAll(/`([^`\n]+)`/g)].map(([, name = '']) => name)
}

/** `relay/store/*` is there if the folder is; a bare file name is there if it is anywhere. */
function isThere(path: string): boolean {
  const fixed = path.replace(/\/?[^/]*\*.*$/, '')
  if (path.includes('/')) return existsSync(join(repositoryFolder, fixed))
  return existsSync(join(repositoryFolder, path)) || everything.some((file) => file.path.endsWith(`/${path}`))
}

describe.each(INSIDE)('%s', (document) => {
  const names = cited(readFileSync(join(repositoryFolder, document), 'utf8'))

  test('the files it cites are there', () => {
    expect(names.filter((name) => FOLDER.test(name) && !/^(postcommit|@)/.test(name) && !isThere(name))).toEqual([])
  })

  test('the names it cites are in the code', () => {
    const unknown = names.filter((name) => NAME.test(name) && !words.has(name.replace('()', '')))
    expect(unknown).toEqual([])
  })
})

test('documents about the inside cite something', () => {
  const names = INSIDE.flatMap((document) => cited(readFileSync(join(repositoryFolder, document), 'utf8')))
  expect(names.filter((name) => FOLDER.test(name)).length).toBeGreaterThan(50)
  expect(names.filter((name) => NAME.test(name)).length).toBeGreaterThan(20)
})

describe('what a reader sees in an editor', () => {
  const written = documents.filter(({ path }) => /^(ARCHITECTURE\.md$|docs\/)/.test(path) && path !== MEASURED)

  test('lines end at 120 columns, but for tables, programs and words', () => {
    expect(written.flatMap(({ path, text }) => longLines(text).map((line) => `${path}: ${line}`))).toEqual([])
  })

  test('paragraphs have six lines at most', () => {
    expect(written.flatMap(({ path, text }) => longParagraphs(text).map((start) => `${path}: ${start}`))).toEqual([])
  })

  test('finds a long line and a long paragraph', () => {
    const sentence = 'A word and another.'
    expect(longLines(`| ${'x'.repeat(COLUMNS)} |\n${'y'.repeat(COLUMNS)}`)).toEqual([])
    expect(longLines(`y ${'y'.repeat(COLUMNS)}`)).toHaveLength(1)
    expect(longParagraphs(`${`${sentence}\n`.repeat(6)}\n- ${sentence}\n- ${sentence}`)).toEqual([])
    expect(longParagraphs(`${sentence}\n`.repeat(7))).toEqual([sentence])
  })
})

/** Rows of tables, lines of programs and words are not broken; pictures, which name no language, are. */
function longLines(text: string): string[] {
  const prose = text.replace(/^ *```[a-z]+\n[\s\S]*?^ *```$/gm, '')
  return prose.split('\n').filter((line) => [...line].length > COLUMNS && /^[^|].* /.test(line))
}

/** The first lines of paragraphs and items of lists that are too long. Code, tables and headings are neither. */
function longParagraphs(text: string): string[] {
  const prose = text.replace(/^ *```[\s\S]*?^ *```/gm, '').replace(/^(\||#).*$/gm, '')
  return prose
    .split(/\n\s*\n|\n(?=\s*(?:[-*]|\d+\.)\s)/)
    .map((paragraph) => paragraph.trim().split('\n'))
    .flatMap((lines) => (lines.length > PARAGRAPH_LINES_MAX ? lines.slice(0, 1) : []))
}

test('links between documents lead somewhere', () => {
  const broken = documents.flatMap(({ path, text }) =>
    [...text.matchAll(/\]\((?!https?:|mailto:|#)([^)#\s]+)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !existsSync(join(repositoryFolder, dirname(path), target)))
      .map((target) => `${path}: ${target}`),
  )
  expect(broken).toEqual([])
})
