import { z } from 'zod'
import { PROBLEM_CODES } from '../problem.ts'
import type { Route } from '../route.ts'

const ProblemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.enum(PROBLEM_CODES).describe('What programs go by; see docs/errors.md.'),
    detail: z.string(),
    retryable: z.boolean().describe('Whether the same request can succeed later.'),
    requestId: z.string().describe('What the log of the relay calls this request.'),
    gid: z.string().optional(),
    transactionStatus: z.string().optional(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: 'Problem' })

type Json = Readonly<Record<string, unknown>>

/** The OpenAPI 3.1 document of routes. It is made of the schemas that requests are read by, and never written by hand. */
export function openApiDocument(routes: readonly Route[], version: string): Json {
  const schemas: Record<string, unknown> = {}
  const schemaOf = (schema: z.ZodType): Json => collect(schema, schemas)
  const problem = { 'application/problem+json': { schema: schemaOf(ProblemSchema) } }
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of routes) {
    paths[route.path] ??= {}
    Object.assign(paths[route.path] ?? {}, {
      [route.method.toLowerCase()]: operation(route, schemaOf, problem),
    })
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'postcommit relay',
      version,
      summary: 'Two-phase messages and sagas.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    security: [{ apiKey: [] }],
    tags: [...new Set(routes.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: { apiKey: { type: 'http', scheme: 'bearer', description: '`postcommit api-key create`' } },
      schemas: Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1))),
    },
  }
}

function operation(route: Route, schemaOf: (schema: z.ZodType) => Json, problem: Json): Json {
  const { path, method, summary, tag, scope, query, body, isBodyOptional = false, answers } = route
  const names = [...path.matchAll(/\{(\w+)\}/g)].flatMap(([, name]) => name ?? [])
  const inPath = names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } }))
  const inQuery = Object.entries(query?.shape ?? {}).map(([name, schema]) => {
    const { description, ...rest } = schemaOf(schema as z.ZodType)
    return { name, in: 'query', required: false, ...(description !== undefined && { description }), schema: rest }
  })
  const parameters = [...inPath, ...inQuery]
  return {
    operationId: operationId(method, path),
    summary,
    description: scope === 'operation' ? 'Each operation needs its own scope.' : `Scope: \`${scope}\`.`,
    tags: [tag],
    ...(parameters.length > 0 && { parameters }),
    ...(body !== undefined && {
      requestBody: { required: !isBodyOptional, content: { 'application/json': { schema: schemaOf(body) } } },
    }),
    responses: {
      ...Object.fromEntries(
        Object.entries(answers).map(([status, { description, schema }]) => [
          status,
          {
            description,
            ...(schema !== undefined && { content: { 'application/json': { schema: schemaOf(schema) } } }),
          },
        ]),
      ),
      default: { description: 'It was not done; `code` says why.', content: problem },
    },
  }
}

/** `POST /v1/transactions/{gid}:submit` is `postTransactionsSubmit`. */
function operationId(method: string, path: string): string {
  const words = path
    .replace(/^\/v1\//, '')
    .split(/[/:.-]/)
    .map((word) => (/^\{/.test(word) ? 'By' : `${word.charAt(0).toUpperCase()}${word.slice(1)}`))
  return method.toLowerCase() + words.join('')
}

/** A schema as JSON Schema; those that have a name are collected, and referred to. */
function collect(schema: z.ZodType, schemas: Record<string, unknown>): Json {
  const { $schema: _, $defs, ...own } = z.toJSONSchema(schema, { io: 'output', reused: 'inline' })
  const named = (json: unknown): unknown =>
    JSON.parse(JSON.stringify(json).replaceAll('"#/$defs/', '"#/components/schemas/'))
  for (const [name, definition] of Object.entries($defs ?? {})) schemas[name] = withoutId(named(definition) as Json)
  if (typeof own.id !== 'string') return named(own) as Json
  schemas[own.id] = withoutId(named(own) as Json)
  return { $ref: `#/components/schemas/${own.id}` }
}

function withoutId({ id: _, ...schema }: Json): Json {
  return schema
}
