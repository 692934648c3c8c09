// Compiled, not run: the types of arguments follow from paths and schemas.
import { connect, int, object, service, string, type Context } from '@oskadev/mailroom'
import { connect as connectBrowser } from '@oskadev/mailroom/client'
import { test } from '@oskadev/mailroom/test'
import { z } from 'zod'

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_: Same<A, B>) => {}

const users = service('users', { version: '1.4.0' })
users.get('GET_USER', '/users/:id', (ctx, id) => {
  same<typeof ctx, Context>(true)
  same<typeof id, string>(true)
})
users.get('GET_ITEM', '/users/:id/items/:item', { params: { item: int() }, query: object({}, { limit: int() }) }, async (_, id, item, query) => {
  same<typeof id, string>(true)
  same<typeof item, number>(true)
  same<typeof query.limit, number | undefined>(true)
})
users.post('CREATE_USER', '/users', { body: z.object({ name: z.string(), role: z.string().default('user') }) }, (_, body) => {
  same<typeof body, { name: string; role: string }>(true)
})
users.put('UPDATE_USER', '/users/:id', { body: object({ name: string() }) }, (_, id, { name }) => {
  same<typeof name, string>(true)
  return id
})
users.post('ANY', '/users/any', (_, body) => body.anything)
users.post('SUSPEND', '/users/:id/suspend', { body: false }, (_, id) => id)
// @ts-expect-error: there is no second argument
users.post('SUSPEND_TWICE', '/users/:id/suspend', { body: false }, (_, id, body) => [id, body])
users.action('CHECK', { safe: true, args: [int(), { type: 'boolean' }] }, (_, n, flag) => {
  same<typeof n, number>(true)
  same<typeof flag, any>(true)
})
// @ts-expect-error: misspelt
users.get('A', '/users', { timout: 1 }, () => 1)

export async function client() {
  const socket = connect('http://127.0.0.1:8080', { token: () => 'mk_1' })
  await socket.with({ timeout: 1 }).service('users').request('GET_USER', 1)
  socket.subscribe('user:1', { service: 'users' }, (event) => same<typeof event.recovered, boolean>(true))
  connectBrowser('https://a.example').close()
  await test(users, { principal: { subject: 'key:1' } }).call('GET_USER', '1')
}
