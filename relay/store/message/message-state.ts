import { DeliveryState } from 'postcommit/protocol'

/** Where a message is: a state of its delivery or, while it has none, where it stands in the log. */
export const MessageState = {
  /** In the log, not handed on yet. */
  Waiting: 'waiting',
  /** In the log, acknowledged by the broker. */
  Published: 'published',
  ...DeliveryState,
} as const

/** A state of {@link MessageState}. */
export type MessageState = (typeof MessageState)[keyof typeof MessageState]
