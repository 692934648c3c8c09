// The other side of the tests: a host as `mailroom serve` is, and a gateway.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocketServer } from 'ws'

/** A queue with an asynchronous end. */
class Queue {
  #values = []
  #readers = []
  push(value) {
    const reader = this.#readers.shift()
    if (reader) reader(value)
    else this.#values.push(value)
  }
  next() {
    if (this.#values.length > 0) return Promise.resolve(this.#values.shift())
    return new Promise((resolve) => this.#readers.push(resolve))
  }
  get length() {
    return this.#values.length
  }
}

export const run = (run, action, args = [], more = {}) => ({
  run, action, args, deadline: 10_000, attempt: 1, id: '01900000-0000-7000-8000-000000000001', ...more,
})

/** Listens on a unix socket and speaks lines with the one worker that connects. */
export async function host(t) {
  const dir = mkdtempSync(join(tmpdir(), 'mailroom-'))
  const path = join(dir, 's')
  const frames = new Queue()
  const connections = new Queue()
  let socket
  const it = {
    path,
    frames,
    chunks: 0,
    write: (data) => socket.write(data),
    send: (...list) => socket.write(list.map((frame) => JSON.stringify(frame) + '\n').join('')),
    next: () => frames.next(),
    connected: () => connections.next(),
    end: () => socket.end(),
    closed: undefined,
  }
  const server = createServer((connection) => {
    socket = connection
    socket.setEncoding('utf8')
    it.closed = once(socket, 'close')
    let rest = ''
    socket.on('data', (text) => {
      it.chunks++
      const lines = (rest + text).split('\n')
      rest = lines.pop()
      for (const line of lines) frames.push(it.raw ? line : JSON.parse(line))
    })
    socket.on('error', () => {})
    connections.push(socket)
  })
  server.listen(path)
  await once(server, 'listening')
  t.after(() => {
    socket?.destroy()
    server.close()
    rmSync(dir, { recursive: true, force: true })
  })
  return it
}

/** Accepts WebSockets. Each is authenticated; then its frames are handled or queued. */
export async function gateway(t, { hello = {}, auth = () => undefined, handle } = {}) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', path: '/socket' })
  await once(server, 'listening')
  const connections = new Queue()
  const it = {
    url: `http://127.0.0.1:${server.address().port}`,
    server,
    /** Resolves with the next connection after its hello. */
    connection: () => connections.next(),
    count: 0,
  }
  server.on('connection', (socket, request) => {
    it.count++
    const frames = new Queue()
    const connection = {
      socket,
      protocol: socket.protocol,
      request,
      frames,
      next: () => frames.next(),
      send: (...list) => list.forEach((frame) => socket.send(JSON.stringify(frame))),
      closed: once(socket, 'close').then(([code]) => code),
    }
    socket.once('message', (data) => {
      connection.auth = JSON.parse(data).auth
      const refused = auth(connection.auth, it.count)
      if (refused) {
        connection.send({ bye: { reason: refused[1], message: refused[2] } })
        return socket.close(refused[0])
      }
      socket.on('message', (text) => {
        const frame = JSON.parse(text)
        if (handle) handle(frame, connection)
        else frames.push(frame)
      })
      connection.send({ hello: { session: 's', ping: 25_000, inflight: 64, max: 1 << 20, ...hello } })
      connections.push(connection)
    })
  })
  t.after(() => {
    for (const client of server.clients) client.terminate()
    server.close()
  })
  return it
}
