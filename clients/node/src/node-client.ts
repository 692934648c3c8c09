// The client for Node.
import { Client, type ConnectOptions } from './socket.js'
import { openWebSocket } from './websocket.js'

export * from './errors.js'
export { Client, type Answer, type ConnectOptions, type Requester, type RequestOptions } from './socket.js'
export type { Subscription, SubscribeOptions, TopicEvent } from './subscriptions.js'
export type { Disconnect, Hello, Token } from './connection.js'

/**
 * Returns a client of the gateway at the URL, such as http://127.0.0.1:8080. It connects in the
 * background, and again after a failure; requests wait for the connection.
 */
export function connect(url: string | URL, options: ConnectOptions = {}): Client {
  return new Client(url, options, openWebSocket)
}
