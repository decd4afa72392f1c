import { randomUUID } from 'node:crypto'
import { parseGid } from 'postcommit/protocol'
import { expect, test } from 'vitest'
import { resolveCommit } from '../../../src/commit/commit-status.ts'
import { openDatabase } from '../../../src/store/open-database.ts'
import { database } from '../../support/database.ts'

test.each([
  ['commit', true],
  ['rollback', false],
])('an xid that committed and a row of the gid that says %s: committed is %s', async (reason, committed) => {
  await using db = await database()
  const gid = parseGid(randomUUID())
  // Of another transaction: the server has crashed, and given the xid out once more.
  const { rows } = await db.pool.query<{ xid: string }>('select pg_current_xact_id()::text as xid')
  await db.pool.query(`insert into postcommit.barrier (gid, branch, op, reason) values ($1, '', 'commit', $2)`, [
    gid,
    reason,
  ])
  const { run } = openDatabase(db.pool, 'the test')
  const commit = { gid, xid: rows[0]?.xid, leavesTrace: true }
  expect(await resolveCommit(run, commit, 1000, new Error('no answer'))).toBe(committed)
})
