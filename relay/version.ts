import { readFileSync } from 'node:fs'

const { version } = JSON.parse(
  readFileSync(new URL('./package.json', import.meta.resolve('@postcommit/relay/package.json')), 'utf8'),
) as { version: string }

/** The version of this package, as the table of relays shows it. */
export const RELAY_VERSION = version
