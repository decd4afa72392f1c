import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CONFIG_OPTIONS } from './options.ts'
import { isTree, type Tree, withValueAt } from './tree.ts'
import { validate } from './validate.ts'

const PATHS = [
  ...CONFIG_OPTIONS.map(({ path }) => path),
  ...['nats', 'http', 'nats.nope', 'nope', 'databases.main', 'databases.main.url', 'databases.Main.url'].map(split),
  ...['destinations.stock', 'destinations.stock.url', 'destinations.stock.secrets', 'destinations.nats'].map(split),
]
const VALUES = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom(0, 1, 60_000, 'http://x', 'postgres://127.0.0.1/a', true, [{ name: 'A', subjects: ['a'] }]),
)

describe('validate', () => {
  test('ends with a configuration or with problems, whatever it is given', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(...PATHS), VALUES), { maxLength: 6 }), (settings) => {
        const { config, problems } = validate(treeOf(settings))
        expect(config === undefined).toBe(problems.length > 0)
      }),
      { numRuns: 500 },
    )
  })

  test('one wrong value is one problem at its place', () => {
    fc.assert(
      fc.property(fc.constantFrom(...CONFIG_OPTIONS), (option) => {
        const { problems } = validate(treeOf([[option.path, Symbol('wrong')]]))
        expect(problems.map(({ path }) => path)).toEqual([option.path])
      }),
    )
  })
})

function treeOf(settings: readonly (readonly [readonly string[], unknown])[]): Tree {
  const tree = settings.reduce<unknown>((all, [path, value]) => withValueAt(all, path, value), {})
  return isTree(tree) ? tree : {}
}

function split(path: string): readonly string[] {
  return path.split('.')
}
