/** How requests are gathered into statements. */
export interface GroupCommitOptions<Request, Answer> {
  /**
   * Writes many requests with one statement, or as many as it takes, and answers each in its place; a request without an
   * answer is rejected, and for its client to send again. Called again with
   * the same requests if what it threw was a deadlock, and with some of them if it was the fault of one: it has to be
   * idempotent, as everything is that a client may send twice.
   */
  readonly write: (requests: readonly Request[]) => Promise<readonly (Answer | undefined)[]>
  /** Requests of one key are never in one statement, where they could not see each other. */
  readonly keyOf: (request: Request) => string
  /** Most requests of one statement; a longer one delays everybody in it. */
  readonly requestsMax?: number
  /** What a request weighs, and most of it in one statement: many small ones or few large ones. */
  readonly bytesOf?: (request: Request) => number
  readonly bytesMax?: number
  /** Most statements at once. A second one goes when the first takes long: it may wait for a lock. */
  readonly statementsMax?: number
  /** Most requests that may wait; the next is refused with `refusal`. */
  readonly waitingMax?: number
  readonly refusal: () => Error
}

interface Waiting<Request, Answer> {
  readonly request: Request
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}

/**
 * Writes requests that arrive together with one statement and one commit.
 *
 * Nobody waits for company: a request that finds no statement under way goes at the end of this turn of the event loop,
 * with those that arrived in it. What arrives beside a statement for many goes with the next, when that one has ended or
 * takes longer than it should; beside one for few it goes at once. So the groups grow with the load, and a single
 * request costs what it always costs. With two statements at any time there were half as many more of them, each for a
 * third fewer requests, and a message cost a tenth more.
 *
 * One bad request must not fail the others: if PostgreSQL refuses the content of a group (a value out of range, a broken
 * constraint), the halves are written by themselves, down to the one that is to blame. An error that says nothing about
 * the content, a lost connection for example, is everybody's: each may have been written or not, and is sent again.
 */
export class GroupCommit<Request, Answer> {
  readonly #options: Required<GroupCommitOptions<Request, Answer>>
  #waiting: Waiting<Request, Answer>[] = []
  #underWay = 0
  #isScheduled = false
  /** How many went with the latest statement. */
  #latest = 0
  /** When those that wait for the end of a statement go without it. */
  #timer: NodeJS.Timeout | undefined

  constructor(options: GroupCommitOptions<Request, Answer>) {
    this.#options = { ...DEFAULTS, ...options }
  }

  /** How many requests wait for their statement to begin. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Resolves to the answer of its statement, once that is committed. */
  add(request: Request): Promise<Answer> {
    if (this.#waiting.length >= this.#options.waitingMax) return Promise.reject(this.#options.refusal())
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve, reject })
      if (this.#underWay === 0 || this.#latest < MANY) this.#schedule()
      else this.#timer ??= setTimeout(() => this.#schedule(), OVERDUE_MS)
    })
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#isScheduled || this.#waiting.length === 0 || this.#underWay >= this.#options.statementsMax) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      const group = this.#nextGroup()
      this.#latest = group.length
      this.#underWay += 1
      void this.#settle(group).finally(() => {
        this.#underWay -= 1
        this.#schedule()
      })
      // What is left over, full groups or repeated keys, does not wait for an answer if another statement may begin.
      this.#schedule()
    })
  }

  #nextGroup(): Waiting<Request, Answer>[] {
    const group: Waiting<Request, Answer>[] = []
    const left: Waiting<Request, Answer>[] = []
    const keys = new Set<string>()
    const { requestsMax, keyOf, bytesOf, bytesMax } = this.#options
    let bytes = 0
    for (const waiting of this.#waiting) {
      const key = keyOf(waiting.request)
      if (group.length >= requestsMax || bytes >= bytesMax || keys.has(key)) left.push(waiting)
      else {
        bytes += bytesOf(waiting.request)
        keys.add(key)
        group.push(waiting)
      }
    }
    this.#waiting = left
    return group
  }

  async #settle(group: readonly Waiting<Request, Answer>[]): Promise<void> {
    try {
      const answers = await this.#write(group.map(({ request }) => request))
      for (const [index, { resolve, reject }] of group.entries()) {
        const answer = answers[index]
        if (answer !== undefined) resolve(answer)
        else reject(new Error('the transaction kept changing while the request was written; try again'))
      }
    } catch (error) {
      if (group.length === 1 || !isOfOneRequest(error)) {
        for (const { reject } of group) reject(error)
        return
      }
      const half = Math.ceil(group.length / 2)
      await this.#settle(group.slice(0, half))
      await this.#settle(group.slice(half))
    }
  }

  async #write(requests: readonly Request[]): Promise<readonly (Answer | undefined)[]> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#options.write(requests)
      } catch (error) {
        if (attempt === WRITES_MAX || !isOfTheMoment(error)) throw error
      }
    }
  }
}

const WRITES_MAX = 4
const OVERDUE_MS = 30
/** So many at once are a crowd, and more are on their way. */
const MANY = 8
const DEFAULTS = { requestsMax: 200, bytesOf: () => 0, bytesMax: 4 << 20, statementsMax: 2, waitingMax: 20_000 }

// Data exceptions, broken constraints, exceeded limits of the program (an index row that is too long).
const CLASSES_OF_CONTENT = new Set(['22', '23', '54'])

/** Whether PostgreSQL refused something that one of the requests said. */
function isOfOneRequest(error: unknown): boolean {
  return CLASSES_OF_CONTENT.has(sqlState(error).slice(0, 2))
}

/** A deadlock or a serialization failure: nothing was written, and the next attempt finds the way clear. */
function isOfTheMoment(error: unknown): boolean {
  return ['40P01', '40001'].includes(sqlState(error))
}

function sqlState(error: unknown): string {
  if (typeof error !== 'object' || error === null) return ''
  // A socket error has a code too; only the server's errors have a severity.
  return 'severity' in error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}
