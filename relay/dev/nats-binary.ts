import { findProgram, installCommand, type ServerBinary, type ServerProgram, versionOf } from './find-program.ts'

/** A nats-server that runs on this machine. */
export type NatsBinary = ServerBinary

const NATS: ServerProgram = {
  name: 'nats-server',
  version: /nats-server: v(\S+)/,
  packages: { debian: 'nats-server', homebrew: 'nats-server' },
  site: 'https://nats.io/download/',
}

/** Finds nats-server on PATH or where package managers put it. */
export function findNatsServer(): NatsBinary | undefined {
  return findProgram(NATS)
}

/** Asks the program for its version; undefined if it is not a nats-server that runs here. */
export function natsVersion(path: string): string | undefined {
  return versionOf(NATS, path)
}

/** What to type on this machine to get nats-server. */
export function natsInstallCommand(): string {
  return installCommand(NATS)
}
