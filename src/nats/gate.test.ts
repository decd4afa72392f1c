import { describe, expect, test } from 'vitest'
import { createGate } from './gate.ts'

function closedGate() {
  const gate = createGate()
  gate.close()
  return gate
}

describe('the gate for messages with a key', () => {
  test('opens at the first look when nothing is under way', () => {
    const gate = closedGate()
    gate.look({ deliveredThrough: 100, settledThrough: 100, unsettled: 0 }, 0)
    expect(gate.isOpen).toBe(true)
  })

  test('opens when everything that was under way elsewhere has come here', () => {
    const gate = closedGate()
    gate.look({ deliveredThrough: 100, settledThrough: 90, unsettled: 3 }, 1)
    gate.arrived(101)
    gate.arrived(95)
    expect(gate.isOpen).toBe(false)
    gate.arrived(97)
    expect(gate.isOpen).toBe(true)
  })

  test('opens when the server has settled everything that was under way, though new messages are', () => {
    const gate = closedGate()
    gate.look({ deliveredThrough: 100, settledThrough: 90, unsettled: 8 }, 0)
    gate.look({ deliveredThrough: 150, settledThrough: 99, unsettled: 9 }, 0)
    expect(gate.isOpen).toBe(false)
    gate.look({ deliveredThrough: 170, settledThrough: 100, unsettled: 9 }, 0)
    expect(gate.isOpen).toBe(true)
  })

  test('counts arrivals only after a look, because before it nobody knows how many are missing', () => {
    const gate = closedGate()
    gate.arrived(1)
    expect(gate.isOpen).toBe(false)
    gate.look({ deliveredThrough: 2, settledThrough: 0, unsettled: 2 }, 1)
    expect(gate.isOpen).toBe(false)
  })

  test('closed again, it forgets what it waited for before', () => {
    const gate = closedGate()
    gate.look({ deliveredThrough: 10, settledThrough: 0, unsettled: 10 }, 0)
    gate.close()
    gate.look({ deliveredThrough: 20, settledThrough: 10, unsettled: 10 }, 0)
    expect(gate.isOpen).toBe(false)
  })
})
