/** Test files that end in every way a test file can end, with what each adds to the closing line. */
export const CASES = {
  'passes.ts': {
    adds: { passed: 2, failed: 0, skipped: 1 },
    text: `test('one', () => {}); test('two', () => {}); test.skip('three', () => {})`,
  },
  'fails.ts': {
    adds: { passed: 1, failed: 1, skipped: 0 },
    text: `test('one', () => { throw new Error('planted') }); test('two', () => {})`,
  },
  'does-not-load.ts': {
    adds: { passed: 0, failed: 1, skipped: 0 },
    text: `import './missing.ts'; test('never seen', () => {})`,
  },
  'has-no-test.ts': {
    adds: { passed: 0, failed: 1, skipped: 0 },
    text: '',
  },
  'set-up-throws.ts': {
    adds: { passed: 0, failed: 1, skipped: 1 },
    text: `describe('suite', () => { beforeAll(() => { throw new Error('planted') }); test('one', () => {}) })`,
  },
  'clean-up-throws.ts': {
    adds: { passed: 1, failed: 1, skipped: 0 },
    text: `afterAll(() => { throw new Error('planted') }); test('one', () => {})`,
  },
  'leaves-a-rejection.ts': {
    adds: { passed: 1, failed: 1, skipped: 0 },
    text: `test('one', async () => { Promise.reject(new Error('planted')); await new Promise((go) => setTimeout(go, 50)) })`,
  },
} as const
