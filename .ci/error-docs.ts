// Writes docs/errors.md from the table of errors; `npm run docs`. A test compares the two.
import { writeFileSync } from 'node:fs'
import { errorDocs } from '../test/contract/error-docs.ts'

writeFileSync(new URL('../docs/errors.md', import.meta.url), errorDocs())
