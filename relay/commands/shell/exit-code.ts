import { PostcommitError } from 'postcommit/protocol'

/** What a command ends with; `docs/cli.md` lists them. A signal that ends it at once adds 128 to its number. */
export const ExitCode = {
  Ok: 0,
  /** It ran, and the answer is no: not found, refused, unhealthy. */
  Failed: 1,
  /** Wrong command line or configuration: nothing was done. */
  Usage: 2,
  /** A server could not be reached. */
  Unreachable: 3,
} as const

/** A code of {@link ExitCode}. */
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

/** The code for an error that ended a command. */
export function exitCodeOf(error: unknown): ExitCode {
  if (!(error instanceof PostcommitError)) return ExitCode.Failed
  switch (error.code) {
    case 'POSTCOMMIT_INVALID_CONFIG':
    case 'POSTCOMMIT_INVALID_OPTIONS':
    case 'POSTCOMMIT_INVALID_SECRET':
    case 'POSTCOMMIT_INVALID_GID':
    case 'POSTCOMMIT_API_EXPOSED':
      return ExitCode.Usage
    case 'POSTCOMMIT_DATABASE_UNREACHABLE':
    case 'POSTCOMMIT_CACHE_UNREACHABLE':
      return ExitCode.Unreachable
    default:
      return ExitCode.Failed
  }
}
