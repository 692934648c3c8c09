import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { connect, MailroomError } from '@oskadev/mailroom/client'
import { gateway } from './peers.mjs'

const quick = { backoff: { first: 1, longest: 5 } }

/** Connects a client to a fake gateway. */
async function connected(t, options = {}, settings = {}) {
  const peer = await gateway(t, settings)
  const client = connect(peer.url, { ...quick, ...options })
  t.after(() => client.close())
  return { peer, client, server: await peer.connection() }
}

const turn = () => new Promise(setImmediate)

test('authenticates, requests, and gets results and errors in any order', async (t) => {
  const { client, server } = await connected(t, { token: 'mk_1' }, { hello: { principal: 'key:1' } })
  assert.equal(server.protocol, 'mailroom.v1')
  assert.equal(server.auth, 'mk_1')
  assert.equal((await client.ready).principal, 'key:1')
  const one = client.request('users', 'GET_USER', 1)
  const two = client.service('users').request('UPDATE_USER', 1, { name: 'Oska' })
  const first = await server.next()
  const second = await server.next()
  assert.deepEqual(first, { id: first.id, service: 'users', request: 'GET_USER', args: [1], key: first.key })
  assert.deepEqual(second.args, [1, { name: 'Oska' }])
  assert.match(first.key, /^[0-9a-f]{32}\.\d+$/)
  assert.notEqual(first.key, second.key)
  server.send(
    { id: second.id, ok: false, error: { code: 'VOUCHER_USED', status: 409, message: 'used', details: { a: 1 } }, ticket: 'users.1', retry_after: 7 },
    { id: first.id, ok: true, result: { id: 1 } },
  )
  assert.deepEqual(await one, { id: 1 })
  await assert.rejects(two, (error) => {
    assert.ok(error instanceof MailroomError)
    const { code, status, message, details, ticket, retryAfter } = error
    assert.deepEqual([code, status, message, details, ticket, retryAfter], ['VOUCHER_USED', 409, 'used', { a: 1 }, 'users.1', 7])
    return true
  })
  assert.equal(client.unanswered, 0)

  const odd = client.request('users', 'ODD')
  server.send({ id: (await server.next()).id, ok: false, error: { code: 'not-ours' } })
  await assert.rejects(odd, { code: 'not-ours', status: 500, message: 'not-ours' })
})

test('options of a request', async (t) => {
  const { client, server } = await connected(t)
  assert.equal(server.auth, null)
  const values = []
  const options = { key: 'k', timeout: 5_000, version: 'v2', onProgress: (value) => values.push(value) }
  const answer = client.with({ version: 'v1' }).with(options).answer('users', 'UPDATE_USER', 1)
  const frame = await server.next()
  assert.deepEqual(frame, { id: frame.id, service: 'users', request: 'UPDATE_USER', args: [1], key: 'k', timeout: 5_000, version: 'v2', progress: true })
  const end = { id: frame.id, ok: true, result: 9007199254740991, status: 201, location: '/users/7', ticket: 'users.7' }
  server.send({ id: frame.id, progress: 1 }, { id: frame.id, progress: 2 }, end)
  assert.deepEqual(await answer, end)
  assert.deepEqual(values, [1, 2])

  const ticket = client.submit('users', 'CREATE_USER', {})
  const submitted = await server.next()
  assert.equal(submitted.async, true)
  server.send({ id: submitted.id, ok: true, ticket: 'users.8' })
  assert.equal(await ticket, 'users.8')
  const safe = client.submit('users', 'GET_USER', 1)
  server.send({ id: (await server.next()).id, ok: true, result: {} })
  await assert.rejects(safe, /the action is safe, and has no ticket/)

  const big = client.request('users', 'BIG', 12345678901234567890n)
  const { id } = await server.next()
  server.socket.send(`{"id":${id},"ok":true,"result":9007199254740993}`)
  assert.equal(await big, 9007199254740993n)
})

