import { runCaches } from './run.ts'

/** `npm run test:cache-soak -- 600 7`: so many seconds, default 60, and that seed. Ends with 1 if anything old was read. */
const seconds = Number(process.argv[2] ?? 60)
const seed = Number(process.argv[3] ?? Math.floor(Math.random() * 1e6))
console.log(`${seconds} s, seed ${seed}`)
const { reads, writes, applied, old, readsFailed, kills, equalAfterMs, hitRate } = await runCaches({
  seconds,
  readers: 32,
  seed,
  log: (line) => console.log(line),
})
const killed = Object.entries(kills).map(([name, count]) => `${name} ${count}`)
console.log(
  `${reads} reads (${(hitRate * 100).toFixed(1)} % from a cache, ${readsFailed} failed), ${writes} writes, ${applied} applied at once`,
)
console.log(`killed: ${killed.join(', ')}`)
console.log(`reads older than a finished invalidation: ${old.length}`)
for (const line of old.slice(0, 20)) console.log(`  ${line}`)
console.log(`every cache equal to the database ${Math.round(equalAfterMs)} ms after the last change`)
if (old.length > 0 || readsFailed > 0 || equalAfterMs > 10_000) process.exitCode = 1
