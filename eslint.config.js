import { parser, plugin } from 'typescript-eslint'

// Biome formats and lints. Only what needs types is here: in a relay, a query nobody awaits is the bug, and Biome's own
// rules for it miss the calls of pg and Kysely.
export default [
  { ignores: ['**/dist/**', '**/node_modules/**', '.postcommit/**'] },
  {
    files: ['src/**/*.ts', 'relay/**/*.ts', 'test/**/*.ts', 'examples/**/*.ts', '*.config.ts'],
    languageOptions: {
      parser,
      parserOptions: {
        project: 'tsconfig.lint.json',
        tsconfigRootDir: import.meta.dirname,
      },
    },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    plugins: { '@typescript-eslint': plugin },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    },
  },
  {
    files: ['src/**/*.ts', 'relay/**/*.ts'],
    rules: {
      'no-restricted-properties': [
        'error',
        ...['race', 'any'].map((property) => ({
          object: 'Promise',
          property,
          message:
            'It leaves a reaction at each of its promises: one that lives long grows with every call. See src/protocol/within.ts.',
        })),
        {
          object: 'AbortSignal',
          property: 'any',
          message:
            'The new signal hangs on those that it follows, for as long as they live. Add a listener, and remove it.',
        },
      ],
    },
  },
]
