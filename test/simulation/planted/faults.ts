/** A fault that is put into a source for one run, and the promise that it breaks. */
export interface PlantedFault {
  readonly name: string
  /** Where it is: in code that ships, or at the other end of a port, in what a service or a statement does. */
  readonly part:
    | 'decisions'
    | 'loop'
    | 'clock'
    | 'gate'
    | 'hand-over'
    | 'dispatcher'
    | 'back-query'
    | 'service'
    | 'statement'
  readonly histories: 'transactions' | 'messages'
  /** What it is found by. Most break more than one. */
  readonly breaks: string
  /** Text that is there once in all sources. */
  readonly of: string
  readonly by: string
  /** Among the few that are looked for with every run of the tests. */
  readonly isQuick?: boolean
}

export const PLANTED: readonly PlantedFault[] = [
  {
    name: 'a call that was begun counts as done',
    part: 'decisions',
    histories: 'transactions',
    breaks: 'I1',
    of: `  const actions = ops.filter(({ op }) => op === 'action')
  if (actions.every(({ status }) => status === 'succeed')) return`,
    by: `  const actions = ops.filter(({ op }) => op === 'action')
  if (actions.every(({ status, calls }) => status === 'succeed' || calls > 0)) return`,
  },
  {
    name: 'a confirmation that was refused is done with',
    part: 'decisions',
    histories: 'transactions',
    breaks: 'I2',
    of: `const unfinished = ops.filter(({ op, status }) => rule.calls.includes(op) && status !== 'succeed')`,
    by: `const unfinished = ops.filter(({ op, status, attempts }) => rule.calls.includes(op) && status !== 'succeed' && attempts === 0)`,
  },
  {
    name: 'an outcome that is not known counts as not done',
    part: 'decisions',
    histories: 'transactions',
    breaks: 'I3',
    of: `  if (!mayHaveRun(action)) return undefined`,
    by: `  if (!mayHaveRun(action) || action.status === 'prepared') return undefined`,
  },
  {
    name: 'a saga is given up at its deadline when its pivot may have succeeded',
    part: 'decisions',
    histories: 'transactions',
    breaks: 'I2',
    of: `    if (op.recovery === 'pivot') return true`,
    by: `    if (op.recovery === 'pivot') return false`,
  },
  {
    name: 'branches are compensated in any order',
    isQuick: true,
    part: 'decisions',
    histories: 'transactions',
    breaks: 'I3',
    of: `  const free = left.filter(({ span }) => !isHeld(span))`,
    by: `  const free = left.filter(({ span }) => !isHeld(span) || true)`,
  },
  {
    name: 'a branch that failed is not compensated: a call that is late finds the door open',
    part: 'decisions',
    histories: 'transactions',
    breaks: 'I3',
    of: `  const failedForSure = action.status === 'failed' && action.calls <= 1
  return failedForSure && !rule.compensateFailed ?`,
    by: `  const failedForSure = action.status === 'failed'
  return failedForSure ?`,
  },
  {
    name: 'a transaction has failed while compensations are still under way',
    part: 'decisions',
    histories: 'transactions',
    breaks: 'I8',
    of: `isDone: left.length === 0 }`,
    by: `isDone: left.every(({ op }) => op.calls > 0) }`,
  },
  {
    name: 'a transaction has succeeded as soon as one of its branches has',
    part: 'decisions',
    histories: 'transactions',
    breaks: 'I4',
    of: `status === 'succeed')) return moved({ from: 'submitted', to: 'succeed' }, nowMs)
  return waiting(transaction, forward(`,
    by: `status === 'succeed') || actions.some(({ status }) => status === 'succeed')) return moved({ from: 'submitted', to: 'succeed' }, nowMs)
  return waiting(transaction, forward(`,
  },
  {
    name: 'an answer of 200 without a verdict counts as committed',
    part: 'decisions',
    histories: 'transactions',
    breaks: 'I5',
    of: `  return verdict ?? 'unknown'`,
    by: `  return verdict ?? (status === 200 ? 'committed' : 'unknown')`,
  },
  {
    name: 'a sender that cannot be reached has rolled back',
    part: 'decisions',
    histories: 'transactions',
    breaks: 'I5',
    of: `  if (outcome !== 'unreachable') {
    const decision = decide({ kind: 'verdict', verdict: outcome }, {`,
    by: `  {
    const decision = decide({ kind: 'verdict', verdict: outcome === 'unreachable' ? 'aborted' : outcome }, {`,
  },
  {
    name: 'contents are not compared',
    part: 'decisions',
    histories: 'transactions',
    breaks: 'I6',
    of: `  return event.digest === undefined || event.digest === subject.digest`,
    by: `  return true`,
  },
  {
    name: 'a call is made while its begin is being written',
    part: 'loop',
    histories: 'transactions',
    breaks: 'I1',
    of: `    this.#busy = true
    this.#again = false
    void this.#carrier`,
    by: `    this.#busy = true
    this.#again = false
    this.#call(starts.splice(0))
    void this.#carrier`,
  },
  {
    name: 'the loop goes on when its write was refused',
    isQuick: true,
    part: 'loop',
    histories: 'transactions',
    breaks: 'I1',
    of: `        if (!written || this.#left) {`,
    by: `        if (this.#left) {`,
  },
  {
    name: 'the begin of an action is not written down',
    part: 'loop',
    histories: 'transactions',
    breaks: 'I2',
    of: `  return op === 'action' && mode !== 'msg'`,
    by: `  return op === 'try' && mode !== 'msg'`,
  },
  {
    name: 'due times are those of the host instead of the database',
    part: 'clock',
    histories: 'transactions',
    breaks: 'I7',
    of: `    return performance.now() + (this.#offsetMs ?? 0)`,
    by: `    return performance.now() + 0 * (this.#offsetMs ?? 0)`,
  },
  {
    name: 'a place is not given back after a call that failed',
    isQuick: true,
    part: 'gate',
    histories: 'transactions',
    breaks: 'I7',
    of: `        taken = false
        this.#running -= 1`,
    by: `        taken = false
        this.#running -= result === 'failed' ? 0 : 1`,
  },
  {
    name: 'a verdict is acted on and not written down',
    isQuick: true,
    part: 'back-query',
    histories: 'transactions',
    breaks: 'I7',
    of: `        if (!(await this.#recorder.write(progress, isStillOurs))) return`,
    by: `        void progress`,
  },
  {
    name: 'there may be more calls at once than there are places',
    part: 'gate',
    histories: 'messages',
    breaks: 'M4',
    of: `allow(this.concurrency - this.#running,`,
    by: `allow(this.concurrency,`,
  },
  {
    name: 'keys are decided about without their locks',
    part: 'hand-over',
    histories: 'messages',
    breaks: 'M3',
    of: `      await lockKeysOf(client, ids)
`,
    by: ``,
  },
  {
    name: 'a message with keys goes the way of those without',
    isQuick: true,
    part: 'hand-over',
    histories: 'messages',
    breaks: 'M1',
    of: `(message.isKeyed ? this.#inOrder : this.#free)`,
    by: `(message.isKeyed ? this.#free : this.#free)`,
  },
  {
    name: 'a committed message is handed over only if its service tells',
    part: 'hand-over',
    histories: 'messages',
    breaks: 'M1',
    of: `      const handed = await handOver({ id: row.id, isKeyed: row.key !== null })`,
    by: `      const handed = 'waiting'`,
  },
  {
    name: 'an answer that decides nothing hands the message over',
    part: 'back-query',
    histories: 'messages',
    breaks: 'M2',
    of: `    const change = recordVerdict(message satisfies Message, outcome,`,
    by: `    const change = recordVerdict(message satisfies Message, outcome === 'in_progress' ? 'committed' : outcome,`,
  },
  {
    name: 'what is still undecided is passed by what follows it',
    part: 'statement',
    histories: 'messages',
    breaks: 'M3',
    of: `      if (this.#isBehind(row)) waiting.push(row)`,
    by: `      if (this.#isBehind(row) && row.id < 0) waiting.push(row)`,
  },
  {
    name: 'the status moves without the rows to be delivered',
    part: 'statement',
    histories: 'messages',
    breaks: 'M1',
    of: `    this.write(row.gid, row.content)
  }`,
    by: `    if (row.asked > 0) this.write(row.gid, row.content)
  }`,
  },
  {
    name: 'a result is written without a look at whose claim it is',
    part: 'statement',
    histories: 'messages',
    breaks: 'M5',
    of: `      if (row === undefined || row.token !== tokens[index]) return []
      const event`,
    by: `      if (row === undefined) return []
      const event`,
  },
  {
    name: 'a retry is overtaken by what follows it in its key',
    part: 'statement',
    histories: 'messages',
    breaks: 'M3',
    of: `    const behind = due.filter((row) => this.#predecessor(row) !== undefined)`,
    by: `    const behind = due.filter((row) => this.#predecessor(row)?.attempts === 0)`,
  },
  {
    name: 'a message is confirmed before it is answered',
    isQuick: true,
    part: 'dispatcher',
    histories: 'messages',
    breaks: 'M1',
    of: `      const answer = await this.#destination.call(call, this.#signal)`,
    by: `      void this.#destination.call(call, this.#signal)
      const answer = { kind: 'done' }`,
  },
  {
    name: 'an attempt is burnt while the destination is away',
    part: 'decisions',
    histories: 'messages',
    breaks: 'M6',
    of: `    case 'unavailable': {
      // Never at once`,
    by: `    case 'unavailable': {
      if (attempts + 1 >= policy.attemptsMax) return { event: 'dead', error: outcome.error, status, attempts: attempts + 1 }
      attempts += 1
      // Never at once`,
  },
  {
    name: 'a question leaves no tombstone',
    part: 'service',
    histories: 'transactions',
    breaks: 'I5',
    of: `        this.#tombstone = true`,
    by: ``,
  },
  {
    name: 'a local transaction that comes after the tombstone goes on',
    part: 'service',
    histories: 'transactions',
    breaks: 'I5',
    of: `    if (this.#tombstone) return false`,
    by: ``,
  },
  {
    name: 'a submit without a look at what COMMIT answered',
    part: 'service',
    histories: 'transactions',
    breaks: 'I5',
    of: `        if (this.#local.state === 'committed') this.told.push`,
    by: `        if (this.#local.state !== 'not begun') this.told.push`,
  },
  {
    name: 'the row that tells a repetition is not written with the effect',
    part: 'service',
    histories: 'transactions',
    breaks: 'I2',
    of: `    this.rows.set(own, op)
    if (FORWARD`,
    by: `    if (effects.forward > 0) this.rows.set(own, op)
    if (FORWARD`,
  },
]
