import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { repositoryFolder } from '../support/repository-folder.ts'
import { repositoryFiles } from './repository-files.ts'

const documents = repositoryFiles(['.'], ['.md']).filter(({ path }) => !path.startsWith('docs/api/'))
const everything = repositoryFiles(['src', 'relay', 'test', 'migrations', 'examples', '.ci'], ['.ts', '.mjs', '.sql'])
const words = new Set(everything.flatMap(({ text }) => text.match(/\w+/g) ?? []))

/** Documents about the inside, which name what is there. The README shows code of services too. */
const INSIDE = ['ARCHITECTURE.md', 'CONTRIBUTING.md']
const DESIGN = documents.filter(({ path }) => path.startsWith('docs/design/'))

const LINE_MAX = 120
const PARAGRAPH_MAX = 6

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

test.each(INSIDE)('%s cites something', (document) => {
  expect(cited(readFileSync(join(repositoryFolder, document), 'utf8')).length).toBeGreaterThan(10)
})

describe.each([...INSIDE, ...DESIGN.map(({ path }) => path)])('%s', (document) => {
  const names = cited(readFileSync(join(repositoryFolder, document), 'utf8'))

  test('the files it cites are there', () => {
    expect(names.filter((name) => FOLDER.test(name) && !/^(postcommit|@)/.test(name) && !isThere(name))).toEqual([])
  })

  test('the names it cites are in the code', () => {
    const unknown = names.filter((name) => NAME.test(name) && !words.has(name.replace('()', '')))
    expect(unknown).toEqual([])
  })
})

describe.each([...documents.filter(({ path }) => path === 'ARCHITECTURE.md'), ...DESIGN])('$path', ({ text }) => {
  const prose = text
    .replace(/^```[\s\S]*?^```/gm, '')
    .split('\n')
    .map((line) => (line.startsWith('|') ? '' : line))

  test(`has no line of more than ${LINE_MAX} characters outside of tables and pictures`, () => {
    expect(prose.filter((line) => line.length > LINE_MAX)).toEqual([])
  })

  test(`has no paragraph of more than ${PARAGRAPH_MAX} lines`, () => {
    const paragraphs = prose.join('\n').split(/\n(?:\s*\n)+|\n(?=- )/)
    expect(paragraphs.filter((each) => each.trim().split('\n').length > PARAGRAPH_MAX)).toEqual([])
  })
})

test('links between documents lead somewhere', () => {
  const broken = documents.flatMap(({ path, text }) =>
    [...text.matchAll(/\]\((?!https?:|mailto:|#)([^)#\s]+)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !existsSync(join(repositoryFolder, dirname(path), target)))
      .map((target) => `${path}: ${target}`),
  )
  expect(broken).toEqual([])
})
