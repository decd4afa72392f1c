import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const SOURCES = dirname(fileURLToPath(import.meta.url))

/**
 * Translates the programs of a folder, by default those of the shop, to JavaScript where that is out of date, and
 * returns where they are. A program that is translated as it is loaded takes a second to start, and these are killed
 * and started again all the time.
 */
export async function compilePrograms(sources: string = SOURCES): Promise<string> {
  const output = join(sources, 'dist')
  const outputOf = (file: string) => join(output, file.replace(/\.ts$/, '.js'))
  mkdirSync(output, { recursive: true })
  const isProgram = (file: string) => file.endsWith('.ts')
  const outdated = readdirSync(sources).filter(
    (file) => isProgram(file) && isOlder(outputOf(file), join(sources, file)),
  )
  if (outdated.length === 0) return output
  const { default: typescript } = await import('typescript')
  const { ModuleKind, ScriptTarget, transpileModule } = typescript
  const compilerOptions = {
    module: ModuleKind.ESNext,
    target: ScriptTarget.ES2023,
    rewriteRelativeImportExtensions: true,
  }
  for (const file of outdated) {
    const { outputText } = transpileModule(readFileSync(join(sources, file), 'utf8'), { compilerOptions })
    // Whole or not at all: somebody else may be starting the same program.
    const unfinished = `${outputOf(file)}.${process.pid}`
    writeFileSync(unfinished, outputText)
    renameSync(unfinished, outputOf(file))
  }
  return output
}

function isOlder(output: string, source: string): boolean {
  const written = statSync(output, { throwIfNoEntry: false })
  return written === undefined || written.mtimeMs <= statSync(source).mtimeMs
}
