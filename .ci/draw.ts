// Writes the drawing of folders and imports in ARCHITECTURE.md; `npm run draw`. A test compares the two.
import { readFileSync, writeFileSync } from 'node:fs'
import { cruise, withDrawing } from '../test/contract/import-drawing.ts'

const document = new URL('../ARCHITECTURE.md', import.meta.url)
writeFileSync(document, withDrawing(readFileSync(document, 'utf8'), cruise()))
