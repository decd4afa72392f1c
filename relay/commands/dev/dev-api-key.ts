import { timingSafeEqual } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type pg from 'pg'
import { drawApiKey, parseApiKey, SCOPES } from '../../api/api-key.ts'
import { insertApiKey } from '../../store/api-key/insert-api-key.ts'
import { selectApiKey } from '../../store/api-key/select-api-key.ts'
import { DEV_FOLDER } from './facts.ts'

/**
 * The key of the API of `postcommit dev`: the one of the last start as long as it opens, so that it can be copied into
 * another tool once; else a new one. Only this user can read where it is kept.
 */
export async function devApiKey(pool: pg.Pool, cwd: string): Promise<string> {
  const path = join(cwd, DEV_FOLDER, 'api-key')
  const kept = existsSync(path) ? readFileSync(path, 'utf8').trim() : ''
  if (await opens(pool, kept)) return kept
  const { id, digest, text } = drawApiKey()
  await insertApiKey(pool, { id, digest, tenant: '', scopes: SCOPES, label: 'postcommit dev' })
  // Removed first, because `mode` counts only for a file that is made.
  rmSync(path, { force: true })
  writeFileSync(path, `${text}\n`, { mode: 0o600 })
  return text
}

async function opens(pool: pg.Pool, text: string): Promise<boolean> {
  const presented = parseApiKey(text)
  const key = presented && (await selectApiKey(pool, presented.id))
  return presented !== undefined && key !== undefined && timingSafeEqual(key.digest, presented.digest)
}
