// The client for browsers. It uses no module of Node.
import { Client, type ConnectOptions } from './socket.js'
import type { Open } from './connection.js'

export * from './errors.js'
export { Client, type Answer, type ConnectOptions, type Requester, type RequestOptions } from './socket.js'
export type { Subscription, SubscribeOptions, TopicEvent } from './subscriptions.js'
export type { Disconnect, Hello, Token } from './connection.js'

/** Opens a WebSocket by the global of the runtime. */
const openGlobal: Open = (url, protocol, events) => {
  const socket = new WebSocket(url, protocol)
  socket.onopen = () => events.open()
  socket.onmessage = (message) => events.message(message.data)
  socket.onclose = (close) => events.close(close.code, close.reason)
  return { send: (text) => socket.send(text), close: (code, reason) => socket.close(code, reason) }
}

/**
 * Returns a client of the gateway at the URL, such as https://api.example.com. It connects in the
 * background, and again after a failure; requests wait for the connection.
 */
export function connect(url: string | URL, options: ConnectOptions = {}): Client {
  return new Client(url, options, openGlobal)
}
