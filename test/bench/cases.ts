import type { Case } from './case.ts'

/** Everything that is measured, in the order in which it is. */
export const cases: readonly Case[] = []
