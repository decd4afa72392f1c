import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ERRORS } from 'postcommit'
import { expect, test } from 'vitest'
import { repositoryFolder } from '../support/repository-folder.ts'
import { errorDocs } from './error-docs.ts'
import { isTest, packageSources, type RepositoryFile, repositoryFiles } from './repository-files.ts'

const codes = Object.keys(ERRORS)

function mentions(files: readonly RepositoryFile[], pattern: RegExp): Set<string> {
  return new Set(files.flatMap(({ text }) => [...text.matchAll(pattern)].map(([, code = '']) => code)))
}

test('docs/errors.md is what the table says; npm run docs writes it', () => {
  expect(readFileSync(join(repositoryFolder, 'docs/errors.md'), 'utf8')).toBe(errorDocs())
})

test('every code is thrown somewhere', () => {
  // In quotes: a comment that names a code throws nothing.
  const thrown = mentions(
    packageSources().filter(({ path }) => path !== 'src/protocol/errors.ts'),
    /'(POSTCOMMIT_[A-Z_]+)'/g,
  )
  expect(codes.filter((code) => !thrown.has(code))).toEqual([])
})

test('every code is expected by a test', () => {
  const tests = repositoryFiles(['src', 'relay', 'test'], ['.ts'])
  const expected = mentions(
    tests.filter(({ path }) => isTest(path) && !path.startsWith('test/contract/')),
    /\b(POSTCOMMIT_[A-Z_]+)\b/g,
  )
  expect(codes.filter((code) => !expected.has(code))).toEqual([])
})
