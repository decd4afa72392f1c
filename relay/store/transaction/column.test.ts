import { expect, test } from 'vitest'
import { type ColumnValue, column } from './column.ts'

test.each<[readonly ColumnValue[], string | null]>([
  [['a', '', 'NULL', 'a,b', '{}'], '{"a","","NULL","a,b","{}"}'],
  [['"', '\\', '\\"', 'a\nb'], '{"\\"","\\\\","\\\\\\"","a\nb"}'],
  [[1, -0.5, Number.POSITIVE_INFINITY], '{1,-0.5,Infinity}'],
  [[Buffer.from([0, 255]), Buffer.alloc(0)], '{"\\\\x00ff","\\\\x"}'],
  [['a', null, undefined], '{"a",NULL,NULL}'],
  [[null, 'a'], '{NULL,"a"}'],
  [[null, undefined], null],
  [[], null],
])('%j', (values, text) => {
  expect(column(values, (value) => value)).toBe(text)
})
