// The service "conformance" with the package for Node, under mailroom serve or on a socket of a gateway:
// mailroom conformance -- node examples/conformance/worker.mjs. Build the package first: npm ci && npm run build.
import { setTimeout as sleep } from 'node:timers/promises'
import { MailroomError, NoOutcome, serve, service } from '../../clients/node/dist/index.js'

const body = { type: 'object' }
const nap = { type: 'object', properties: { ms: { type: 'integer' }, extend: { type: 'integer' } }, required: ['ms'] }
const id = { id: { type: 'integer' } }
const tag = ['conformance:{0}']
const [lists, active, runs] = [new Map(), new Map(), new Map()]
const increase = (map, key, by) => map.set(key, (map.get(key) ?? 0) + by).get(key)

const it = service('conformance', { version: '1.0.0' })
it.post('ECHO', '/conformance/echo', { body }, (ctx, value) => value)
it.get('GET', '/conformance/:id', { params: id }, (ctx, id) => ({ id }))
it.post('FAIL', '/conformance/fail', { body }, (ctx, e) => new MailroomError(e.code, e.status, e.message, e.details))
it.post('SLEEP', '/conformance/sleep', { body: nap }, async (ctx, { ms, extend }) => {
  if (extend) ctx.extend(extend)
  await sleep(ms, undefined, { signal: ctx.signal })
  return { slept: ms }
})
it.post('BLOCK', '/conformance/block', { body: nap }, (ctx, { ms }) => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms) // on the thread of the event loop
  return { slept: ms }
})
it.post('PANIC', '/conformance/panic', { body: false }, () => {
  throw new Error('internal-text')
})
it.post('BIG', '/conformance/big', { body }, (ctx, { bytes }) => 'x'.repeat(bytes))
it.post('NOOUTCOME', '/conformance/nooutcome', { body }, (ctx, { times }) => {
  if (ctx.attempt <= times) throw NoOutcome('told to have none')
  return { attempt: ctx.attempt }
})
it.post('APPEND', '/conformance/:key/append', { body, lane: 'conformance:{0}' }, async (ctx, key, { value, ms = 0 }) => {
  const values = lists.get(key) ?? []
  lists.set(key, values)
  values.push(value)
  let overlap = increase(active, key, 1) > 1
  try {
    await sleep(ms, undefined, { signal: ctx.signal })
  } finally {
    overlap ||= active.get(key) > 1
    increase(active, key, -1)
  }
  return { values, overlap }
})
it.get('CACHED', '/conformance/:id/cached', { params: id, cache: { ttl: 30_000, tags: tag } }, (ctx, id) => ({ id, runs: increase(runs, id, 1) }))
it.post('TOUCH', '/conformance/:id/touch', { params: id, body: false, invalidates: tag }, (ctx, id) => ({ id }))
it.post('CALL', '/conformance/call', { body }, (ctx, { action, args }) => ctx.call('conformance', action, ...args))
it.post('REPORT', '/conformance/report', { body }, async (ctx, { values, ms = 0 }) => {
  for (const value of values) ctx.progress(value)
  await sleep(ms, undefined, { signal: ctx.signal })
  return { reported: values.length }
})

await serve(it)
