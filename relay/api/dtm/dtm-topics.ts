import type { Queryable } from '../../store/queryable.ts'
import { deleteTopic } from '../../store/topic/delete-topic.ts'
import { selectTopics, type Topic } from '../../store/topic/select-topics.ts'
import { subscribe } from '../../store/topic/subscribe.ts'
import { unsubscribe } from '../../store/topic/unsubscribe.ts'
import { DtmError, NOT_FOUND } from './dtm-error.ts'
import { checkAddress, type HandInRules } from './hand-in-trans.ts'
import type { Fields } from './trans-request.ts'

/** Where DTM keeps its topics: a table of keys and values, of which this is the only category. */
const CATEGORY = 'topics'
const TOPIC_CHARACTERS = 128
const TARGET_CHARACTERS = 1024
const TOPICS_MAX = 1000

/** DTM's operations on topics, with its texts. */
export class DtmTopics {
  readonly #client: Queryable
  readonly #tenant: string
  readonly #addresses: HandInRules['addresses']

  constructor(client: Queryable, tenant: string, addresses: HandInRules['addresses']) {
    this.#client = client
    this.#tenant = tenant
    this.#addresses = addresses
  }

  /** Adds an address to a topic, which is made if it is not there. */
  async subscribe(topic: string, url: string, remark: string): Promise<undefined> {
    demand(topic, url)
    if (!/^https?:\/\//i.test(url) || !URL.canParse(url))
      throw new DtmError(`${url}: only http:// and https:// are called here`)
    checkAddress(new URL(url), this.#addresses)
    const version = await subscribe(this.#client, {
      tenant: this.#tenant,
      topic,
      target: url,
      remark: remark.slice(0, TARGET_CHARACTERS),
    })
    if (version === undefined) throw new DtmError('this url exists')
    return undefined
  }

  /** Removes an address from a topic. */
  async unsubscribe(topic: string, url: string): Promise<undefined> {
    demand(topic, url)
    const done = await unsubscribe(this.#client, this.#tenant, topic, url)
    switch (done.kind) {
      case 'removed':
        return undefined
      case 'no-such-topic':
        throw new DtmError('no such a topic')
      case 'topic-is-empty':
        throw new DtmError('this topic is empty')
      case 'no-such-target':
        throw new DtmError('no such an url ')
    }
  }

  /** Removes a topic. */
  async delete(topic: string): Promise<undefined> {
    if (topic === '') throw new DtmError('empty topic')
    if (!(await deleteTopic(this.#client, this.#tenant, topic))) throw new DtmError(NOT_FOUND)
    return undefined
  }

  /** The topics of that name, or all of them. */
  async query(category: string, key: string): Promise<Fields> {
    if (category !== '' && category !== CATEGORY) return { kv: [] }
    const names = key === '' ? {} : { names: [key] }
    const topics = await selectTopics(this.#client, this.#tenant, { ...names, limit: TOPICS_MAX })
    return { kv: topics.map(rowOf) }
  }

  /** A page of topics, the newest first. */
  async scan(category: string, position: string, limit: number): Promise<Fields> {
    if (category !== CATEGORY) return { kv: [], next_position: '' }
    const before = position === '' ? {} : { before: position }
    const topics = await selectTopics(this.#client, this.#tenant, { ...before, limit })
    return { kv: topics.map(rowOf), next_position: topics.length < limit ? '' : (topics.at(-1)?.id ?? '') }
  }
}

function demand(topic: string, url: string): void {
  if (topic === '') throw new DtmError('empty topic')
  if (url === '') throw new DtmError('empty url')
  if (topic.length > TOPIC_CHARACTERS || /\0/.test(topic))
    throw new DtmError(`topic: longer than ${TOPIC_CHARACTERS} characters`)
  if (url.length > TARGET_CHARACTERS || /\0/.test(url))
    throw new DtmError(`url: longer than ${TARGET_CHARACTERS} characters`)
}

function rowOf({ id, name, version, createdAt, updatedAt, targets }: Topic): Fields {
  const subscribers = targets.map(({ target, remark }) => ({ url: target, remark }))
  return {
    id: Number(id),
    create_time: createdAt.toISOString(),
    update_time: updatedAt.toISOString(),
    cat: CATEGORY,
    k: name,
    v: JSON.stringify(subscribers),
    version: Number(version),
  }
}