test('sends what is unanswered again after a new connection, under the same keys', async (t) => {
  const events = []
  const { peer, client, server } = await connected(t, { onDisconnect: (d) => events.push(d) })
  const answered = client.request('users', 'A')
  const { id } = await server.next()
  server.send({ id, ok: true, result: 'a' })
  assert.equal(await answered, 'a')
  const open = [client.request('users', 'B'), client.with({ key: 'mine' }).request('users', 'C')]
  const before = [await server.next(), await server.next()]
  server.socket.terminate()
  const again = await peer.connection()
  open.push(client.request('users', 'D'))
  const after = [await again.next(), await again.next()]
  assert.deepEqual(after, before)
  assert.equal(after[1].key, 'mine')
  for (const frame of [...after, await again.next()]) again.send({ id: frame.id, ok: true, result: frame.request })
  assert.deepEqual(await Promise.all(open), ['B', 'C', 'D'])
  assert.equal(events.length, 1)
  assert.equal(events[0].code, 1006)
})

for (const [code, reason] of [[1001, 'drain'], [1013, 'unavailable']]) test(`after ${reason} the client connects again when told`, async (t) => {
  const events = []
  const { peer, client, server } = await connected(t, { onDisconnect: (d) => events.push(d) })
  const open = client.request('users', 'A')
  await server.next()
  server.send({ bye: { reason, retry: 20 } })
  server.socket.close(code)
  const again = await peer.connection()
  const { id } = await again.next()
  again.send({ id, ok: true, result: 1 })
  assert.equal(await open, 1)
  assert.equal(events[0].reason, reason)
  assert.ok(events[0].retryIn >= 20 && events[0].retryIn <= 30)
})

for (const [close, reason, code, status] of [
  [4400, 'invalid', 'BAD_REQUEST', 400],
  [4401, 'unauthenticated', 'UNAUTHENTICATED', 401],
  [4403, 'forbidden', 'FORBIDDEN', 403],
  [1000, 'forbidden', 'FORBIDDEN', 403], // the reason counts, too
]) {
  test(`does not connect again after ${close} ${reason}`, async (t) => {
    const peer = await gateway(t, { auth: () => [close, reason, 'because'] })
    const disconnected = new Promise((resolve) => {
      const client = connect(peer.url, { ...quick, token: 'mk_bad', onDisconnect: resolve })
      t.after(() => client.close())
      peer.client = client
    })
    const early = peer.client.request('users', 'A')
    const want = { code, status, message: 'because' }
    await assert.rejects(early, want)
    await assert.rejects(peer.client.ready, want)
    assert.deepEqual(await disconnected, { code: close, reason: 'because', retryIn: undefined })
    await assert.rejects(peer.client.request('users', 'B'), want)
    await assert.rejects(peer.client.subscribe('user:1', { service: 'users' }, () => {}).ready, want)
    assert.equal(peer.count, 1)
  })
}

test('a token can be a function, called for each connection', async (t) => {
  let calls = 0
  const { peer, server } = await connected(t, { token: async () => {
    if (++calls === 2) throw new Error('no token now')
    return `t${calls}`
  } })
  assert.equal(server.auth, 't1')
  server.socket.terminate()
  assert.equal((await peer.connection()).auth, 't3')
})

test('a thousand requests at once, never more unanswered than the gateway allows', async (t) => {
  let unanswered = 0
  let most = 0
  const handle = (frame, connection) => {
    most = Math.max(most, ++unanswered)
    setImmediate(() => {
      unanswered--
      connection.send({ id: frame.id, ok: true, result: frame.args[0] })
    })
  }
  const { client } = await connected(t, {}, { hello: { inflight: 10 }, handle })
  const results = await Promise.all(Array.from({ length: 1_000 }, (_, i) => client.request('users', 'GET', i)))
  assert.deepEqual(results, Array.from({ length: 1_000 }, (_, i) => i))
  assert.equal(most, 10)
})

test('a thousand requests in flight', async (t) => {
  const { client, server } = await connected(t, {}, { hello: { inflight: 1_000 } })
  const open = Array.from({ length: 1_000 }, (_, i) => client.request('users', 'GET', i))
  const frames = []
  while (frames.length < 1_000) frames.push(await server.next())
  for (const frame of frames.reverse()) server.send({ id: frame.id, ok: true, result: frame.args[0] })
  assert.deepEqual(await Promise.all(open), Array.from({ length: 1_000 }, (_, i) => i))
})

