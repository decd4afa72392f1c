import fc from 'fast-check'
import type { StoreStep } from './store-history.ts'

const at = fc.nat({ max: 5 })

/** What a reader does whom nobody disturbs; drawn one by one, these would seldom come together. */
const renewal: readonly StoreStep[] = [{ do: 'claim' }, { do: 'load', at: 0 }, { do: 'fill', at: 0 }]

const single = fc.oneof(
  { weight: 3, arbitrary: fc.constant<StoreStep>({ do: 'commit' }) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(0, 40, 150).map((staleMs): StoreStep => ({ do: 'invalidate', staleMs })),
  },
  { weight: 6, arbitrary: fc.constant<StoreStep>({ do: 'claim' }) },
  { weight: 4, arbitrary: at.map((at): StoreStep => ({ do: 'load', at })) },
  { weight: 4, arbitrary: at.map((at): StoreStep => ({ do: 'fill', at })) },
  { weight: 1, arbitrary: at.map((at): StoreStep => ({ do: 'release', at })) },
  { weight: 2, arbitrary: fc.constantFrom(10, 60, 110).map((ms): StoreStep => ({ do: 'wait', ms })) },
  { weight: 1, arbitrary: fc.constant<StoreStep>({ do: 'distrust' }) },
)

/** Random histories of one key. */
export const storeSteps: fc.Arbitrary<StoreStep[]> = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: single.map((step): readonly StoreStep[] => [step]) },
      { weight: 1, arbitrary: fc.constant(renewal) },
    ),
    { maxLength: 50 },
  )
  .map((parts) => parts.flat())

/** The same without time: what a server of its own clock can be held to. */
export const timelessSteps: fc.Arbitrary<StoreStep[]> = storeSteps.map((steps) =>
  steps.flatMap((step): StoreStep[] => {
    if (step.do === 'wait' || step.do === 'distrust') return []
    return step.do === 'invalidate' ? [{ do: 'invalidate', staleMs: 0 }] : [step]
  }),
)
