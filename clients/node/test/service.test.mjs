import assert from 'node:assert/strict'
import { test } from 'node:test'
import { array, boolean, int, int64, number, object, service, string } from '@oskadev/mailroom'
import { z } from 'zod'

const none = () => null
const declared = (users) => JSON.parse(JSON.stringify(users.manifest.actions))

test('everything of a manifest can be said', () => {
  const users = service('users', { version: '1.4.0' })
  users.get(
    'GET_USER',
    '/users/:id',
    {
      params: { id: int() },
      query: object({}, { fields: array(string()) }),
      summary: 'One user',
      timeout: 2_000,
      cache: { ttl: 30_000, tags: ['user:{0}'], public: true, staleWhileRevalidate: 1_000, staleIfError: 2_000 },
      scopes: ['users:read'],
      deprecated: true,
      result: object({ id: int() }),
    },
    none,
  )
  users.put('UPDATE_USER', '/users/:id', { routes: ['PATCH /users/:id'], invalidates: ['user:{0}', 'users'], lane: 'user:{0}' }, none)
  users.post('SEARCH', '/users/search', { safe: true, body: { type: 'object', required: ['q'] } }, none)
  users.post('SUSPEND', '/users/:id/suspend', { body: false }, none)
  users.delete('DELETE_USER', '/users/:id', none)
  users.action('CHECK', { safe: true, args: [int(), { type: 'boolean' }] }, none)
  users.action('NAMED', { args: { id: int(), note: string() } }, none)
  const safeInteger = { type: 'integer', minimum: -9007199254740991, maximum: 9007199254740991 }
  const id = { name: 'id', in: 'path', schema: { type: 'string' } }
  const action = (name, routes, args, more) => ({ name, routes, safe: false, timeout_ms: 10_000, args, ...more })
  assert.deepEqual(declared(users), [
    {
      name: 'GET_USER',
      summary: 'One user',
      routes: ['GET /users/:id'],
      safe: true,
      timeout_ms: 2_000,
      args: [
        { name: 'id', in: 'path', schema: safeInteger },
        {
          name: 'query',
          in: 'query',
          schema: { type: 'object', properties: { fields: { type: 'array', items: { type: 'string' } } }, required: [], additionalProperties: false },
        },
      ],
      result: { type: 'object', properties: { id: safeInteger }, required: ['id'], additionalProperties: false },
      cache: { ttl_ms: 30_000, tags: ['user:{0}'], public: true, stale_while_revalidate_ms: 1_000, stale_if_error_ms: 2_000 },
      scopes: ['users:read'],
      deprecated: true,
    },
    action('UPDATE_USER', ['PUT /users/:id', 'PATCH /users/:id'], [id, { name: 'body', in: 'body', schema: { type: 'object' } }], {
      invalidates: ['user:{0}', 'users'],
      lane: 'user:{0}',
    }),
    action('SEARCH', ['POST /users/search'], [{ name: 'body', in: 'body', schema: { type: 'object', required: ['q'] } }], { safe: true }),
    action('SUSPEND', ['POST /users/:id/suspend'], [id]),
    action('DELETE_USER', ['DELETE /users/:id'], [id]),
    action('CHECK', [], [{ name: 'arg0', schema: safeInteger }, { name: 'arg1', schema: { type: 'boolean' } }], { safe: true }),
    action('NAMED', [], [{ name: 'id', schema: safeInteger }, { name: 'note', schema: { type: 'string' } }]),
  ])
})

test('schemas', () => {
  assert.deepEqual(int64({ description: 'x' }), { type: 'integer', description: 'x' })
  assert.deepEqual(number({ minimum: 0 }), { type: 'number', minimum: 0 })
  assert.deepEqual(array(boolean(), { maxItems: 2 }), { type: 'array', items: { type: 'boolean' }, maxItems: 2 })
})

test('schemas of zod become JSON Schema', () => {
  const users = service('users').post('CREATE_USER', '/users', { body: z.object({ name: z.string(), role: z.string().default('user') }) }, none)
  assert.deepEqual(declared(users)[0].args[0].schema, {
    type: 'object',
    properties: { name: { type: 'string' }, role: { default: 'user', type: 'string' } },
    required: ['name'],
  })
  const old = { '~standard': { version: 1, vendor: 'x', validate: () => ({}) } }
  assert.throws(() => service('users').post('A', '/users', { body: old }, none), /zod 4.2 or newer, or pass z.toJSONSchema/)
})

test('faults are named where they are made', () => {
  const fault = (declare, want) => assert.throws(() => declare(service('users')), want)
  assert.throws(() => service('Users'), /service name "Users": want a lower-case letter/)
  fault((s) => s.get('getUser', '/users/:id', none), /getUser.*upper-case/)
  fault((s) => s.get('GET', '/people/:id', none), /route "GET \/people\/:id": want .* below \/users/)
  fault((s) => s.get('GET', '/users/:userId', none), /lower case/)
  fault((s) => s.get('GET', '/users/{id}', none), /:parameter segments/)
  fault((s) => s.get('GET', '/users/:id', { params: { ident: int() } }, none), /params\.ident is no parameter/)
  fault((s) => s.put('PUT', '/users/:id', { routes: ['PATCH /users/:user'] }, none), /parameters of the first route \(id\)/)
  fault((s) => s.delete('D', '/users/:id', { safe: true }, none), /DELETE, but the action is safe/)
  fault((s) => s.get('GET', '/users', { body: {} }, none), /a GET has no body; use query/)
  fault((s) => s.post('POST', '/users', { query: {} }, none), /a POST has no query; use body/)
  fault((s) => s.get('GET', '/users', { cache: { ttl: '30s' } }, none), /cache\.ttl 30s has to be/)
  fault((s) => s.post('POST', '/users', { cache: { ttl: 1 } }, none), /only a safe action can have a cache/)
  fault((s) => s.get('GET', '/users', { invalidates: ['a'] }, none), /cannot invalidate/)
  fault((s) => s.post('POST', '/users', { lane: 'user:{1}' }, none), /"user:\{1\}": \{1\} is no argument; there are 1/)
  fault((s) => s.get('GET', '/users', { timeout: 0 }, none), /timeout 0 has to be a positive/)
  fault((s) => s.get('GET', '/users', { ttl: 1 }, none), /unknown option ttl; options are summary/)
  fault((s) => s.get('GET', '/users', {}), /last argument has to be the handler/)
  fault((s) => s.action('A', { args: ['string'] }, none), /a schema has to be a JSON Schema, or an object of zod 4.2/)
  fault((s) => s.get('GET', '/users', none).get('GET', '/users/x', none), /GET is declared twice/)
  fault((s) => s.get('get', '/x', none), /name has to be.*; route/)
})
