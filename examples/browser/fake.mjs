// A gateway for the test: echo, with its cache tags. Each line on stdin makes echo:1 stale.
import { createInterface } from 'node:readline'
import { gateway } from '../../clients/node/test/peers.mjs'

let runs = 1
const subscribed = new Set()
const touch = () => {
  runs++
  for (const connection of subscribed) connection.send({ event: 'echo:1', service: 'echo', at: String(runs) })
}
const results = {
  GET_ECHO: (id) => ({ id, name: 'Oska', email: 'oska@example.com' }),
  CACHED: (id) => ({ id, runs }),
  TOUCH: (id) => (touch(), { id }),
}
const { url } = await gateway({ after: () => {} }, {
  handle({ id, request, args, subscribe }, connection) {
    if (subscribe) subscribed.add(connection)
    connection.send(subscribe ? { id, ok: true, at: String(runs) } : { id, ok: true, result: results[request](...args) })
  },
})
console.log(url)
createInterface({ input: process.stdin }).on('line', touch).on('close', () => process.exit())
