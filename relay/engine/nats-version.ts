/** What a version of nats-server does wrong, and what to run instead. */
export interface VersionProblem {
  readonly problem: string
  readonly action: string
}

/**
 * Versions that remember the id of a message before a majority has it, with the number 0. A leader that is cut off from its
 * peers then answers a repetition as a duplicate although the message is lost with it. Seen in 2.10.14 to 2.10.29, not in
 * 2.10.7; from 2.11 on such a repetition gets error 10158. What was not looked at in between is taken for the worse.
 */
export function stagesIds(version: string): VersionProblem | undefined {
  const [, major, minor, patch] = /^(\d+)\.(\d+)\.(\d+)/.exec(version) ?? []
  if (major !== '2' || minor !== '10' || Number(patch) <= 7) return undefined
  const isSeen = Number(patch) >= 14 && Number(patch) <= 29
  return {
    problem: isSeen
      ? 'answers a repeated message of a replicated stream as a duplicate that it may lose'
      : 'may answer a repeated message of a replicated stream as a duplicate that it may lose (not tried with this version)',
    action: 'Run 2.11 or newer. Relays do not believe such an answer; other publishers may.',
  }
}
