import { MailroomError, Unavailable } from './errors.js'
import { parse, type Integers } from './json.js'

/** An open or opening WebSocket. */
export interface Wire {
  send(text: string): void
  /** Closes the connection; events.close follows. */
  close(code?: number, reason?: string): void
}

export interface WireEvents {
  open(): void
  message(text: string): void
  /** Called once, also if the connection could not be opened. */
  close(code: number, reason: string): void
}

/** Opens a WebSocket. */
export type Open = (url: string, protocol: string, events: WireEvents) => Wire

/** The frame `hello`. */
export interface Hello {
  session: string
  /** The time between pings of the server, in ms. */
  ping: number
  /** The number of requests that may be unanswered. */
  inflight: number
  /** The size of a message, in bytes. */
  max: number
  /** The subject of the caller; undefined: anonymous. */
  principal?: string
}

/** The frame `bye`, the last one before Mailroom closes the connection. */
export interface Bye {
  reason: string
  message?: string
  /** The time after which the client connects again, in ms. */
  retry?: number
}

export interface Disconnect {
  /** The close code of the WebSocket. */
  code: number
  reason: string
  /** The time until the next attempt, in ms; undefined: there is none. */
  retryIn: number | undefined
}

export type Token = string | null | undefined | (() => string | null | Promise<string | null>)

export interface ConnectionConfig {
  url: string
  token?: Token
  open: Open
  backoff?: Backoff
  onHello(hello: Hello): void
  /** Gets the text of each frame after hello. Call onBye with a frame bye. */
  onText(text: string): void
  /** Called when the connection ended, or could not be opened. */
  onDisconnect(disconnect: Disconnect, error: MailroomError): void
}

/** Reasons and close codes after which a further attempt fails in the same way. */
const final: Record<string, [code: string, status: number]> = {
  invalid: ['BAD_REQUEST', 400],
  4400: ['BAD_REQUEST', 400],
  unauthenticated: ['UNAUTHENTICATED', 401],
  4401: ['UNAUTHENTICATED', 401],
  forbidden: ['FORBIDDEN', 403],
  4403: ['FORBIDDEN', 403],
}

/** Reasons after which the pauses go on growing, although the connection was open. */
const growing = new Set(['slow', 'flood'])

/** The first and the longest pause between attempts, in ms. Default to 200 and 10000. */
export type Backoff = { first?: number; longest?: number } | undefined

/** Returns the pause before the next attempt, in ms, after so many failures in a row. */
export function pauseOf(backoff: Backoff, failures: number, atLeast?: number): number {
  const { first = 200, longest = 10_000 } = backoff ?? {}
  const pause = atLeast ?? Math.min(longest, first * 2 ** Math.min(failures, 20))
  // Jitter: the clients of a gateway that stopped do not come back at the same moment.
  return Math.round(pause * (atLeast === undefined ? 0.5 + Math.random() / 2 : 1 + Math.random() / 2))
}

/** Connection keeps a WebSocket to a gateway open: it authenticates, and connects again after a failure. */
export class Connection {
  #config: ConnectionConfig
  #wire: Wire | undefined
  #ready = false
  #closed = false
  #failures = 0
  #bye: Bye | undefined
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(config: ConnectionConfig) {
    this.#config = config
    this.#connect()
  }

  /** Whether frames can be sent. */
  get ready(): boolean {
    return this.#ready
  }

  send(text: string): void {
    this.#wire?.send(text)
  }

  /** Ends the connection for good. onDisconnect is not called any more. */
  close(code = 1000, reason = ''): void {
    this.#closed = true
    this.#ready = false
    clearTimeout(this.#timer)
    this.#wire?.close(code, reason)
  }

  #connect(): void {
    this.#bye = undefined
    let wire: Wire
    const current = () => this.#wire === wire && !this.#closed
    const events: WireEvents = {
      open: async () => {
        const { token } = this.#config
        try {
          const auth = (typeof token === 'function' ? await token() : token) ?? null
          if (current()) wire.send(JSON.stringify({ auth }))
        } catch (error) {
          this.#bye = { reason: 'token', message: `the function token failed: ${error}` }
          wire.close(1000)
        }
      },
      message: (text) => {
        if (current()) this.#receive(text)
      },
      close: (code, reason) => {
        if (current()) this.#disconnected(code, reason)
      },
    }
    wire = this.#config.open(this.#config.url, 'mailroom.v1', events)
    this.#wire = wire
  }

  /** Keeps the reason of the close that follows. */
  onBye(bye: Bye): void {
    this.#bye = bye
  }

  #receive(text: string): void {
    if (this.#ready) return this.#config.onText(text)
    const frame = parseFrame(text)
    if (frame?.bye) {
      this.#bye = frame.bye
    } else if (frame?.hello) {
      this.#ready = true
      this.#config.onHello(frame.hello)
    }
  }

  #disconnected(code: number, reason: string): void {
    const bye = this.#bye
    if (this.#ready && !growing.has(bye?.reason ?? '')) this.#failures = 0
    this.#ready = false
    this.#wire = undefined
    const text = bye?.message || reason || bye?.reason || `the connection to ${this.#config.url} ended with code ${code}`
    const refused = final[bye?.reason ?? ''] ?? final[code]
    if (refused) {
      this.#closed = true
      const error = new MailroomError(...refused, text)
      return this.#config.onDisconnect({ code, reason: text, retryIn: undefined }, error)
    }
    const retryIn = pauseOf(this.#config.backoff, this.#failures++, bye?.retry)
    this.#timer = setTimeout(() => this.#connect(), retryIn)
    this.#config.onDisconnect({ code, reason: text, retryIn }, Unavailable(text))
  }
}

/** Returns the frame of a text; undefined: it is not JSON. */
export function parseFrame(text: string, integers?: Integers): any {
  try {
    return parse(text, integers)
  } catch {
    return undefined
  }
}

/** Returns the address of the socket of a gateway, given as http:// or ws://, with or without /socket. */
export function socketURL(url: string | URL): string {
  let parsed
  try {
    parsed = new URL(url, (globalThis as { location?: { href: string } }).location?.href)
  } catch {
    throw new TypeError(`${JSON.stringify(String(url))} is no URL of a gateway, such as http://127.0.0.1:8080`)
  }
  const protocols: Record<string, string> = { 'http:': 'ws:', 'https:': 'wss:', 'ws:': 'ws:', 'wss:': 'wss:' }
  const protocol = protocols[parsed.protocol]
  if (!protocol) throw new TypeError(`${parsed.href}: want http, https, ws or wss`)
  parsed.hash = ''
  const path = parsed.pathname.replace(/\/+$/, '')
  parsed.pathname = path.endsWith('/socket') ? path : `${path}/socket`
  return parsed.href.replace(/^[a-z]+:/, protocol)
}