test('a signal cancels', async (t) => {
  const { peer, client, server } = await connected(t, {}, { hello: { inflight: 1 } })
  const stop = new AbortController()
  const open = client.with({ signal: stop.signal }).request('users', 'A')
  const waiting = client.with({ signal: stop.signal }).request('users', 'B')
  const { id } = await server.next()
  stop.abort(new Error('no longer'))
  await assert.rejects(open, /no longer/)
  await assert.rejects(waiting, /no longer/)
  await assert.rejects(client.with({ signal: stop.signal }).request('users', 'C'), /no longer/)
  assert.deepEqual(await server.next(), { id, cancel: true })
  const next = client.request('users', 'D') // waits: the cancelled request has no answer yet
  server.send({ id, ok: false, error: { code: 'CONFLICT', status: 409, details: { state: 'cancelled' } } })
  const frame = await server.next()
  assert.equal(frame.request, 'D')

  // A cancelled request is not sent again.
  const later = new AbortController()
  server.send({ id: frame.id, ok: true })
  await next
  const lost = client.with({ signal: later.signal }).request('users', 'E')
  await server.next()
  later.abort()
  await assert.rejects(lost, { name: 'AbortError' })
  server.socket.terminate()
  const again = await peer.connection()
  const last = client.request('users', 'F')
  const sent = await again.next()
  assert.equal(sent.request, 'F')
  again.send({ id: sent.id, ok: true, result: 'f' })
  assert.equal(await last, 'f')
})

test('a signal cancels between two connections', async (t) => {
  const stop = new AbortController()
  const { peer, client, server } = await connected(t, { onDisconnect: () => stop.abort() })
  const open = client.with({ signal: stop.signal }).request('users', 'A')
  await server.next()
  server.socket.terminate()
  await assert.rejects(open, { name: 'AbortError' })
  const again = await peer.connection()
  const next = client.request('users', 'B')
  const { id, request } = await again.next()
  assert.equal(request, 'B')
  again.send({ id, ok: true, result: 'b' })
  assert.equal(await next, 'b')
  assert.equal(client.unanswered, 0)
})

test('a request without a connection ends at its timeout, others when patience ends', async (t) => {
  const client = connect('http://127.0.0.1:9', { patience: 30, backoff: { first: 5, longest: 5 } })
  t.after(() => client.close())
  await assert.rejects(client.with({ timeout: 5 }).request('users', 'A'), { code: 'TIMEOUT', message: 'no answer to users A within 5 ms' })
  await assert.rejects(client.request('users', 'B'), { code: 'UNAVAILABLE', message: 'no connection to the gateway for 30 ms' })
})

test('a request that is too large is not sent', async (t) => {
  const { client, server } = await connected(t, {}, { hello: { max: 1_000 } })
  await assert.rejects(client.request('users', 'A', 'é'.repeat(500)), { code: 'PAYLOAD_TOO_LARGE', status: 413 })
  const fits = client.request('users', 'A', 'x'.repeat(500))
  server.send({ id: (await server.next()).id, ok: true, result: 1 })
  assert.equal(await fits, 1)
})

test('close fails what is unanswered', async (t) => {
  const { client, server } = await connected(t)
  const open = client.request('users', 'A')
  await server.next()
  client.close()
  await assert.rejects(open, { code: 'UNAVAILABLE', message: 'the client was closed; the request may have run' })
  await assert.rejects(client.request('users', 'B'), { message: 'the client was closed' })
  assert.equal(await server.closed, 1000)
})

