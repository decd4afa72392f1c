import { FAILPOINTS } from 'postcommit/protocol'
import { expect, test } from 'vitest'
import { packageSources, repositoryFiles } from './repository-files.ts'

test('every crash point is passed by the code', () => {
  const text = packageSources()
    .map((file) => file.text)
    .join('\n')
  expect(FAILPOINTS.filter((label) => !text.includes(`failpoint('${label}')`))).toEqual([])
})

test('every crash point is crashed at by a test', () => {
  const text = repositoryFiles(['test'], ['.ts'])
    .filter(({ path }) => path.startsWith('test/fault/'))
    .map((file) => file.text)
    .join('\n')
  expect(FAILPOINTS.filter((label) => !text.includes(label))).toEqual([])
})
