// Module hooks of the simulation's programs. The names of the package lead to its sources, so that no build is needed;
// and one source may be replaced by a copy with a planted fault.
import { readFileSync } from 'node:fs'

let planted

/** @param {{ root: string, planted?: { url: string, path: string } }} given */
export function initialize(given) {
  root = given.root
  planted = given.planted
}

let root = ''

export function resolve(specifier, context, nextResolve) {
  const name = /^postcommit(?:\/([a-z-]+))?$/.exec(specifier)
  if (name === null) return nextResolve(specifier, context)
  return nextResolve(new URL(`src/${name[1] === undefined ? '' : `${name[1]}/`}index.ts`, root).href, context)
}

export function load(url, context, nextLoad) {
  if (planted === undefined || url.split('?')[0] !== planted.url) return nextLoad(url, context)
  return { format: 'module', source: readFileSync(planted.path, 'utf8'), shortCircuit: true }
}