test('subscribes, and continues after a new connection', async (t) => {
  const { peer, client, server } = await connected(t)
  const seen = []
  const tag = client.subscribe('user:1', { service: 'users' }, (event) => seen.push(['one', event]))
  const same = client.subscribe('user:1', { service: 'users' }, (event) => seen.push(['two', event]))
  const ticket = client.subscribe('users.0190', (event) => seen.push(['ticket', event]))
  const frame = await server.next()
  assert.deepEqual(frame, { id: frame.id, subscribe: 'user:1', service: 'users' })
  const other = await server.next()
  assert.deepEqual(other, { id: other.id, subscribe: 'users.0190' })
  server.send({ id: frame.id, ok: true, at: '5', recovered: true }, { id: other.id, ok: true, recovered: true })
  await Promise.all([tag.ready, same.ready, ticket.ready])
  await client.subscribe('user:1', { service: 'users' }, () => {}).ready
  server.send({ event: 'user:1', service: 'users', at: '6' }, { event: 'user:1', service: 'items', at: '9' })
  server.send({ event: 'users.0190', data: { state: 'running' } }, { event: 'users.0190', progress: 3 })
  const probe = client.request('users', 'A')
  server.send({ id: (await server.next()).id, ok: true })
  await probe
  const event = { event: 'user:1', service: 'users', at: '6', recovered: true }
  assert.deepEqual(seen.splice(0), [
    ['one', event],
    ['two', event],
    ['ticket', { event: 'users.0190', data: { state: 'running' }, recovered: true }],
    ['ticket', { event: 'users.0190', progress: 3, recovered: true }],
  ])

  server.socket.terminate()
  const again = await peer.connection()
  const resumed = await again.next()
  assert.deepEqual(resumed, { id: resumed.id, subscribe: 'user:1', service: 'users', after: '6' })
  assert.deepEqual(await again.next().then(({ id, ...rest }) => rest), { subscribe: 'users.0190' })
  again.send({ id: resumed.id, ok: true, at: '8', recovered: false })
  while (seen.length < 2) await turn()
  assert.deepEqual(seen.splice(0)[0], ['one', { event: 'user:1', service: 'users', at: '8', recovered: false }])

  ticket.close()
  tag.close()
  same.close()
  same.close()
})

/** Subscribes, and cuts the connection. Returns the next one. */
async function resubscribing(t) {
  const { peer, client, server } = await connected(t)
  const seen = []
  const errors = []
  const options = { service: 'users', onError: (error) => errors.push(error.code) }
  const tag = client.subscribe('user:1', options, (event) => seen.push(event.at))
  server.send({ id: (await server.next()).id, ok: true, at: '4' })
  await tag.ready
  server.socket.terminate()
  return { peer, client, seen, errors, tag, server: await peer.connection() }
}

const refusal = (id, status) => ({ id, ok: false, error: { code: 'REFUSED', status }, retry_after: 1 })

test('tries a subscription again after a new connection', async (t) => {
  let { peer, client, seen, errors, server } = await resubscribing(t)
  for (const status of [503, 503, 503, 503, 504, 500, 429]) {
    const frame = await server.next()
    assert.equal(frame.after, '4')
    server.send(refusal(frame.id, status))
  }
  await server.next()
  server.socket.terminate() // it is subscribed once on the next connection
  server = await peer.connection()
  server.send({ id: (await server.next()).id, ok: true, at: '4', recovered: true }, { event: 'user:1', service: 'users', at: '5' })
  const probe = client.request('users', 'A')
  const frame = await server.next()
  assert.equal(frame.request, 'A')
  server.send({ id: frame.id, ok: true })
  await probe
  assert.deepEqual([seen, errors], [['5'], []])
})

test('ends a subscription by an error that stays', async (t) => {
  for (const status of [400, 401, 403, 404]) {
    const { client, server, errors } = await resubscribing(t)
    server.send(refusal((await server.next()).id, status))
    const probe = client.request('users', 'A')
    server.send({ id: (await server.next()).id, ok: true })
    await probe
    assert.deepEqual(errors, ['REFUSED'])
  }
})

