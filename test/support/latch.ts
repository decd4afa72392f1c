/** Something that waits until a test lets it go on. */
export interface Latch {
  readonly opened: Promise<void>
  open(): void
}

/** A latch that is shut. */
export function latch(): Latch {
  let open: () => void = () => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open: () => open() }
}
