import type { Coordinator } from './coordinator.ts'
import type { Answer, Intake, SubmitRequest } from './intake.ts'

/**
 * Hands in a submission, and begins it with the same statement if this relay has time for it. The begin of the first
 * calls is written with what is inserted, and what was prepared comes back claimed.
 *
 * @throws what the database throws; it may have been recorded, and can be sent again.
 */
export async function submitAndBegin(
  { coordinator, intake }: { readonly coordinator: Coordinator; readonly intake: Intake },
  request: Omit<SubmitRequest, 'claim'>,
): Promise<Answer> {
  const { content } = request
  const claim = coordinator.claim()
  const first = content && claim && content.runBy === 'relay' ? coordinator.first(content, claim) : undefined
  const answer = await intake
    .submit({ ...request, claim, content: first?.content ?? content })
    .catch((error: unknown) => {
      first?.cancel()
      throw error
    })
  if (answer.claimed !== undefined && claim !== undefined) {
    first?.cancel()
    coordinator.take(answer.claimed, claim.token)
  } else if (first !== undefined && answer.begun === true && answer.id !== undefined) first.confirm(answer.id)
  else {
    first?.cancel()
    if (answer.decision.kind === 'ok') coordinator.wake()
  }
  return answer
}
