import ts from 'typescript'

const IMPURE_GLOBALS = new Set([
  'Date',
  'performance',
  'process',
  'console',
  'fetch',
  'crypto',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
])

/** Functions with more lines than that. A `describe` is a heading over tests, not a function to be read at once. */
export function longFunctions(file: ts.SourceFile, linesMax: number): string[] {
  return find(file, (node) => {
    if (!ts.isFunctionLike(node) || isDescribe(node.parent)) return undefined
    const lines = lineOf(file, node.end) - lineOf(file, node.getStart(file)) + 1
    return lines > linesMax ? `${lines} lines` : undefined
  })
}

/** Where a file reads variables or arguments of the process, or ends it. */
export function processUses(file: ts.SourceFile): string[] {
  return find(file, (node) => {
    if (ts.isImportDeclaration(node) && /^['"](node:)?process['"]$/.test(node.moduleSpecifier.getText(file))) {
      return node.getText(file)
    }
    if (!ts.isPropertyAccessExpression(node) || node.expression.getText(file) !== 'process') return undefined
    return /^(env|argv|exit|exitCode)$/.test(node.name.text) ? node.getText(file) : undefined
  })
}

/** Where a file takes anything from outside its arguments. */
export function clockOrWorldUses(file: ts.SourceFile): string[] {
  return find(file, (node) => {
    if (ts.isPropertyAccessExpression(node) && node.getText(file) === 'Math.random') return 'Math.random'
    if (!ts.isIdentifier(node) || !IMPURE_GLOBALS.has(node.text)) return undefined
    const isName = ts.isPropertyAccessExpression(node.parent) && node.parent.name === node
    return isName || ts.isTypeNode(node.parent) || isCalendar(node) ? undefined : node.text
  })
}

/** Reading a date that was given is arithmetic; only the present comes from outside. */
function isCalendar({ text, parent }: ts.Identifier): boolean {
  if (text !== 'Date') return false
  if (ts.isNewExpression(parent)) return (parent.arguments?.length ?? 0) > 0
  return ts.isPropertyAccessExpression(parent) && /^(parse|UTC)$/.test(parent.name.text)
}

function find(file: ts.SourceFile, judge: (node: ts.Node) => string | undefined): string[] {
  const found: string[] = []
  const visit = (node: ts.Node): void => {
    const verdict = judge(node)
    if (verdict !== undefined) found.push(`${file.fileName}:${lineOf(file, node.getStart(file)) + 1} ${verdict}`)
    ts.forEachChild(node, visit)
  }
  visit(file)
  return found
}

function lineOf(file: ts.SourceFile, position: number): number {
  return file.getLineAndCharacterOfPosition(position).line
}

function isDescribe(node: ts.Node): boolean {
  return ts.isCallExpression(node) && /^describe\b/.test(node.expression.getText())
}
