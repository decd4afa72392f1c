import { EventEmitter } from 'node:events'
import { describe, expect, test } from 'vitest'
import { type Connection, sendAhead } from './send-ahead.ts'

/** The half of a pg connection that is used, which notes what reaches pg itself. */
class Wire extends EventEmitter {
  readonly reached: string[] = []
  readonly stream = {
    destroyed: false,
    destroy() {
      this.destroyed = true
    },
  }

  parse(): void {}
  bind(): void {}
  query(): void {}
  execute(): void {}
  sync(): void {}

  override emit(event: string): boolean {
    this.reached.push(event)
    return true
  }
}

function waiting(): Wire {
  const wire = new Wire()
  const connection: Connection = wire
  sendAhead(connection, {
    inFrontOf: () => true,
    statements: () => [{ text: 'insert', values: [] }],
  })
  connection.query('commit')
  return wire
}

describe('the answers to statements that were sent ahead', () => {
  test('do not reach pg, and what follows them does', () => {
    const wire = waiting()
    for (const event of ['parseComplete', 'notice', 'bindComplete', 'commandComplete']) wire.emit(event)
    for (const event of ['commandComplete', 'readyForQuery']) wire.emit(event)
    expect(wire.reached).toEqual(['notice', 'commandComplete', 'readyForQuery'])
    expect(wire.stream.destroyed).toBe(false)
  })

  test.each(['parsed', 'rowDescription', 'readyForQuery', 'portalSuspended'])(
    'end the connection by an event that is none of them: %s',
    (unknown) => {
      const wire = waiting()
      // All of it was read at once: what is behind the unknown event is told although the connection has ended.
      for (const event of [unknown, 'commandComplete', 'commandComplete', 'readyForQuery']) wire.emit(event)
      expect(wire.stream.destroyed).toBe(true)
      expect(wire.reached).toEqual([])
      for (const event of ['end', 'error']) wire.emit(event)
      expect(wire.reached).toEqual(['end', 'error'])
    },
  )
})
