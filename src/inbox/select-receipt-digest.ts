import type { Statement } from '../store/database.ts'

/** What a message stood for when the consumer took effect of it; primary key. */
export function selectReceiptDigest(gid: string, branch: number, consumer: string): Statement {
  return {
    text: `select digest from postcommit.barrier where gid = $1 and branch = $2 and op = 'inbox' and barrier_id = $3`,
    values: [gid, String(branch), consumer],
  }
}
