import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { builtPackages } from './built-packages.ts'
import { repositoryFolder } from './repository-folder.ts'

/** What a command wrote and how it ended. */
export interface CliResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** The program behind the command `postcommit`, relative to the repository's root. */
export const CLI = 'relay/bin/postcommit.js'

/** Runs `postcommit` as a user does, to its end. It sees no variable of this process but PATH, HOME and those given. */
export async function runCli(
  args: readonly string[],
  { env = {}, cwd = repositoryFolder }: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
): Promise<CliResult> {
  await builtPackages()
  const { PATH = '', HOME = '' } = process.env
  return new Promise((done) => {
    const options = { cwd, env: { PATH, HOME, ...env }, timeout: 30_000, maxBuffer: 1 << 24 }
    const child = execFile(process.execPath, [resolve(repositoryFolder, CLI), ...args], options, (_, stdout, stderr) =>
      done({ code: child.exitCode ?? -1, stdout, stderr }),
    )
  })
}
