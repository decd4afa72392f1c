/** Subscribing to what a relay publishes on NATS JetStream, and answering what it asks. */
export { answerBackQueries, type BackQueryAnswerOptions, type BackQueryAnswers } from './answer-back-queries.ts'
export type { BackOff } from './back-off.ts'
export type { NatsConnectionLike } from './nats-connection.ts'
export type { SubscribedDelivery } from './read-delivery.ts'
export { subscribe } from './subscribe.ts'
export type {
  CommonSubscribeOptions,
  InboxSubscribeOptions,
  SubscribeOptions,
  SubscriptionTrouble,
} from './subscribe-options.ts'
export type { Subscription, SubscriptionStats } from './subscription.ts'
