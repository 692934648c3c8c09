import { WebSocket } from 'ws'
import type { Open } from './connection.js'

/** Opens a WebSocket in Node. All messages of one turn of the event loop are one write. */
export const openWebSocket: Open = (url, protocol, events) => {
  const socket = new WebSocket(url, protocol, { perMessageDeflate: false, handshakeTimeout: 10_000 })
  let corked = false
  let failure = ''
  // The gateway pings. Without a ping or a message for long, the connection is dead.
  let heard = true
  const watchdog = setInterval(() => {
    if (!heard) socket.terminate()
    heard = false
  }, 60_000).unref()
  socket.on('open', () => events.open())
  socket.on('ping', () => (heard = true))
  socket.on('message', (data: Buffer) => {
    heard = true
    events.message(data.toString())
  })
  socket.on('error', (error) => (failure = error.message))
  socket.on('close', (code, reason) => {
    clearInterval(watchdog)
    events.close(code, reason.toString() || failure)
  })
  return {
    send(text) {
      // ws writes each message by itself, unless its stream collects them.
      const stream = (socket as unknown as { _socket?: { cork(): void; uncork(): void } })._socket
      if (!corked && stream) {
        corked = true
        stream.cork()
        setImmediate(() => {
          corked = false
          stream.uncork()
        })
      }
      socket.send(text)
    },
    close: (code, reason) => socket.close(code, reason),
  }
}
