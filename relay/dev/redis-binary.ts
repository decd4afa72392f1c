import { PostcommitError } from 'postcommit/protocol'
import { findProgram, installCommand, type ServerBinary, type ServerProgram, versionOf } from './find-program.ts'

const REDIS: ServerProgram = {
  name: 'redis-server',
  version: /Redis server v=(\S+)/,
  packages: { debian: 'redis-server', homebrew: 'redis' },
  site: 'https://redis.io/docs/latest/operate/oss_and_stack/install/',
}

/** Finds redis-server on PATH or where package managers put it. */
export function findRedisServer(): ServerBinary | undefined {
  return findProgram(REDIS)
}

/** What to type on this machine to get redis-server. */
export function redisInstallCommand(): string {
  return installCommand(REDIS)
}

/**
 * The program at `path`, or the one that is found.
 * @throws PostcommitError POSTCOMMIT_SERVER_NOT_FOUND.
 */
export function redisFor(path: string | undefined): ServerBinary {
  const version = path === undefined ? undefined : versionOf(REDIS, path)
  const found = path === undefined ? findRedisServer() : version === undefined ? undefined : { path, version }
  if (found !== undefined) return found
  throw new PostcommitError('POSTCOMMIT_SERVER_NOT_FOUND', {
    server: 'redis-server',
    reason: path === undefined ? 'it is not on PATH' : `${path} is not one that runs here`,
    install: `To install it: ${redisInstallCommand()}`,
  })
}
