import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { V1_DOCUMENT, v1Routes } from '../../relay/api/v1/routes.ts'
import { repositoryFolder } from '../support/repository-folder.ts'

const PAGE = join(repositoryFolder, 'docs/openapi.json')
const text = `${JSON.stringify(V1_DOCUMENT, null, 2)}\n`

// UPDATE_DOCS=1 npx vitest run test/contract/openapi.test.ts writes the document instead of comparing it;
// `npm run format` formats it.
test('docs/openapi.json is what the relay serves', () => {
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(PAGE, text)
  else expect(JSON.parse(readFileSync(PAGE, 'utf8'))).toEqual(JSON.parse(text))
})

test('every reference in it leads somewhere, and every schema is referred to', () => {
  const named = new Set([...text.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name))
  const { schemas } = V1_DOCUMENT['components'] as { schemas: Record<string, unknown> }
  expect([...named].toSorted()).toEqual(Object.keys(schemas).toSorted())
  expect(text).not.toContain('$defs')
})

test('every route is in it, with an operation of its own', () => {
  const paths = V1_DOCUMENT['paths'] as Record<string, Record<string, { operationId: string }>>
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId }]) => ({
      name: `${method.toUpperCase()} ${path}`,
      operationId,
    })),
  )
  const routes = v1Routes.filter(({ scope }) => scope !== undefined)
  expect(operations.map(({ name }) => name).toSorted()).toEqual(
    routes.map(({ method, path }) => `${method} ${path}`).toSorted(),
  )
  expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length)
})
