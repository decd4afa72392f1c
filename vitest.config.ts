import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url))

// Tests name the packages as users do; here the names lead to the sources, so that no build is needed.
const alias = [
  { find: /^postcommit$/, replacement: source('src/index.ts') },
  { find: /^postcommit\/protocol$/, replacement: source('src/protocol/index.ts') },
  { find: /^postcommit\/transactions$/, replacement: source('src/transactions/index.ts') },
  { find: /^postcommit\/nats$/, replacement: source('src/nats/index.ts') },
  { find: /^postcommit\/barrier$/, replacement: source('src/barrier/index.ts') },
  { find: /^postcommit\/cache$/, replacement: source('src/cache/index.ts') },
  { find: /^postcommit\/redis-outbox$/, replacement: source('src/redis-outbox/index.ts') },
  { find: /^@postcommit\/relay$/, replacement: source('relay/index.ts') },
  { find: /^@postcommit\/relay\/dev$/, replacement: source('relay/dev/index.ts') },
]

const withServers = {
  globalSetup: ['test/support/global-setup.ts'],
  testTimeout: 60_000,
  hookTimeout: 120_000,
  teardownTimeout: 60_000,
}

export default defineConfig({
  resolve: { alias },
  test: {
    reporters: ['default', './test/support/closing-line.ts'],
    // Servers share the cores with the tests that watch their timing.
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'relay/**/*.test.ts', 'test/{bench,contract,simulation}/**/*.test.ts'],
          exclude: ['**/dist/**', '**/node_modules/**'],
          testTimeout: 20_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts', 'test/support/**/*.test.ts', 'examples/**/*.test.ts'],
          ...withServers,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'dtm-restarts',
          // The same tests against a relay that is killed and started again between all steps.
          include: [
            `test/integration/dtm/dtm-${process.env['POSTCOMMIT_DTM_RESTARTS'] === 'all' ? '*' : 'msg'}.test.ts`,
          ],
          exclude: ['test/integration/dtm/dtm-strict.test.ts'],
          env: { POSTCOMMIT_TEST_DTM_RELAY: 'killed' },
          ...withServers,
          // A test has a dozen steps, and a machine with other work takes seconds for each.
          testTimeout: 300_000,
          maxWorkers: 1,
          sequence: { groupOrder: 3 },
        },
      },
      {
        extends: true,
        test: {
          name: 'fault',
          include: ['test/fault/**/*.test.ts'],
          ...withServers,
          // They kill servers and measure how soon others take over: one file at a time.
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
