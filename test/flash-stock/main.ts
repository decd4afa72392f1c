/**
 * `npm run test:flash-stock`: many buyers at once and a hundred goods, sold in several ways, beside what the system that
 * it is compared with has published. Private servers on 127.0.0.1; two minutes or so.
 *
 *   --requests <n>   how many buyers, default 5000
 *   --kills <n>      how often the run with the killed relay is made, default 3
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startPostgres, startRedis } from '@postcommit/relay/dev'
import { postgresSource } from '../support/postgres-source.ts'
import * as scenarios from './scenarios.ts'
import { type Line, PUBLISHED, tableOf } from './table.ts'

const { values } = parseArgs({ options: { requests: { type: 'string' }, kills: { type: 'string' } } })
const requests = Number(values.requests ?? 5000)
const kills = Number(values.kills ?? 3)
const STOCK = 100
const PUBLISHED_OVER_MS = 560

const folder = await mkdtemp(join(tmpdir(), 'postcommit-flash-stock-'))
try {
  const postgres = await startPostgres({
    dataDir: join(folder, 'postgres'),
    binaries: postgresSource(),
    settings: { max_connections: '200' },
  })
  const redis = await startRedis({ dataDir: join(folder, 'redis') })
  try {
    process.exitCode = (await compare(postgres.url, redis.url)) ? 0 : 1
  } finally {
    await Promise.all([postgres.stop(), redis.stop()])
  }
} finally {
  await rm(folder, { recursive: true, force: true })
}

/** Whether ours sold all, and every run of it fits together, as those of the controls do not. */
async function compare(postgresUrl: string, redisUrl: string): Promise<boolean> {
  const setting = { folder, postgresUrl, requests }
  const controls = [
    await told(scenarios.locks(setting)),
    await told(scenarios.locks({ ...setting, requests: 1000 }, PUBLISHED_OVER_MS)),
    await told(scenarios.sagasTakingBackTheLastOrder({ ...setting, requests: 1000 })),
  ]
  const ours = [
    await told(scenarios.sagas({ ...setting, requests: 1000 })),
    await told(scenarios.sagas(setting)),
    await told(scenarios.sagasOverLossyWire({ ...setting, requests: 1000 })),
  ]
  for (let kill = 0; kill < kills; kill += 1) {
    ours.push(await told(scenarios.sagasWithKilledRelay({ ...setting, requests: 1000 })))
  }
  ours.push(await told(scenarios.admissions({ ...setting, redisUrl })))
  console.log(`\n${tableOf([...PUBLISHED, ...controls, ...ours])}\n`)
  console.log(`theirs: 4 of ${STOCK}, ours: ${Math.min(...ours.map(({ sold }) => sold))} of ${STOCK}`)
  const isSound = ours.every(({ sold, left, wrong }) => sold === STOCK && left === 0 && wrong.length === 0)
  // A comparison that finds nothing wrong anywhere has not looked.
  const seesFaults = controls.at(-1)?.wrong.length !== 0
  console.log(isSound && seesFaults ? 'sound' : 'NOT SOUND')
  return isSound && seesFaults
}

/** A run can take half a minute: it is heard of when it is over. */
async function told(run: Promise<Line>): Promise<Line> {
  const line = await run
  console.log(`${line.run}: ${line.sold} sold to ${line.requests} in ${line.seconds.toFixed(1)} s`)
  return line
}
