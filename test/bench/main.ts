/**
 * `npm run bench`: postcommit, the limits of the machine and what a user would take instead, on the same servers, in
 * the same run, in turns.
 */
import { runBench } from './bench.ts'
import { cases } from './cases.ts'

process.exit(await runBench(process.argv.slice(2), cases))
