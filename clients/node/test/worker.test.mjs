import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Conflict, MailroomError, NoOutcome, NotFound, serve, service } from '@oskadev/mailroom'
import { host, run } from './peers.mjs'

/** Serves a service on a fake host; the serve frame has been read. */
async function serving(t, users, options = {}) {
  const peer = await host(t)
  const logged = []
  const done = serve(users, { socket: peer.path, signals: false, log: (...entry) => logged.push(entry), ...options })
  done.catch(() => {})
  t.after(() => done.catch(() => {}))
  const first = await peer.next()
  return { peer, done, first, logged }
}

const id = '01900000-0000-7000-8000-000000000001'

test('the first frame is serve with the manifest', async (t) => {
  const users = service('users', { version: '1.4.0' }).get('GET_USER', '/users/:id', () => null)
  const { first } = await serving(t, users, { concurrency: 3 })
  assert.equal(first.concurrency, 3)
  assert.deepEqual(first.serve, {
    service: 'users',
    version: '1.4.0',
    protocol: 1,
    actions: [
      {
        name: 'GET_USER',
        routes: ['GET /users/:id'],
        safe: true,
        timeout_ms: 10_000,
        args: [{ name: 'id', in: 'path', schema: { type: 'string' } }],
      },
    ],
  })
})

test('every final frame', async (t) => {
  const users = service('users')
  users.action('VALUE', { args: [{}] }, (ctx, value) => value)
  users.action('LATER', async () => ({ name: 'Oska' }))
  users.action('NOTHING', () => {})
  users.action('CREATED', (ctx) => {
    ctx.status(201)
    ctx.location('/users/7')
    ctx.invalidate('user:7')
    ctx.invalidate('users', 'all')
    return 7
  })
  users.action('NO', (ctx) => {
    ctx.invalidate('users')
    throw new MailroomError('VOUCHER_USED', 409, 'used', { voucher: 'X' })
  })
  users.action('RETURNED', async () => NotFound('no user 1'))
  users.action('OWN', () => {
    throw new TypeError('secret')
  })
  users.action('RETRY', async () => {
    throw NoOutcome(new Error('the database is away'))
  })
  users.action('CYCLE', () => {
    const cycle = {}
    return (cycle.cycle = cycle)
  })
  users.action('BIG', () => 'x'.repeat(6 << 20))
  const { peer, logged } = await serving(t, users)
  const answer = async (action, args) => {
    peer.send(run('r"1', action, args))
    const { run: name, ...rest } = await peer.next()
    assert.equal(name, 'r"1')
    return rest
  }
  const internal = { ok: false, error: { code: 'INTERNAL', status: 500, message: 'internal error' } }
  assert.deepEqual(await answer('VALUE', [{ a: ['ü', null] }]), { ok: true, result: { a: ['ü', null] } })
  assert.deepEqual(await answer('LATER'), { ok: true, result: { name: 'Oska' } })
  assert.deepEqual(await answer('NOTHING'), { ok: true, result: null })
  assert.deepEqual(await answer('CREATED'), { ok: true, result: 7, status: 201, location: '/users/7', invalidate: ['user:7', 'users', 'all'] })
  assert.deepEqual(await answer('NO'), {
    ok: false,
    error: { code: 'VOUCHER_USED', status: 409, message: 'used', details: { voucher: 'X' } },
    invalidate: ['users'],
  })
  assert.deepEqual(await answer('RETURNED'), { ok: false, error: { code: 'NOT_FOUND', status: 404, message: 'no user 1' } })
  assert.deepEqual(await answer('RETRY'), { retry: true, reason: 'the database is away' })
  assert.equal(logged.length, 0)
  assert.deepEqual(await answer('OWN'), internal)
  assert.match(logged[0][0], new RegExp(`OWN failed, request ${id}, attempt 1`))
  assert.equal(logged[0][1].message, 'secret')
  assert.deepEqual(await answer('CYCLE'), internal)
  assert.deepEqual(await answer('BIG'), internal)
  assert.match(logged[2][1].message, /more than the 5242880 bytes/)
  assert.equal((await answer('UNKNOWN')).error.code, 'NOT_SUPPORTED')
})

