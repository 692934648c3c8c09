import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { serve, service } from '@oskadev/mailroom'
import { socketURL } from '../dist/connection.js'
import { gateway, host, run } from './peers.mjs'

function serving(t, peer, users, options = {}) {
  const logged = []
  const stop = new AbortController()
  const done = serve(users, {
    url: peer.url, token: 'mk_1', signals: false, signal: stop.signal, log: (text) => logged.push(text), backoff: { first: 1, longest: 5 }, ...options,
  })
  done.catch(() => {})
  t.after(() => stop.abort())
  return { done, stop, logged }
}

test('serves on a WebSocket, and again after a new connection', async (t) => {
  let release
  const signals = []
  const users = service('users').action('VALUE', { args: [{}] }, (ctx, value) => value).action('WAIT', (ctx) => {
    signals.push(ctx.signal)
    return new Promise((resolve) => (release = resolve))
  })
  const peer = await gateway(t)
  const names = []
  const { logged } = serving(t, peer, users, { onServing: (name) => names.push(name) })
  const one = await peer.connection()
  assert.equal(one.auth, 'mk_1')
  assert.equal((await one.next()).serve.service, 'users')
  one.send({ serving: 'users', worker: 'users.1' }, run('1', 'VALUE', ['a']), run('2', 'WAIT'))
  assert.deepEqual(await one.next(), { run: '1', ok: true, result: 'a' })
  while (!release) await new Promise(setImmediate)
  one.socket.terminate()
  const two = await peer.connection()
  assert.equal((await two.next()).serve.service, 'users')
  assert.equal(signals[0].reason.reason, 'disconnected')
  release('of the old connection')
  two.send(run('2', 'VALUE', ['b']))
  assert.deepEqual(await two.next(), { run: '2', ok: true, result: 'b' })
  assert.match(logged[0], /users: .*; connecting again in \d+ ms/)
  assert.deepEqual(names, ['users.1'])
})

test('a drained gateway closes, and the worker connects again', async (t) => {
  const peer = await gateway(t)
  serving(t, peer, service('users').action('ONE', () => 1))
  const one = await peer.connection()
  await one.next()
  one.send({ drain: true }, { bye: { reason: 'drain', retry: 1 } })
  one.socket.close(1001)
  const two = await peer.connection()
  assert.equal((await two.next()).serve.service, 'users')
})

test('a refusal ends it', async (t) => {
  const users = service('users').action('ONE', () => 1)
  const refused = await gateway(t, { auth: () => [4401, 'unauthenticated', 'no such key'] })
  await assert.rejects(serving(t, refused, users).done, /cannot serve users on ws:.* \(UNAUTHENTICATED\): no such key/)
  assert.equal(refused.count, 1)

  const peer = await gateway(t)
  const { done } = serving(t, peer, users)
  const one = await peer.connection()
  await one.next()
  one.send({ bye: { reason: 'forbidden', message: 'the key lacks the scope serve:users' } })
  one.socket.close(4403)
  await assert.rejects(done, /\(FORBIDDEN\): the key lacks the scope serve:users/)
})

test('a result that is larger than a message is a failure', async (t) => {
  const peer = await gateway(t, { hello: { max: 1_000 } })
  const users = service('users').action('BIG', () => 'é'.repeat(500)).action('CALL', (ctx) => ctx.call('a', 'B', 'é'.repeat(500)))
  serving(t, peer, users)
  const one = await peer.connection()
  await one.next()
  one.send(run('1', 'BIG'), run('2', 'CALL'))
  assert.equal((await one.next()).error.code, 'INTERNAL')
  assert.equal((await one.next()).error.code, 'PAYLOAD_TOO_LARGE')
})

test('a signal lets the runs end, then the connection', async (t) => {
  let release
  const users = service('users').action('WAIT', () => new Promise((resolve) => (release = resolve)))
  const peer = await gateway(t)
  const { done, stop } = serving(t, peer, users)
  const one = await peer.connection()
  await one.next()
  one.send(run('1', 'WAIT'))
  while (!release) await new Promise(setImmediate)
  stop.abort()
  assert.deepEqual(await one.next(), { drain: true })
  one.send({ drain: true })
  release('end')
  assert.equal((await one.next()).result, 'end')
  await done
  assert.equal(await one.closed, 1000)
  assert.equal(peer.count, 1)
})

test('a signal while there is no connection ends it', async (t) => {
  const { done, stop } = serving(t, { url: 'http://127.0.0.1:9' }, service('users'))
  stop.abort()
  await done
})

for (const signal of ['SIGTERM', 'SIGINT']) {
  test(`${signal} lets the runs end, and the process exits with 0`, async (t) => {
    const peer = await host(t)
    const program = `
      import { serve, service } from '@oskadev/mailroom'
      const users = service('users').action('WAIT', (ctx) => new Promise((resolve) => process.once('${signal}', () => setTimeout(resolve, 5, 'end'))))
      await serve(users)`
    const env = { ...process.env, MAILROOM_SOCKET: peer.path, MAILROOM_URL: 'http://127.0.0.1:9' }
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { env, stdio: 'inherit', cwd: import.meta.dirname })
    t.after(() => child.kill('SIGKILL'))
    await peer.next()
    peer.send(run('1', 'WAIT'), run('2', 'NONE'))
    await peer.next() // of the run that came second: the first one has begun
    child.kill(signal)
    assert.deepEqual(await peer.next(), { drain: true })
    peer.send({ drain: true })
    assert.equal((await peer.next()).result, 'end')
    assert.deepEqual(await once(child, 'exit'), [0, null])
  })
}

test('addresses of a gateway', () => {
  assert.equal(socketURL('http://127.0.0.1:8080'), 'ws://127.0.0.1:8080/socket')
  assert.equal(socketURL('https://a.example/api/'), 'wss://a.example/api/socket')
  assert.equal(socketURL('wss://a.example/socket#x'), 'wss://a.example/socket')
  assert.throws(() => socketURL('127.0.0.1:8080'), /no URL of a gateway|want http/)
  assert.throws(() => socketURL('nonsense'), /"nonsense" is no URL of a gateway, such as/)
})
