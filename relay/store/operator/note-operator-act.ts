import type { Act } from './act.ts'

/** An act on many messages, in batches that are one row of `operator_act`. */
export interface NotedAct extends Act {
  /** A UUID: batches that carry the same one are the same act. */
  readonly token: string
  /** Which messages were asked for, as it is to be shown. */
  readonly selection: object
}

/**
 * The part of a statement that notes an act. It stands behind a part `done` whose rows are what was changed; with none
 * nothing is noted. Unique index on token; the row is locked until the batch ends, and an act has one batch at a time.
 * A statement of its own could be lost between the two: messages would have changed without a record of who did it.
 */
export function noteAct(act: 'requeue' | 'discard', first: number): string {
  return `insert into postcommit.operator_act (token, act, actor, reason, selection, messages)
  select $${first}::uuid, '${act}', $${first + 1}, $${first + 2}, $${first + 3}::jsonb, count(*) from done having count(*) > 0
  on conflict (token) do update set messages = operator_act.messages + excluded.messages`
}

/** The values that {@link noteAct} refers to. */
export function noteActValues({ token, actor, reason, selection }: NotedAct): readonly string[] {
  return [token, actor, reason, JSON.stringify(selection)]
}
