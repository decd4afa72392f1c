import type pg from 'pg'
import { requireTrustworthy } from './membership/trust.ts'

/**
 * Looks at a database as a relay does before it takes part, so that a daemon can refuse at once what only a person
 * can mend.
 *
 * @throws what `requireTrustworthy` throws.
 */
export async function preflight(client: pg.Client, source: string): Promise<void> {
  await requireTrustworthy(client, source)
}
