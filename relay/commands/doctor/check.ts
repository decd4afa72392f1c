/** One thing that `doctor` looked at. */
export interface Check {
  /** `main`, `nats`, `destination stock` */
  readonly about: string
  readonly name: string
  /** `warn`: it works, and somebody should know. `fail`: a relay refuses to run so, or messages do not move. */
  readonly status: 'ok' | 'warn' | 'fail'
  readonly detail: string
  /** What to do; only where something is to be done. */
  readonly action?: string
}

/** Checks about one thing. */
export function checksAbout(about: string) {
  return {
    ok: (name: string, detail: string): Check => ({ about, name, status: 'ok', detail }),
    warn: (name: string, detail: string, action: string): Check => ({ about, name, status: 'warn', detail, action }),
    fail: (name: string, detail: string, action: string): Check => ({ about, name, status: 'fail', detail, action }),
  }
}
