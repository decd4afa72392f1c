/** Private servers for development and tests: real PostgreSQL and real nats-server, started and ended by this process. */
export { freePort } from './free-port.ts'
export { type NatsOptions, type NatsServer, startNats } from './nats.ts'
export { findNatsServer, type NatsBinary, natsInstallCommand } from './nats-binary.ts'
export { type PostgresOptions, type PostgresServer, startPostgres } from './postgres.ts'
export type { PostgresSource } from './postgres-binaries.ts'
export type { ServerLifecycle } from './server-lifecycle.ts'
