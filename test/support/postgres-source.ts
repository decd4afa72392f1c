import type { PostgresSource } from '@postcommit/relay/dev'

/** `POSTCOMMIT_TEST_POSTGRES=system` or `embedded` runs the tests on that PostgreSQL; default is what is installed. */
export function postgresSource(): PostgresSource {
  const source = process.env['POSTCOMMIT_TEST_POSTGRES'] ?? 'auto'
  if (source === 'system' || source === 'embedded' || source === 'auto') return source
  throw new Error(`POSTCOMMIT_TEST_POSTGRES is ${source}; use system, embedded or auto`)
}
