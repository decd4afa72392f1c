import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '@postcommit/relay/dev'
import { afterAll, expect, test } from 'vitest'
import { RelayConfig } from '../../../relay/config/schema.ts'
import { testApi } from '../../support/api.ts'
import { database } from '../../support/database.ts'
import { httpService } from '../../support/http-service.ts'
import { spawnProgram } from '../../support/program.ts'
import { repositoryFolder } from '../../support/repository-folder.ts'

/** Below node_modules, so that it finds the packages as a service does. */
const folder = join(repositoryFolder, 'node_modules', `.cache/two-phase-document-${process.pid}`)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const document = readFileSync(join(repositoryFolder, 'docs/two-phase.md'), 'utf8')

test('the program in docs/two-phase.md delivers by a relay that cannot read its database', async () => {
  const [, source = ''] = /```ts\n([\s\S]*?)```/.exec(document) ?? []
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'program.mts'), source)
  await using ofService = await database()
  await using ofRelay = await database()
  await ofService.pool.query('create table orders (sku text)')
  await using stock = await httpService()
  const port = await freePort()
  await using api = await testApi(ofRelay.url, {
    destinations: { stock: { url: stock.url }, orders: { url: `http://127.0.0.1:${port}` } },
  })
  await using program = await spawnProgram(join(folder, 'program.mts'), [], {
    DATABASE_URL: ofService.url,
    RELAY_URL: api.url,
    RELAY_API_KEY: await api.key({ scopes: ['prepare', 'submit', 'abort', 'read'] }),
    ANSWERS_ON: String(port),
  })
  await program.waitForLine(/^done$/, { timeoutMs: 30_000 })
  expect(await program.exit).toEqual({ code: 0, signal: null })
  expect(stock.calls).toMatchObject([{ path: '/deduct', body: Buffer.from('{"sku":"lamp"}') }])
})

test('its configuration is one', () => {
  const [, text = ''] = /```json\n([\s\S]*?)```/.exec(document) ?? []
  expect(RelayConfig.safeParse(JSON.parse(text))).toMatchObject({ success: true })
})
