// Compares what the packages export with the reports in docs/api, so that a change of the public surface is seen in
// review. `npm run api` writes the reports anew.
import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { CompilerState, Extractor, ExtractorConfig } from '@microsoft/api-extractor'

const root = fileURLToPath(new URL('..', import.meta.url))
const update = process.argv.includes('--update')
const REPORTS = `${root}docs/api`
const CACHE = `${root}node_modules/.cache/api`

/** One report per entry point of a package. */
const ENTRIES = [
  { report: 'postcommit', types: 'dist/index.d.ts', folder: '.' },
  { report: 'postcommit-protocol', types: 'dist/protocol/index.d.ts', folder: '.' },
  { report: 'postcommit-nats', types: 'dist/nats/index.d.ts', folder: '.' },
  { report: 'postcommit-barrier', types: 'dist/barrier/index.d.ts', folder: '.' },
  { report: 'postcommit-cache', types: 'dist/cache/index.d.ts', folder: '.' },
  { report: 'postcommit-redis-outbox', types: 'dist/redis-outbox/index.d.ts', folder: '.' },
  { report: 'postcommit-transactions', types: 'dist/transactions/index.d.ts', folder: '.' },
  { report: 'relay', types: 'relay/dist/index.d.ts', folder: 'relay' },
  { report: 'relay-dev', types: 'relay/dist/dev/index.d.ts', folder: 'relay' },
]

const COMPILER = {
  target: 'ES2023',
  lib: ['ES2023', 'ESNext.Disposable'],
  module: 'NodeNext',
  moduleResolution: 'NodeNext',
  types: ['node'],
  strict: true,
  skipLibCheck: true,
}

/** What is not about the shape of the surface is left to the compiler and to Biome. */
const MESSAGES = {
  compilerMessageReporting: { default: { logLevel: 'none' } },
  tsdocMessageReporting: { default: { logLevel: 'none' } },
  extractorMessageReporting: {
    default: { logLevel: 'error' },
    'ae-missing-release-tag': { logLevel: 'none' },
    'ae-unresolved-link': { logLevel: 'none' },
    'ae-undocumented': { logLevel: 'none' },
    // What an exported type mentions is in the report too, exported or not.
    'ae-forgotten-export': { logLevel: 'none' },
  },
}

mkdirSync(REPORTS, { recursive: true })
mkdirSync(CACHE, { recursive: true })
const configs = ENTRIES.map(configOf)
// One program for all of them: each alone would read the libraries anew.
const [first] = configs
const additionalEntryPoints = configs.map(({ mainEntryPointFilePath }) => mainEntryPointFilePath)
const compilerState = CompilerState.create(first, { additionalEntryPoints })
const changed = ENTRIES.filter((_, index) => !isCurrent(configs[index])).map(
  ({ report }) => `docs/api/${report}.api.md`,
)
if (changed.length > 0) {
  process.exitCode = 1
  console.error(`not what the code exports: ${changed.join(', ')}\nIf the change is meant, run: npm run api`)
}

function configOf({ report, types, folder }) {
  return ExtractorConfig.prepare({
    configObject: {
      projectFolder: `${root}${folder}`,
      mainEntryPointFilePath: `${root}${types}`,
      compiler: { overrideTsconfig: { compilerOptions: COMPILER, files: [`${root}${types}`] } },
      apiReport: {
        enabled: true,
        reportFileName: report,
        reportFolder: REPORTS,
        reportTempFolder: CACHE,
        includeForgottenExports: true,
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      newlineKind: 'lf',
      messages: MESSAGES,
    },
    configObjectFullPath: undefined,
    packageJsonFullPath: `${root}${folder}/package.json`,
  })
}

function isCurrent(config) {
  const { succeeded, apiReportChanged } = Extractor.invoke(config, {
    compilerState,
    localBuild: update,
    messageCallback: quiet,
  })
  return succeeded && (update || !apiReportChanged)
}

/** Only what fails is worth a line. */
function quiet(message) {
  if (message.logLevel !== 'error') message.handled = true
}
