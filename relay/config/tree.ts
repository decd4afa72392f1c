/** Parsed JSON before anything is known about its shape. */
export type Tree = Record<string, unknown>

export function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The value at a path, or undefined. */
export function valueAt(tree: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => {
    if (Array.isArray(value) && typeof key === 'number') return value[key]
    return isTree(value) && typeof key === 'string' && Object.hasOwn(value, key) ? value[key] : undefined
  }, tree)
}

/** The tree with a value put at a path; what stood in the way is replaced, what is beside it stays. */
export function withValueAt(tree: unknown, path: readonly string[], value: unknown): unknown {
  const [key, ...rest] = path
  if (key === undefined) return value
  const base = isTree(tree) ? tree : {}
  return { ...base, [key]: withValueAt(base[key], rest, value) }
}

/** The tree without what is at a path; an element of a list takes the whole list with it. */
export function withoutPath(tree: Tree, path: readonly PropertyKey[]): Tree {
  const end = path.findIndex((key) => typeof key !== 'string')
  const [key, ...rest] = path.slice(0, end === -1 ? path.length : end)
  if (typeof key !== 'string') return {}
  const child = tree[key]
  if (rest.length > 0 && isTree(child)) return { ...tree, [key]: withoutPath(child, rest) }
  return Object.fromEntries(Object.entries(tree).filter(([name]) => name !== key))
}

/** Every string of the tree replaced by what `replace` makes of it. */
export function mapStrings(
  value: unknown,
  replace: (text: string, path: readonly PropertyKey[]) => string,
  path: readonly PropertyKey[] = [],
): unknown {
  if (typeof value === 'string') return replace(value, path)
  if (Array.isArray(value)) return value.map((item, index) => mapStrings(item, replace, [...path, index]))
  if (!isTree(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, mapStrings(item, replace, [...path, key])]),
  )
}

/** `nats.streams[0].name` */
export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, key) => (typeof key === 'number' ? `${text}[${key}]` : `${text}${text === '' ? '' : '.'}${String(key)}`),
    '',
  )
}
