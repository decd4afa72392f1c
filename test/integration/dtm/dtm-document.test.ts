import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { loadConfig } from '../../../relay/config/load.ts'
import { database } from '../../support/database.ts'
import { spawnProgram } from '../../support/program.ts'
import { repositoryFolder } from '../../support/repository-folder.ts'
import { CLI } from '../../support/run-cli.ts'

const folder = mkdtempSync(join(tmpdir(), 'postcommit-dtm-document-'))
afterAll(() => rmSync(folder, { recursive: true }))

const document = readFileSync(join(repositoryFolder, 'docs/dtm.md'), 'utf8')
const commands = [...document.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block = '']) =>
  block.replaceAll('\\\n', ' ').trim().split('\n'),
)

test('has commands of the shell', () => {
  expect(commands.length).toBeGreaterThan(0)
  for (const command of commands) expect(command).toMatch(/^postcommit run /)
})

test.each(commands)('%s', async (command) => {
  await using db = await database()
  const [, ...args] = command.split(/\s+/)
  await using relay = await spawnProgram(CLI, args, {
    DATABASE_URL: db.url,
    POSTCOMMIT_HTTP_PORT: '0',
    POSTCOMMIT_API_PORT: '0',
    POSTCOMMIT_DTM_PORT: '0',
  })
  const [, url = ''] = await relay.waitForLine(/"url":"(http:[^"]+)".*serving the protocol of DTM/, {
    timeoutMs: 60_000,
  })
  expect(await (await fetch(`${url}/api/dtmsvr/newGid`)).json()).toMatchObject({ dtm_result: 'SUCCESS' })
})

test('its configuration is one', () => {
  const [, text = ''] = /```json\n([\s\S]*?)```/.exec(document) ?? []
  writeFileSync(join(folder, 'postcommit.json'), text)
  const { config } = loadConfig({ cwd: folder, env: { DB_PASSWORD: 'secret' }, flags: {} })
  expect(config.dtm).toMatchObject({ enabled: true, allowExposed: true })
})
