import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { builtPackages } from '../support/built-packages.ts'
import { repositoryFolder } from '../support/repository-folder.ts'

interface Manifest {
  readonly version: string
  readonly dependencies?: Record<string, string>
  readonly exports: Record<string, string | Record<string, string>>
}

/** What can be imported at run time; the types are in docs/api. A name that goes away is a breaking change. */
const NAMES = {
  postcommit: [
    'DeliveryPostponed',
    'DeliveryRefused',
    'ERRORS',
    'PostcommitError',
    'backQueryHandler',
    'branchHandler',
    'createInbox',
    'createOutbox',
    'createRelayClient',
    'handler',
  ],
  'postcommit/nats': ['answerBackQueries', 'subscribe'],
  'postcommit/transactions': ['readSeadt', 'saga'],
  'postcommit/barrier': [
    'Verdict',
    'barrierFrom',
    'createBarrier',
    'createBarrierTable',
    'markPrepared',
    'markPreparedAdjusting',
    'preparedMessages',
    'purgeBarrier',
    'queryPrepared',
    'readBranchCall',
    'redisStore',
  ],
  'postcommit/cache': [
    'applyInvalidations',
    'cacheMetrics',
    'createCache',
    'memoryStore',
    'natsKvStore',
    'redisStore',
    'valuesNamed',
    'watchTable',
  ],
  'postcommit/redis-outbox': ['entryStream', 'redisOutbox'],
  '@postcommit/relay': ['createMetrics', 'createRelay'],
  '@postcommit/relay/dev': [
    'findMariadb',
    'findNatsServer',
    'findRedisServer',
    'freePort',
    'mariadbInstallCommand',
    'natsInstallCommand',
    'redisInstallCommand',
    'startMariadb',
    'startNats',
    'startPostgres',
    'startRedis',
  ],
}

const FOLDERS = { postcommit: '.', '@postcommit/relay': 'relay' }

beforeAll(builtPackages, 120_000)

function manifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(repositoryFolder, folder, 'package.json'), 'utf8')) as Manifest
}

/** Imports the built package, as a user would, past the aliases of the tests. */
function namesOf(entry: string): string[] {
  const program = `console.log(JSON.stringify(Object.keys(await import('${entry}')).sort()))`
  const output = execFileSync(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: repositoryFolder,
    encoding: 'utf8',
  })
  return JSON.parse(output) as string[]
}

function packedFiles(folder: string): string[] {
  const output = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: join(repositoryFolder, folder),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [{ files } = { files: [] }] = JSON.parse(output) as { files: { path: string }[] }[]
  return files.map(({ path }) => path)
}

test.each(Object.entries(NAMES))('%s exports these names', (entry, names) => {
  expect(namesOf(entry)).toEqual(names)
})

test('the SDK brings nothing along', () => {
  expect(manifest('.').dependencies ?? {}).toEqual({})
})

test('the relay is released with the SDK of the same version', () => {
  expect(manifest('relay').version).toBe(manifest('.').version)
  expect(manifest('relay').dependencies?.['postcommit']).toBe(manifest('.').version)
})

describe.each(Object.entries(FOLDERS))('%s', (_, folder) => {
  test('every entry is there after a build, types first', () => {
    for (const entry of Object.values(manifest(folder).exports)) {
      const paths = typeof entry === 'string' ? [entry] : Object.values(entry)
      expect(paths.filter((path) => !existsSync(join(repositoryFolder, folder, path)))).toEqual([])
      if (typeof entry !== 'string') expect(Object.keys(entry)).toEqual(['types', 'default'])
    }
  })

  test('what is packed has what it needs, and neither tests nor sources', () => {
    const files = packedFiles(folder)
    expect(files).toContain('LICENSE')
    expect(files).toContain('package.json')
    expect(files).toContain('dist/index.js')
    expect(files.filter((path) => /\.test\.|\.map$|\.tsbuildinfo$|(?<!\.d)\.ts$|^test|\.env/.test(path))).toEqual([])
    if (folder === '.') {
      expect(files).toEqual(
        expect.arrayContaining(['migrations/0001-outbox.sql', 'migrations/mariadb/0001-barrier.sql']),
      )
    }
  })
})
