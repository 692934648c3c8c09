import assert from 'node:assert/strict'
import { test } from 'node:test'
import { int, MailroomError, NoOutcome, NotFound, object, service, string } from '@oskadev/mailroom'
import { test as tester } from '@oskadev/mailroom/test'
import { z } from 'zod'

const users = service('users')
users.get('GET_USER', '/users/:id', { params: { id: int() }, result: object({ id: int(), name: string() }) }, async (ctx, id) => {
  if (id === 404) throw NotFound('no user 404')
  return { id, name: id === 3 ? 3 : 'Oska' }
})
users.post('CREATE_USER', '/users', { body: z.object({ name: z.string().min(2), role: z.string().default('user') }) }, (ctx, user) => {
  ctx.status(201)
  ctx.location('/users/7')
  ctx.invalidate('users')
  ctx.progress({ stored: true })
  ctx.extend(1_000)
  return { ...user, by: ctx.principal?.subject }
})
users.get('LIST', '/users', { query: { type: 'object' } }, (ctx, query) => ({ query, at: new Date(0) }))
users.action('CALLS', (ctx) => ctx.call('items', 'GET_ITEM', 1))
users.action('WAITS', (ctx) => new Promise((_, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason))))
users.action('RETRY', () => {
  throw NoOutcome(new Error('away'))
})
users.action('BROKEN', () => {
  throw new TypeError('cause')
})

test('runs an action', async () => {
  const t = tester(users)
  assert.deepEqual(await t.call('GET_USER', 1), { id: 1, name: 'Oska' })
  await assert.rejects(t.call('GET_USER', 404), { code: 'NOT_FOUND', status: 404, message: 'no user 404' })
  await assert.rejects(t.call('GET_USER', 'x'), { code: 'BAD_REQUEST', message: 'id: want integer' })
  await assert.rejects(t.call('GET_USER'), { code: 'BAD_REQUEST' })
  await assert.rejects(t.call('GET_USER', 1, 2), { message: 'GET_USER takes 1 arguments, not 2' })
  await assert.rejects(t.call('GET_USER', 3), /declares another result: result\.name: want string/)
  await assert.rejects(t.call('GET_USR', 3), /has no action GET_USR; it has GET_USER/)
  assert.deepEqual(await t.call('LIST'), { query: {}, at: '1970-01-01T00:00:00.000Z' })
  await assert.rejects(t.call('RETRY'), { name: 'NoOutcomeError', message: 'away' })
  await assert.rejects(t.call('BROKEN'), (error) => error.code === 'INTERNAL' && error.cause.message === 'cause')
})

test('records what a run did', async () => {
  const t = tester(users, { principal: { subject: 'key:1' } })
  assert.deepEqual(await t.call('CREATE_USER', { name: 'Oska' }), { name: 'Oska', role: 'user', by: 'key:1' })
  assert.deepEqual(t.last, { status: 201, location: '/users/7', invalidated: ['users'], progress: [{ stored: true }], extended: [1_000] })
  await t.call('GET_USER', 1)
  assert.deepEqual(t.last, { status: 200, location: undefined, invalidated: [], progress: [], extended: [] })
  await assert.rejects(t.call('CREATE_USER', { name: 'O' }), { code: 'BAD_REQUEST', details: [{ field: 'body.name', problem: 'want at least 2 characters' }] })
})

test('stands in for other services, and cancels', async () => {
  const t = tester(users)
  await assert.rejects(t.call('CALLS'), /the test has no option calls/)
  assert.deepEqual(await t.with({ calls: (...call) => call }).call('CALLS'), ['items', 'GET_ITEM', 1])
  const gone = new MailroomError('ITEM_GONE', 410)
  await assert.rejects(t.with({ calls: () => { throw gone } }).call('CALLS'), { code: 'ITEM_GONE', status: 410 })
  const stop = new AbortController()
  const waiting = t.with({ signal: stop.signal }).call('WAITS')
  stop.abort()
  await assert.rejects(waiting, { code: 'CONFLICT' })
})

test('zod transforms arguments and refuses what JSON Schema cannot say', async () => {
  const even = z.int().refine((n) => n % 2 === 0, 'has to be even')
  const later = z.string().transform(async (text) => text.length)
  const odd = service('odd')
  odd.action('EVEN', { args: { n: even } }, (ctx, n) => n)
  odd.action('LENGTH', { args: [later, z.object({ deep: z.array(even) })] }, (ctx, n) => n)
  const t = tester(odd)
  assert.equal(await t.call('EVEN', 2), 2)
  await assert.rejects(t.call('EVEN', 3), { code: 'BAD_REQUEST', message: 'n: has to be even', details: [{ field: 'n', problem: 'has to be even' }] })
  assert.equal(await t.call('LENGTH', 'four', { deep: [2] }), 4)
  await assert.rejects(t.call('LENGTH', 'four', { deep: [2, 3] }), { details: [{ field: 'arg1.deep.1', problem: 'has to be even' }] })
})
