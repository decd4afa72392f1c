/** Knows who may order. */
import { answering, listen } from './http.ts'

const users = new Map([
  [1, { id: 1, name: 'one' }],
  [2, { id: 2, name: 'two' }],
])

listen(
  {
    'GET /user': answering(({ query }) => {
      const user = users.get(Number(query.get('id')))
      return user === undefined ? { status: 404, body: {} } : { status: 200, body: user }
    }),
  },
  async () => undefined,
)