test('sends a request again after a 503, under the same key', async (t) => {
  const { peer, client, server } = await connected(t, { retries: 1 })
  const busy = { ok: false, error: { code: 'UNAVAILABLE', status: 503, message: 'busy' }, retry_after: 1 }
  const open = client.request('users', 'A')
  const first = await server.next()
  server.send({ id: first.id, ...busy })
  assert.deepEqual(await server.next(), first)
  server.send({ id: first.id, ...busy })
  await assert.rejects(open, { code: 'UNAVAILABLE', message: 'busy' })

  // One that waits for its next attempt goes on a new connection at once, and once.
  const waits = client.with({ retries: 5 }).request('users', 'B')
  const second = await server.next()
  server.send({ id: second.id, ...busy, retry_after: 60_000 })
  const probe = client.request('users', 'C')
  server.send({ id: (await server.next()).id, ok: true })
  await probe
  server.socket.terminate()
  const again = await peer.connection()
  assert.deepEqual(await again.next(), second)
  again.send({ id: second.id, ok: true, result: 1 })
  assert.equal(await waits, 1)
})

test('the subscription to a ticket ends with its request', async (t) => {
  const { peer, client, server } = await connected(t)
  const seen = []
  const ticket = client.subscribe('users.0190', (event) => seen.push(event.data.state))
  server.send({ id: (await server.next()).id, ok: true, recovered: true }, { event: 'users.0190', data: { state: 'done' } })
  while (seen.length === 0) await turn()
  ticket.close()
  server.socket.terminate()
  const again = await peer.connection()
  client.request('users', 'A').catch(() => {})
  assert.equal((await again.next()).request, 'A')
  assert.deepEqual(seen, ['done'])
})

test('pauses grow while the client is too much for the gateway', async (t) => {
  const pauses = []
  const { peer, server } = await connected(t, { backoff: { first: 4, longest: 1_000 }, onDisconnect: (d) => pauses.push(d.retryIn) })
  let next = server
  for (const [code, reason] of [[4408, 'slow'], [4409, 'flood'], [4409, 'flood'], [1006, undefined]]) {
    if (reason) next.send({ bye: { reason } })
    next.socket[reason ? 'close' : 'terminate'](code)
    next = await peer.connection()
  }
  const limits = [4, 8, 16, 4]
  pauses.forEach((pause, i) => assert.ok(pause >= limits[i] / 2 && pause <= limits[i], `${pauses}`))
})

test('unsubscribes when no listener is left', async (t) => {
  const { client, server } = await connected(t)
  const one = client.subscribe('a', { service: 'users' }, () => {})
  const { id } = await server.next()
  server.send({ id, ok: true, at: '1', recovered: true })
  await one.ready
  one.close()
  assert.deepEqual(await server.next(), { id, unsubscribe: true })
  const early = client.subscribe('a', { service: 'users' }, () => {})
  const second = await server.next()
  early.close()
  server.send({ id: second.id, ok: true, at: '1', recovered: true })
  assert.deepEqual(await server.next(), { id: second.id, unsubscribe: true })
})

test('a refused subscription says so', async (t) => {
  const { client, server } = await connected(t)
  const errors = []
  const refused = client.subscribe('a', { service: 'users', onError: (e) => errors.push(e.code) }, () => {})
  server.send({ id: (await server.next()).id, ok: false, error: { code: 'FORBIDDEN', status: 403, message: 'scope' } })
  await assert.rejects(refused.ready, { code: 'FORBIDDEN' })
  assert.deepEqual(errors, ['FORBIDDEN'])
})

test('the client for browsers needs no module of Node', () => {
  const dist = join(import.meta.dirname, '../dist')
  const seen = new Set()
  const visit = (file) => {
    if (seen.has(file)) return
    seen.add(file)
    for (const [, name] of readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?['"]([^'"]+)['"]/g)) {
      assert.match(name, /^\.\//, `${file} imports ${name}`)
      visit(join(dirname(file), name))
    }
  }
  visit(join(dist, 'client.js'))
  assert.ok(seen.size >= 5)
})

test('the client for browsers works with a global WebSocket', async (t) => {
  const { WebSocket } = await import('ws')
  const before = globalThis.WebSocket
  globalThis.WebSocket = WebSocket
  t.after(() => (globalThis.WebSocket = before))
  const browser = await import('../dist/client.js')
  const peer = await gateway(t)
  const client = browser.connect(peer.url)
  t.after(() => client.close())
  const server = await peer.connection()
  const answer = client.request('users', 'A')
  server.send({ id: (await server.next()).id, ok: true, result: 1 })
  assert.equal(await answer, 1)
})
