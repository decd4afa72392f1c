import { fileURLToPath } from 'node:url'

const packageFile = import.meta.resolve('@postcommit/relay/package.json')

/** The program that users start as `npx postcommit`. */
export const POSTCOMMIT = fileURLToPath(new URL('./bin/postcommit.js', packageFile))
