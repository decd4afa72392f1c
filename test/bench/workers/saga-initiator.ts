/** A program that hands in sagas of two steps, as many at once as it is told. */
import { createRelayClient } from 'postcommit'
import { saga } from 'postcommit/transactions'
import { openDtmClient } from '../dtm-client.ts'
import { serve } from '../serve.ts'

/** Who carries them out. */
export interface SagaInitiatorConfig {
  readonly contender: 'postcommit' | 'dtm'
  readonly url: string
  /** The service that is called, for DTM, which knows addresses only. */
  readonly branchUrl: string
  readonly concurrency: number
}

export type SagaInitiatorCommands = {
  /** Hands in so many; resolves when the last of them is recorded. */
  submit(sagas: number): Promise<void>
}

const STEPS = [
  { name: 'order', path: '/order' },
  { name: 'stock', path: '/stock' },
] as const
const PAYLOAD = { order: 'x'.repeat(200 - '{"order":""}'.length) }

serve<SagaInitiatorConfig, SagaInitiatorCommands>(async (config) => {
  const { concurrency } = config
  const { submit, close } = open(config)
  return {
    commands: {
      async submit(sagas) {
        let left = sagas
        const one = async (): Promise<void> => {
          while (left > 0) {
            left -= 1
            await submit()
          }
        }
        await Promise.all(Array.from({ length: concurrency }, one))
      },
    },
    close,
  }
})

function open({ contender, url, branchUrl, concurrency }: SagaInitiatorConfig) {
  switch (contender) {
    case 'postcommit': {
      const relay = createRelayClient({ url })
      const [first, second] = STEPS
      const definition = saga('order')
        .step(first.name, { do: `branches${first.path}`, undo: `branches${first.path}-undo`, data: PAYLOAD })
        .step(second.name, { do: `branches${second.path}`, undo: `branches${second.path}-undo`, data: PAYLOAD })
        .define()
      return { submit: () => relay.submitSaga(definition), close: () => relay.close() }
    }
    case 'dtm': {
      const dtm = openDtmClient(url, concurrency)
      const payload = JSON.stringify(PAYLOAD)
      const steps = STEPS.map(({ path }) => ({
        action: `${branchUrl}${path}`,
        compensate: `${branchUrl}${path}-undo`,
      }))
      return { submit: () => dtm.submit({ steps, payloads: steps.map(() => payload) }), close: () => dtm.close() }
    }
  }
}
