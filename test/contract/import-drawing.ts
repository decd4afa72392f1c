import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { repositoryFolder } from '../support/repository-folder.ts'
import { isTest } from './repository-files.ts'

/** The lines between which ARCHITECTURE.md has the drawing. */
const BEGIN = '<!-- Written by `npm run draw`. -->\n```\n'
const END = '```\n<!-- End of the drawing. -->'

const COLUMNS = 120

/** What dependency-cruiser says of one file, as far as it is drawn. */
export interface CruisedModule {
  readonly source: string
  readonly dependencies: readonly { readonly resolved: string }[]
}

/** The document with the drawing of `modules` in the place of the drawing that it has. */
export function withDrawing(document: string, modules: readonly CruisedModule[]): string {
  const begin = document.indexOf(BEGIN)
  const end = document.indexOf(END)
  if (begin < 0 || end < begin) throw new Error('ARCHITECTURE.md has no place for the drawing of imports')
  return document.slice(0, begin) + BEGIN + drawingOf(modules) + document.slice(end)
}

/** The files of both packages and what they import. Needs a build: the relay imports the SDK from dist/. */
export function cruise(): CruisedModule[] {
  const command = join(repositoryFolder, 'node_modules', '.bin', 'depcruise')
  const asked = ['src', 'relay', '--output-type', 'json', '--no-progress']
  const answer = execFileSync(command, asked, { cwd: repositoryFolder, maxBuffer: 256 << 20 })
  return (JSON.parse(answer.toString()) as { modules: CruisedModule[] }).modules
}

/**
 * One line a folder: its files, and the folders it imports with the number of imports. A folder stands above those it
 * imports, because it reaches more folders than they do. Files beside the folders put a package together and are also
 * shared by it; so arrows to them do not count here.
 */
export function drawingOf(modules: readonly CruisedModule[]): string {
  const files = new Map<string, number>()
  const arrows = new Map<string, Map<string, number>>()
  for (const { source, dependencies } of modules) {
    const from = folderOf(source)
    if (from === undefined || isTest(source)) continue
    files.set(from, (files.get(from) ?? 0) + 1)
    const out = arrows.get(from) ?? new Map<string, number>()
    arrows.set(from, out)
    for (const { resolved } of dependencies) {
      const to = folderOf(resolved)
      if (to !== undefined && to !== from) out.set(to, (out.get(to) ?? 0) + 1)
    }
  }
  const inOrder = [...files.keys()].sort((a, b) => reach(b, arrows) - reach(a, arrows) || (a < b ? -1 : 1))
  const width = Math.max(...inOrder.map((folder) => folder.length))
  return inOrder.map((folder) => line(folder, files.get(folder) ?? 0, arrows.get(folder), width)).join('')
}

function line(folder: string, files: number, out: ReadonlyMap<string, number> | undefined, width: number): string {
  const head = `${folder.padEnd(width)} ${String(files).padStart(3)} ${files === 1 ? 'file ' : 'files'}`
  const targets = [...(out ?? [])].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
  if (targets.length === 0) return `${head.trimEnd()}\n`
  let text = ''
  let current = `${head} ->`
  for (const [index, [to, count]] of targets.entries()) {
    const word = ` ${to} ${count}${index < targets.length - 1 ? ',' : ''}`
    if (current.length + word.length > COLUMNS) {
      text += `${current}\n`
      current = ' '.repeat(head.length + 3)
    }
    current += word
  }
  return `${text}${current}\n`
}

/** `src/store`, or `src/*.ts` for a file beside the folders; undefined for what belongs to neither package. */
function folderOf(path: string): string | undefined {
  const inSource = path.replace(/^dist\//, 'src/').replace(/^relay\/dist\//, 'relay/')
  const [root, folder, file] = inSource.split('/')
  if ((root !== 'src' && root !== 'relay') || folder === undefined) return undefined
  return file === undefined ? `${root}/*.ts` : `${root}/${folder}`
}

/** How many folders can be reached from this one along the arrows, without those to files beside the folders. */
function reach(folder: string, arrows: ReadonlyMap<string, ReadonlyMap<string, number>>): number {
  const seen = new Set([folder])
  for (const at of seen) {
    for (const to of arrows.get(at)?.keys() ?? []) if (!to.endsWith('/*.ts')) seen.add(to)
  }
  return seen.size
}