test('a handler gets what the frame says', async (t) => {
  const users = service('users')
  users.action('SEEN', (ctx) => [
    ctx.action, ctx.id, ctx.attempt, ctx.requestId, ctx.principal, ctx.version, ctx.traceparent,
    ctx.remaining > 4_000 && ctx.remaining <= 5_000, Math.abs(ctx.deadline - Date.now() - 5_000) < 1_000,
  ])
  const { peer } = await serving(t, users)
  const principal = { subject: 'key:1', scopes: ['a'] }
  peer.send(run('1', 'SEEN', [], { deadline: 5_000, attempt: 2, request_id: 'r', principal, version: 'v2', traceparent: '00-1' }))
  assert.deepEqual((await peer.next()).result, ['SEEN', id, 2, 'r', principal, 'v2', '00-1', true, true])
})

test('lines arrive in any pieces', async (t) => {
  const users = service('users').action('VALUE', { args: [{}] }, (ctx, value) => value)
  const { peer } = await serving(t, users)
  const value = 'Grüße, 世界 😀'
  const bytes = Buffer.from(JSON.stringify(run('1', 'VALUE', [value])) + '\n')
  for (const byte of bytes) {
    peer.write(Buffer.of(byte))
    await new Promise(setImmediate)
  }
  assert.equal((await peer.next()).result, value)

  // The end of one line, a whole one, an empty one, and the start of another in one chunk.
  const text = Buffer.from([1, 2, 3].map((n) => JSON.stringify(run(`${n}`, 'VALUE', [value + n])) + '\n').join('\n'))
  peer.write(text.subarray(0, 150))
  await new Promise(setImmediate)
  peer.write(text.subarray(150, text.length - 20))
  await new Promise(setImmediate)
  peer.write(text.subarray(text.length - 20))
  for (const n of [1, 2, 3]) assert.deepEqual(await peer.next(), { run: `${n}`, ok: true, result: value + n })

  const large = 'é'.repeat(2 << 20)
  peer.send(run('4', 'VALUE', [large]))
  assert.equal((await peer.next()).result, large)
})

test('what is no frame is ignored', async (t) => {
  const users = service('users').action('ONE', () => 1)
  const { peer } = await serving(t, users)
  peer.write('hello\nnull\n[]\n7\n{"later":1}\n{"lost":"9","reason":"taken"}\n{"call":"c9","ok":true}\n')
  peer.send(run('1', 'ONE', [], { unknown: true }))
  assert.equal((await peer.next()).result, 1)
})

test('the answers of one turn are one write', async (t) => {
  const users = service('users').action('ONE', () => 1).action('LATER', async () => 1)
  const { peer } = await serving(t, users)
  const before = peer.chunks
  peer.send(...Array.from({ length: 100 }, (_, i) => run(`${i}`, i % 2 ? 'ONE' : 'LATER')))
  const names = new Set()
  for (let i = 0; i < 100; i++) names.add((await peer.next()).run)
  assert.equal(names.size, 100)
  assert.ok(peer.chunks - before <= 2, `${peer.chunks - before} writes`)
})

test('a thousand runs at once', async (t) => {
  let waiting = 0
  let open
  const all = new Promise((resolve) => (open = resolve))
  const users = service('users').action('WAIT', () => {
    if (++waiting === 1_000) open()
    return all
  })
  const { peer } = await serving(t, users)
  peer.send(...Array.from({ length: 1_000 }, (_, i) => run(`${i}`, 'WAIT')))
  const names = new Set()
  for (let i = 0; i < 1_000; i++) names.add((await peer.next()).run)
  assert.equal(names.size, 1_000)
})

test('a lost run stops, or answers nevertheless', async (t) => {
  const users = service('users')
  const started = []
  const waiting = (ctx) => new Promise((_, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason)))
  users.action('STOPS', (ctx) => waiting(ctx))
  users.action('OWN_ABORT', async (ctx) => {
    const { setTimeout } = await import('node:timers/promises')
    started.push(1)
    await setTimeout(60_000, undefined, { signal: ctx.signal })
  })
  users.action('ANSWERS', (ctx) => waiting(ctx).catch((reason) => `${reason.name} ${reason.reason}`))
  users.action('LATE_SIGNAL', async (ctx) => {
    await waiting(ctx).catch(() => {})
    ctx.signal.throwIfAborted()
  })
  users.action('ABORTS_ITSELF', async () => AbortSignal.abort().throwIfAborted())
  const { peer } = await serving(t, users)
  for (const action of ['STOPS', 'OWN_ABORT', 'LATE_SIGNAL']) {
    peer.send(run(action, action))
    while (action === 'OWN_ABORT' && started.length === 0) await new Promise(setImmediate)
    peer.send({ lost: action, reason: 'deadline' })
    assert.deepEqual(await peer.next(), { run: action, stopped: true })
  }
  peer.send(run('2', 'ANSWERS'), { lost: '2', reason: 'cancelled' })
  assert.deepEqual(await peer.next(), { run: '2', ok: true, result: 'AbortError cancelled' })
  peer.send(run('3', 'ABORTS_ITSELF')) // not lost: an ordinary exception
  assert.equal((await peer.next()).error.code, 'INTERNAL')
})

