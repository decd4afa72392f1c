import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { PlantedFault } from './faults.ts'

/** A source with a fault in it. */
export interface Planted {
  /** Of the source, within the repository. */
  readonly path: string
  readonly text: string
}

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

const FOLDERS = ['relay', 'src', 'test/simulation']

/** What a fault can be put into: what ships, and what the simulation has at the other end of its ports. */
const sources = new Map(
  FOLDERS.flatMap((folder) => filesIn(folder)).map((path) => [path, readFileSync(join(ROOT, path), 'utf8')]),
)

/** Puts a fault into the one source that has its text; undefined: no source has it, or it is there more than once. */
export function plant({ of, by }: PlantedFault): Planted | undefined {
  const [found, ...others] = [...sources].filter(([, text]) => text.includes(of))
  if (found === undefined || others.length > 0) return undefined
  const [path, text] = found
  return text.split(of).length === 2 ? { path, text: text.replace(of, () => by) } : undefined
}

function filesIn(folder: string): string[] {
  const all = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
  return all.filter(isSource).map((path) => `${folder}/${path}`)
}

function isSource(path: string): boolean {
  return path.endsWith('.ts') && !/\.(test|d)\.ts$/.test(path) && !/^(dist|planted)\//.test(path)
}
