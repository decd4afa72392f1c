/**
 * Imports go one way: protocol <- src/* <- src/index.ts <- relay/engine <- relay/{store,destinations} <- loops <- relay.
 * The relay, the examples and the programs of the tests see the SDK as its users do: through its package name, which
 * leads to dist/ here. So this needs a build.
 */
const TESTS = '\\.test\\.ts$'
const LOOPS = 'publisher|dispatcher|membership|housekeeping|coordinator/back-query|redis-outbox'

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'Whoever reads one file of a cycle has to read all of it.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'resolvable',
      comment: 'An import that leads nowhere here leads nowhere at a user.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'protocol-stands-alone',
      comment: 'Both packages are built on it.',
      severity: 'error',
      from: { path: '^src/protocol/', pathNot: TESTS },
      to: { pathNot: '^src/protocol/', dependencyTypesNot: ['core'] },
    },
    {
      name: 'statements-know-the-protocol-only',
      comment: 'src/store is below everything else of the SDK.',
      severity: 'error',
      from: { path: '^src/store/', pathNot: TESTS },
      to: { path: '^src/', pathNot: '^src/(store|protocol)/' },
    },
    {
      name: 'nothing-imports-the-entry',
      comment: 'src/index.ts and relay/index.ts collect; inside, import the file that has it.',
      severity: 'error',
      from: { path: '^(src|relay)/', pathNot: TESTS },
      to: { path: '^(src|relay)/index\\.ts$' },
    },
    {
      name: 'sdk-never-imports-relay',
      comment: 'A service that installs the SDK must not get a daemon.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^relay/' },
    },
    {
      name: 'sdk-has-no-runtime-dependency',
      comment: 'kysely, pg and NATS clients are recognised by shape; at most their types may be named.',
      severity: 'error',
      from: { path: '^src/', pathNot: TESTS },
      to: {
        dependencyTypes: ['npm', 'npm-dev', 'npm-peer', 'npm-optional', 'npm-no-pkg', 'npm-unknown'],
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'sdk-by-its-name',
      comment: 'The relay and the examples use what is published, or the published surface is not enough.',
      severity: 'error',
      from: { path: '^(relay|examples)/' },
      to: { path: '^src/' },
    },
    {
      name: 'examples-as-a-user',
      comment: 'An example that reaches into a package teaches what nobody can do.',
      severity: 'error',
      from: { path: '^examples/' },
      to: { path: '^(relay|test)/', pathNot: '^relay/dist/' },
    },
    {
      name: 'engine-is-pure',
      comment: 'Decisions without clock, I/O, logger or database can be tested for every order of events.',
      severity: 'error',
      from: { path: '^relay/engine/', pathNot: TESTS },
      to: { pathNot: '^(relay/engine|dist/protocol)/' },
    },
    {
      name: 'statements-below-the-loops',
      comment: 'A statement is a function of a connection and values.',
      severity: 'error',
      from: { path: '^relay/store/', pathNot: TESTS },
      to: { path: '^relay/', pathNot: '^relay/(store|engine)/' },
    },
    {
      name: 'destinations-below-the-loops',
      comment: 'A destination delivers one message and knows nothing of tables.',
      severity: 'error',
      from: { path: '^relay/destinations/', pathNot: TESTS },
      to: { path: '^relay/', pathNot: '^relay/(destinations|engine|broker)/' },
    },
    {
      name: 'nothing-imports-a-loop',
      comment: 'Loops meet in the database; only relay/*.ts starts them.',
      severity: 'error',
      from: { path: '^relay/([^/]+)/', pathNot: TESTS },
      to: { path: `^relay/(${LOOPS})/`, pathNot: '^relay/$1/' },
    },
    {
      name: 'operators-below-cli-and-api',
      comment: 'What an operator sees and does is there once, for commands and the API; neither is needed for it.',
      severity: 'error',
      from: { path: '^relay/operators/', pathNot: TESTS },
      to: { path: '^relay/', pathNot: '^relay/(operators|store|engine)/' },
    },
    {
      name: 'core-without-shell',
      comment: 'Embedded in a service, the relay must not read files, variables or arguments.',
      severity: 'error',
      from: {
        path: `^relay/(${LOOPS}|engine|store|destinations|broker|observe|operators|api|coordinator|http|postgres)/|^relay/(index|relay|serve-database)\\.ts$`,
      },
      to: { path: '^relay/(config|commands|main|bin|dev)' },
    },
    {
      name: 'config-is-only-read-by-the-shell',
      comment: 'The schema of the configuration describes the options of createRelay, not the other way round.',
      severity: 'error',
      from: { path: '^relay/', pathNot: '^relay/(config|commands)/|^relay/main\\.ts$' },
      to: { path: '^relay/config/' },
    },
    {
      name: 'no-test-code-in-packages',
      comment: 'It would be missing after npm install.',
      severity: 'error',
      from: { path: '^(src|relay)/', pathNot: TESTS },
      to: { path: `^(test|examples)/|${TESTS}` },
    },
    {
      name: 'bench-stands-alone',
      comment: 'What it measures must not come to need it.',
      severity: 'error',
      from: { pathNot: '^test/bench/' },
      to: { path: '^test/bench/' },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['types', 'import', 'default'] },
    doNotFollow: { path: ['node_modules', '^dist/', '^relay/dist/'] },
    exclude: { path: ['^relay/dist/', '^(examples|test)/.*/dist/'] },
  },
}