test('a run that was lost before its signal was read is aborted', async (t) => {
  let go
  const users = service('users').action('WAIT', async (ctx) => {
    await new Promise((resolve) => (go = resolve))
    return [ctx.signal.aborted, ctx.signal.reason.reason]
  })
  const { peer } = await serving(t, users)
  peer.send(run('1', 'WAIT'), { lost: '1', reason: 'taken' })
  while (!go) await new Promise(setImmediate)
  await new Promise(setImmediate)
  go()
  assert.deepEqual((await peer.next()).result, [true, 'taken'])
})

test('progress and extend', async (t) => {
  let kept
  const users = service('users').action('WORK', async (ctx) => {
    kept = ctx
    ctx.progress({ done: 1 })
    ctx.extend(5_000)
    await null
    ctx.progress()
    assert.throws(() => ctx.extend(-1), /positive whole number/)
    assert.throws(() => ctx.status(404), /throw an error to fail/)
    return 'end'
  }).action('ONE', () => 1)
  const { peer } = await serving(t, users)
  peer.send(run('1', 'WORK'))
  assert.deepEqual(await peer.next(), { run: '1', progress: { done: 1 } })
  assert.deepEqual(await peer.next(), { run: '1', extend: 5_000 })
  assert.deepEqual(await peer.next(), { run: '1', progress: null })
  assert.deepEqual(await peer.next(), { run: '1', ok: true, result: 'end' })
  kept.progress('after the end')
  peer.send(run('2', 'ONE'))
  assert.equal((await peer.next()).run, '2')
})

test('a handler calls other services', async (t) => {
  const users = service('users')
  users.action('CALLS', async (ctx) => Promise.all([ctx.call('items', 'GET_ITEM', 1), ctx.call('items', 'GET_ITEM', 2)]))
  users.action('FAILS', (ctx) => ctx.call('items', 'GET_ITEM', 3))
  users.action('HANDLES', (ctx) => ctx.call('items', 'GET_ITEM', 3).catch((e) => [e instanceof MailroomError, e.code]))
  users.action('LOST', (ctx) => ctx.call('items', 'GET_ITEM', 4))
  const { peer } = await serving(t, users)
  peer.send(run('1', 'CALLS'))
  const one = await peer.next()
  const two = await peer.next()
  assert.deepEqual(one, { call: one.call, run: '1', service: 'items', request: 'GET_ITEM', args: [1] })
  assert.notEqual(one.call, two.call)
  peer.send({ call: two.call, ok: true, result: 'b' }, { call: one.call, ok: true, result: 'a' })
  assert.deepEqual((await peer.next()).result, ['a', 'b'])

  const error = { code: 'ITEM_GONE', status: 410, message: 'gone', details: { id: 3 }, service: 'items', action: 'GET_ITEM' }
  for (const [action, want] of [['FAILS', { ok: false, error }], ['HANDLES', { ok: true, result: [true, 'ITEM_GONE'] }]]) {
    peer.send(run('2', action))
    const { call } = await peer.next()
    peer.send({ call, ok: false, error })
    assert.deepEqual(await peer.next(), { run: '2', ...want })
  }
  peer.send(run('3', 'LOST'))
  await peer.next()
  peer.send({ lost: '3', reason: 'deadline' })
  assert.deepEqual(await peer.next(), { run: '3', stopped: true })
})

test('no more calls are unanswered than allowed', async (t) => {
  const users = service('users')
  users.action('CALLS', async (ctx) => (await Promise.all(Array.from({ length: 200 }, (_, n) => ctx.call('items', 'GET', n)))).length)
  users.action('ONE', () => 1)
  for (const [concurrency, most] of [[undefined, 64], [20, 80]]) {
    const { peer } = await serving(t, users, { concurrency })
    peer.send(run('1', 'CALLS'))
    const calls = []
    while (calls.length < most) calls.push((await peer.next()).call)
    peer.send(run('2', 'ONE'))
    assert.equal((await peer.next()).run, '2') // no call is sent before it
    for (let n = 0; n < 200; n++) {
      peer.send({ call: calls[n], ok: true, result: n })
      if (calls.length < 200) calls.push((await peer.next()).call)
    }
    assert.deepEqual(await peer.next(), { run: '1', ok: true, result: 200 })
  }
})

