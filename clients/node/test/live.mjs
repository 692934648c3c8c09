// A client of a gateway that stops in between: clients/live_test.go starts it.
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, MailroomError } from '@oskadev/mailroom'

const client = connect(process.env.MAILROOM_URL)
const live = client.service('live')
const hello = await client.ready

/** Repeats a call while its service is not there. */
async function eventually(call) {
  for (;;) {
    try {
      return await call()
    } catch (error) {
      if (!(error instanceof MailroomError && [404, 503].includes(error.status))) throw error
      await sleep(20)
    }
  }
}

assert.equal(await eventually(() => live.request('GET', 1)), 1)

const event = new Promise((resolve, reject) => {
  client.subscribe('item:1', { service: 'live', onError: reject }, resolve).ready.then(() => live.request('TOUCH', 1)).catch(reject)
})
assert.equal((await event).recovered, true)

const abort = new AbortController()
const held = client.with({ signal: abort.signal, onProgress: () => abort.abort(new Error('enough')) }).request('live', 'HOLD')
await assert.rejects(held, /enough/)

const ticket = await client.submit('live', 'TOUCH', 7)
const last = await new Promise((resolve, reject) => {
  client.subscribe(ticket, { onError: reject }, ({ data }) => data?.state === 'done' && resolve(data))
})
assert.equal(last.outcome.result, 7)
await assert.rejects(client.submit('live', 'GET', 1), /is safe, and has no ticket/)

const ids = Array.from({ length: 3 * hello.inflight }, (_, n) => n)
assert.deepEqual(await Promise.all(ids.map((id) => live.request('GET', id))), ids)
await eventually(() => client.request('conformance', 'ECHO', { a: 1 }))

const counted = Array.from({ length: 20 }, (_, n) => live.request('COUNT', { key: `${n}` }))
await live.request('GET', 5000) // the others are sent
console.log('drain')
assert.deepEqual(await Promise.all(counted), Array(20).fill(1))
assert.deepEqual(await eventually(() => client.request('conformance', 'ECHO', { a: 2 })), { a: 2 })
client.close()
