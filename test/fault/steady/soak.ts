import { growthOf, growthTable } from './figures.ts'
import { runSteady } from './run.ts'

/** `npm run test:soak -- 60`: so many seconds, default 1800. Ends with 1 if anything has grown with the work done. */
const seconds = Number(process.argv[2] ?? 1800)
const { looks, commits, handled, called } = await runSteady({ seconds, commitsPerSecond: 100, log: console.log })
const growth = growthOf(looks)
console.log(`${commits} commits, ${handled} messages handled, ${called} calls in ${seconds} s`)
for (const line of growthTable(growth)) console.log(line)
const grown = growth.filter(({ isSteady }) => !isSteady).map(({ name }) => name)
console.log(grown.length === 0 ? 'steady' : `NOT STEADY: ${grown.join(', ')}`)
process.exitCode = grown.length === 0 ? 0 : 1
