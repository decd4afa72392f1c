import ts from 'typescript'
import { expect, test } from 'vitest'
import { clockOrWorldUses, longFunctions, processUses } from './syntax.ts'

function parse(text: string): ts.SourceFile {
  return ts.createSourceFile('planted.ts', text, ts.ScriptTarget.Latest, true)
}

test('finds functions that are too long, except describe', () => {
  const body = '{\n1\n2\n}'
  const text = `function a() ${body}\nconst b = () => ${body}\nclass C { d() ${body} }\ndescribe('e', () => ${body})`
  expect(longFunctions(parse(text), 3)).toEqual([
    'planted.ts:1 4 lines',
    'planted.ts:5 4 lines',
    'planted.ts:9 4 lines',
  ])
  expect(longFunctions(parse(text), 4)).toEqual([])
})

test('finds what reads the process or ends it', () => {
  const text = `import { env } from 'node:process'\nprocess.env['A']\nprocess.exit(1)\nprocess.kill(process.pid)`
  expect(processUses(parse(text))).toEqual([
    `planted.ts:1 import { env } from 'node:process'`,
    'planted.ts:2 process.env',
    'planted.ts:3 process.exit',
  ])
})

test('finds clocks, chance and output', () => {
  const text = `Date.now()\nMath.random()\nconsole.log()\nsetTimeout(f)\nwindow.Date\nlet d: Date\nMath.max(1)\nnew Date(5)\nDate.parse(t)\nnew Date()`
  expect(clockOrWorldUses(parse(text))).toEqual([
    'planted.ts:1 Date',
    'planted.ts:2 Math.random',
    'planted.ts:3 console',
    'planted.ts:4 setTimeout',
    'planted.ts:10 Date',
  ])
})
