import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { repositoryFolder } from '../support/repository-folder.ts'
import { cruise, drawingOf, withDrawing } from './import-drawing.ts'

test('the drawing of imports in ARCHITECTURE.md is up to date; if not, run `npm run draw`', () => {
  const document = readFileSync(join(repositoryFolder, 'ARCHITECTURE.md'), 'utf8')
  expect(withDrawing(document, cruise())).toBe(document)
}, 180_000)

test('draws a folder above those that it imports, with files and imports counted', () => {
  const drawing = drawingOf([
    { source: 'src/protocol/gid.ts', dependencies: [] },
    { source: 'src/protocol/gid.test.ts', dependencies: [{ resolved: 'src/outbox.ts' }] },
    { source: 'src/outbox.ts', dependencies: [{ resolved: 'src/protocol/gid.ts' }, { resolved: 'node:crypto' }] },
    { source: 'relay/engine/retry.ts', dependencies: [{ resolved: 'dist/protocol/index.d.ts' }] },
    { source: 'relay/store/a.ts', dependencies: [{ resolved: 'relay/engine/retry.ts' }] },
    { source: 'relay/store/b.ts', dependencies: [{ resolved: 'relay/engine/retry.ts' }] },
  ])
  expect(drawing).toBe(
    [
      'relay/store    2 files -> relay/engine 2',
      'relay/engine   1 file  -> src/protocol 1',
      'src/*.ts       1 file  -> src/protocol 1',
      'src/protocol   1 file',
      '',
    ].join('\n'),
  )
})
