import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const SOURCES = dirname(fileURLToPath(import.meta.url))
const OUTPUT = join(SOURCES, 'dist')

/**
 * Translates the programs of the shop to JavaScript where that is out of date, and returns the folder. A program that
 * is translated as it is loaded takes a second to start, and these are killed and started again all the time.
 */
export async function compilePrograms(): Promise<string> {
  mkdirSync(OUTPUT, { recursive: true })
  const outdated = readdirSync(SOURCES).filter((file) => file.endsWith('.ts') && isOutdated(file))
  if (outdated.length === 0) return OUTPUT
  const { default: typescript } = await import('typescript')
  const { ModuleKind, ScriptTarget, transpileModule } = typescript
  const compilerOptions = {
    module: ModuleKind.ESNext,
    target: ScriptTarget.ES2023,
    rewriteRelativeImportExtensions: true,
  }
  for (const file of outdated) {
    const { outputText } = transpileModule(readFileSync(join(SOURCES, file), 'utf8'), { compilerOptions })
    // Whole or not at all: somebody else may be starting the same program.
    const unfinished = `${outputOf(file)}.${process.pid}`
    writeFileSync(unfinished, outputText)
    renameSync(unfinished, outputOf(file))
  }
  return OUTPUT
}

function isOutdated(file: string): boolean {
  const written = statSync(outputOf(file), { throwIfNoEntry: false })
  return written === undefined || written.mtimeMs <= statSync(join(SOURCES, file)).mtimeMs
}

function outputOf(file: string): string {
  return join(OUTPUT, file.replace(/\.ts$/, '.js'))
}
