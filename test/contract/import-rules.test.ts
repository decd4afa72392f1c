import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { repositoryFolder } from '../support/repository-folder.ts'

/** For each rule a file that breaks it, as [path, text]. The rest of the tree is below. */
const BREACHES: Record<string, readonly [path: string, text: string]> = {
  'no-cycles': ['src/store/cycle-a.ts', `import './cycle-b.ts'`],
  resolvable: ['src/lost.ts', `import './nowhere.ts'`],
  'protocol-stands-alone': ['src/protocol/high.ts', `import '../outbox.ts'`],
  'statements-know-the-protocol-only': ['src/store/high.ts', `import type {} from '../outbox.ts'`],
  'nothing-imports-the-entry': ['src/inbox/entry.ts', `import '../index.ts'`],
  'sdk-never-imports-relay': ['src/daemon.ts', `import type {} from '../relay/relay.ts'`],
  'sdk-has-no-runtime-dependency': ['src/heavy.ts', `import 'pg'`],
  'sdk-by-its-name': ['relay/api/around.ts', `import '../../src/outbox.ts'`],
  'examples-as-a-user': ['examples/inside.ts', `import '../relay/relay.ts'`],
  'engine-is-pure': ['relay/engine/impure.ts', `import 'node:timers'`],
  'statements-below-the-loops': ['relay/store/high.ts', `import '../destinations/http.ts'`],
  'destinations-below-the-loops': ['relay/destinations/tables.ts', `import '../store/claim.ts'`],
  'nothing-imports-a-loop': ['relay/dispatcher/other-loop.ts', `import '../publisher/publisher.ts'`],
  'operators-below-cli-and-api': ['relay/operators/of-a-route.ts', `import '../destinations/http.ts'`],
  'core-without-shell': ['relay/observe/arguments.ts', `import '../commands/run.ts'`],
  'config-is-only-read-by-the-shell': ['relay/api/reads-config.ts', `import type {} from '../config/schema.ts'`],
  'no-test-code-in-packages': ['relay/api/tested.ts', `import '../../test/support/servers.ts'`],
  'bench-stands-alone': ['test/fault/measured.ts', `import '../bench/worker.ts'`],
}

const CLEAN: Record<string, string> = {
  'src/store/cycle-b.ts': `import './cycle-a.ts'`,
  'src/protocol/gid.ts': `import 'node:crypto'`,
  'src/outbox.ts': `import './protocol/gid.ts'; import type {} from 'pg'`,
  'src/index.ts': `export * from './outbox.ts'`,
  'relay/relay.ts': `import './publisher/publisher.ts'; import 'postcommit/protocol'; import 'pg'`,
  'relay/engine/retry.ts': `import 'postcommit/protocol'`,
  'relay/store/claim.ts': `import '../engine/retry.ts'`,
  'relay/destinations/http.ts': `import '../engine/retry.ts'`,
  'relay/publisher/publisher.ts': `import '../store/claim.ts'; import '../destinations/http.ts'`,
  'relay/config/schema.ts': '',
  'relay/commands/run.ts': `import '../relay.ts'; import '../config/schema.ts'`,
  'test/support/servers.ts': '',
  'test/bench/worker.ts': `import '../support/servers.ts'`,
  'examples/outbox.ts': `import 'postcommit/protocol'`,
  'dist/protocol/index.js': '',
  'dist/protocol/index.d.ts': '',
}

let folder: string
const { forbidden } = createRequire(import.meta.url)('../../.dependency-cruiser.cjs') as {
  forbidden: readonly { readonly name: string }[]
}

beforeAll(() => {
  folder = mkdtempSync(join(repositoryFolder, 'node_modules', '.cache-import-rules-'))
  for (const name of ['package.json', 'tsconfig.base.json', '.dependency-cruiser.cjs']) {
    cpSync(join(repositoryFolder, name), join(folder, name))
  }
  write('node_modules/pg/package.json', '{ "name": "pg", "version": "8.0.0" }')
  write('node_modules/pg/index.js', '')
  symlinkSync(folder, join(folder, 'node_modules', 'postcommit'))
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

function write(path: string, text: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), text)
}

/** The broken rules with the file that breaks each. */
function violations(): Set<string> {
  const cruiser = join(repositoryFolder, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs')
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [cruiser, 'src', 'relay', 'test', 'examples', '--no-progress', '--output-type', 'json'],
    { cwd: folder, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
  )
  expect(stderr).toBe('')
  const { summary } = JSON.parse(stdout) as { summary: { violations: { rule: { name: string }; from: string }[] } }
  return new Set(summary.violations.map(({ rule, from }) => `${rule.name} ${from}`))
}

describe('import rules', () => {
  test('every rule is proven here', () => {
    expect(Object.keys(BREACHES)).toEqual(forbidden.map(({ name }) => name))
  })

  test('each breach is found, and nothing else', () => {
    for (const [path, text] of Object.entries(CLEAN)) write(path, text)
    for (const [path, text] of Object.values(BREACHES)) write(path, text)
    const found = violations()
    for (const [rule, [path]] of Object.entries(BREACHES)) {
      expect([...found].filter((violation) => violation.startsWith(`${rule} `))).toContain(`${rule} ${path}`)
    }
    const broken = new Set(Object.values(BREACHES).map(([path]) => path))
    expect([...found].filter((violation) => !broken.has(violation.split(' ')[1] ?? ''))).toEqual([])
  })
})
