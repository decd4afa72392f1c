import { fileURLToPath } from 'node:url'

/** The root of the repository. */
export const repositoryFolder = fileURLToPath(new URL('../..', import.meta.url))