test('integers beyond 2^53 keep their digits', async (t) => {
  const users = service('users').action('VALUE', { args: [{}] }, (ctx, value) => ({ value, type: typeof value }))
  const { peer } = await serving(t, users)
  peer.raw = true
  const args = '[9007199254740993]'
  peer.write(JSON.stringify(run('1', 'VALUE', [])).replace('"args":[]', `"args":${args}`) + '\n')
  assert.equal(await peer.next(), '{"run":"1","ok":true,"result":{"value":9007199254740993,"type":"bigint"}}')
})

test('a drain of Mailroom lets the runs end', async (t) => {
  let go
  const users = service('users').action('WAIT', () => new Promise((resolve) => (go = resolve)))
  const { peer, done } = await serving(t, users)
  peer.send(run('1', 'WAIT'), { drain: true })
  while (!go) await new Promise(setImmediate)
  go('end')
  assert.equal((await peer.next()).result, 'end')
  peer.end()
  await done
})

test('a signal lets the runs end, then the connection', async (t) => {
  let go
  const stop = new AbortController()
  const users = service('users').action('WAIT', () => new Promise((resolve) => (go = resolve))).action('ONE', () => 1)
  const { peer, done } = await serving(t, users, { signal: stop.signal })
  peer.send(run('1', 'WAIT'))
  while (!go) await new Promise(setImmediate)
  stop.abort()
  assert.deepEqual(await peer.next(), { drain: true })
  peer.send(run('2', 'ONE'), { drain: true }) // was on its way
  assert.equal((await peer.next()).run, '2')
  go('end')
  assert.equal((await peer.next()).result, 'end')
  await peer.closed
  await done
})

test('a drain waits for the answer of Mailroom', async (t) => {
  let go
  const stop = new AbortController()
  const users = service('users').action('WAIT', () => new Promise((resolve) => (go = resolve))).action('ONE', () => 1)
  const { peer, done } = await serving(t, users, { signal: stop.signal })
  peer.send(run('1', 'WAIT'))
  while (!go) await new Promise(setImmediate)
  stop.abort()
  assert.deepEqual(await peer.next(), { drain: true })
  go('end')
  assert.equal((await peer.next()).result, 'end')
  peer.send(run('2', 'ONE')) // was on its way
  assert.equal((await peer.next()).result, 1)
  peer.send({ drain: true })
  await done
})

test('the drain ends at its limit', async (t) => {
  const stop = new AbortController()
  let signal
  const users = service('users').action('WAIT', (ctx) => new Promise(() => (signal = ctx.signal)))
  const { peer, done } = await serving(t, users, { signal: stop.signal, drain: 20 })
  peer.send(run('1', 'WAIT'))
  while (!signal) await new Promise(setImmediate)
  stop.abort()
  await done
  assert.equal(signal.reason.reason, 'disconnected')
})

test('the end of the connection is an error', async (t) => {
  const users = service('users').action('ONE', () => 1)
  const { peer, done } = await serving(t, users)
  peer.end()
  await assert.rejects(done, /connection to .* ended: closed by mailroom serve/)
})

test('a refusal says why', async (t) => {
  const users = service('users').action('ONE', () => Conflict())
  const { peer, done } = await serving(t, users)
  peer.send({ bye: { reason: 'invalid', message: 'action ONE has no name' } })
  peer.end()
  await assert.rejects(done, /refused to serve users \(invalid\): action ONE has no name/)
})

test('without a host, the error says what to do', async (t) => {
  const users = service('users')
  await assert.rejects(serve(users), /mailroom serve -- node.*MAILROOM_URL.*MAILROOM_TOKEN.*serve:users/)
  await assert.rejects(serve(users, { socket: '/nowhere/s' }), /ENOENT.*\/nowhere\/s/)
  await assert.rejects(serve(users, { socket: '/nowhere/s', concurrency: 0 }), /concurrency 0: want/)
  await assert.rejects(serve(users, { url: 'redis://x' }), /redis:\/\/x: want http/)
})
