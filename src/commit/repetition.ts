import { PostcommitError } from '../protocol/errors.ts'
import type { Gid } from '../protocol/gid.ts'
import type { Run } from '../store/database.ts'
import { selectGidDigest } from '../store/select-gid-digest.ts'
import type { Duplicated } from './committed.ts'

/** Leaves a transaction whose gid was committed before: everything it did is rolled back. */
export class Repetition extends Error {
  readonly #same: boolean

  constructor(same: boolean) {
    super('the gid was committed before')
    this.#same = same
  }

  answer(gid: Gid): Duplicated {
    if (this.#same) return { gid, duplicated: true }
    throw new PostcommitError('POSTCOMMIT_GID_CONFLICT', { gid }, { gid })
  }
}

/**
 * The work of a gid that is committed already runs once more, in a transaction that will be rolled back, because
 * only its messages tell a repetition from a conflict. It may well fail (its rows are there already).
 */
export async function repeatWork<T>(gid: Gid, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw new PostcommitError('POSTCOMMIT_GID_ALREADY_COMMITTED', { gid }, { gid, cause })
  }
}

/** Whether a gid that was committed before stood for the same messages. */
export async function isSameAsBefore(run: Run, gid: Gid, digest: string): Promise<boolean> {
  const [before] = await run(selectGidDigest(gid))
  return before?.['digest'] === digest
}
