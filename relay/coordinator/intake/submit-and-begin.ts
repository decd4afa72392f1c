import type { Coordinator } from '../run/coordinator.ts'
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
  const isToBegin = content?.runBy === 'relay' && content.content === undefined
  const first = content && claim && isToBegin ? coordinator.first(content, claim) : undefined
  const answer = await intake
    .submit({ ...request, claim, content: first?.content ?? content })
    .catch((error: unknown) => {
      first?.cancel()
      throw error
    })
  if (answer.handedOver === true) return answer
  if (content?.content !== undefined && answer.id !== undefined && answer.begun !== undefined) {
    // A new message: what fails here is done when its claim has run out.
    await coordinator.handOver({ id: answer.id, isKeyed: content.key !== undefined }).catch(() => undefined)
  } else if (answer.claimed !== undefined && claim !== undefined) {
    first?.cancel()
    coordinator.take(answer.claimed, claim.token)
  } else if (first !== undefined && answer.begun === true && answer.id !== undefined) first.confirm(answer.id)
  else {
    first?.cancel()
    if (answer.decision.kind === 'ok') coordinator.wake()
  }
  return answer
}
