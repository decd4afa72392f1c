/** The states of a row with a fate of its own (table `delivery`). */
export const DeliveryState = {
  /** Due, or due later; a claimed row is pending with a lease. */
  Pending: 'pending',
  /** Behind an earlier row of its destination and key. */
  Held: 'held',
  /** Its destination has confirmed it. */
  Confirmed: 'confirmed',
  /** Refused for good or out of attempts: waits for a person, and holds its key back. */
  Dead: 'dead',
  /** Given up by a person, with a reason. */
  Discarded: 'discarded',
} as const

/** A state of {@link DeliveryState}. */
export type DeliveryState = (typeof DeliveryState)[keyof typeof DeliveryState]
