import { Connection, parseFrame, pauseOf, socketURL, type Disconnect, type Hello, type Open, type Token } from './connection.js'
import { MailroomError, Timeout, Unavailable } from './errors.js'
import { stringify, type Integers } from './json.js'
import { Subscriptions, type SubscribeOptions, type Subscription, type TopicEvent } from './subscriptions.js'

export interface ConnectOptions {
  /** An API key or JWT, or a function that returns one for each connection. Defaults to none: anonymous. */
  token?: Token
  /** How integers beyond 2^53 arrive. Defaults to "bigint". */
  integers?: Integers
  /** How long requests wait for a connection before they fail as UNAVAILABLE, in ms. Defaults to 60000. */
  patience?: number
  /** How often a request is sent again, under its key, if the answer has the status 503. Defaults to 2. */
  retries?: number
  /** The first and the longest pause between attempts to connect, in ms. Default to 200 and 10000. */
  backoff?: { first?: number; longest?: number }
  /** Called each time the connection is open. */
  onConnect?: (hello: Hello) => void
  /** Called each time the connection ended, or could not be opened. */
  onDisconnect?: (disconnect: Disconnect) => void
}

export interface RequestOptions {
  /** An unsafe request with the same key runs once. Defaults to a key of its own for each request. */
  key?: string
  /** How long the client waits, in ms. Defaults to the timeout of the action. */
  timeout?: number
  /** The version of the API, such as "v2". Defaults to none. */
  version?: string
  /** How often the request is sent again if the answer has the status 503. Defaults to that of the client. */
  retries?: number
  /** Called with what the handler reports before it answers. */
  onProgress?: (value: any) => void
  /** Cancels the request. The promise rejects with the reason of the signal. */
  signal?: AbortSignal
}

/** The result of a request, and what came with it. */
export interface Answer {
  result: any
  status?: number
  location?: string
  /** Of an unsafe request: its name in /requests/<ticket>, and for subscribe. */
  ticket?: string
}

/** Sends requests, with the options that it was made with. */
export interface Requester {
  /** Resolves with the result; rejects with a MailroomError. */
  request(service: string, action: string, ...args: unknown[]): Promise<any>
  /** Like request, but resolves with the whole answer. */
  answer(service: string, action: string, ...args: unknown[]): Promise<Answer>
  /** Resolves with the ticket of an unsafe request as soon as it is accepted. */
  submit(service: string, action: string, ...args: unknown[]): Promise<string>
  /** Returns a requester with these options. */
  with(options: RequestOptions): Requester
  /** Returns a requester for one service. */
  service(name: string): { request(action: string, ...args: unknown[]): Promise<any> }
}

interface Pending {
  id: number
  text: string
  /** It was sent on this connection. */
  sent: boolean
  /** It was sent on any connection: it may have run. */
  tried: boolean
  /** How often it is sent again if the answer has the status 503. */
  retries: number
  /** Ends when it is sent again. */
  retry: ReturnType<typeof setTimeout> | undefined
  /** The promise is settled; only the answer of the gateway is missing. */
  abandoned: boolean
  onProgress: ((value: any) => void) | undefined
  settle: (error: unknown, frame?: any) => void
}

/** Client is a client of one gateway. Use connect to make one. */
export class Client implements Requester {
  /** Resolves when the connection is open for the first time; rejects if the gateway refuses it. */
  readonly ready: Promise<Hello>
  #connection: Connection
  #options: ConnectOptions
  #hello: Hello | undefined
  #pending = new Map<number, Pending>()
  #waiting: Pending[] = []
  #unanswered = 0
  #lastID = 0
  #keys = `${randomHex()}.`
  #failure: MailroomError | undefined
  #patience: ReturnType<typeof setTimeout> | undefined
  #subscriptions: Subscriptions
  #resolveReady!: (hello: Hello) => void
  #rejectReady!: (error: Error) => void

  constructor(url: string | URL, options: ConnectOptions, open: Open) {
    this.#options = options
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve
      this.#rejectReady = reject
    })
    this.ready.catch(() => {}) // without this, Node ends if nobody waits for it
    this.#subscriptions = new Subscriptions({
      request: (frame, settle) => this.#enqueue(frame, settle).id,
      send: (frame) => {
        if (this.#hello) this.#connection.send(stringify(frame))
      },
      pause: (failures, atLeast) => pauseOf(options.backoff, failures, atLeast),
    })
    this.#awaitConnection()
    this.#connection = new Connection({
      url: socketURL(url),
      token: options.token,
      open,
      backoff: options.backoff,
      onHello: (hello) => this.#connected(hello),
      onText: (text) => this.#receive(parseFrame(text, options.integers)),
      onDisconnect: (disconnect, error) => this.#disconnected(disconnect, error),
    })
  }

  /** The number of requests without an answer. */
  get unanswered(): number {
    return this.#pending.size
  }

  request(service: string, action: string, ...args: unknown[]): Promise<any> {
    return this.#request(service, action, args, {}).then(result)
  }
  answer(service: string, action: string, ...args: unknown[]): Promise<Answer> {
    return this.#request(service, action, args, {})
  }
  submit(service: string, action: string, ...args: unknown[]): Promise<string> {
    return this.#request(service, action, args, {}, true).then(ticket)
  }
  with(options: RequestOptions): Requester {
    const requester: Requester = {
      request: (service, action, ...args) => this.#request(service, action, args, options).then(result),
      answer: (service, action, ...args) => this.#request(service, action, args, options),
      submit: (service, action, ...args) => this.#request(service, action, args, options, true).then(ticket),
      with: (more) => this.with({ ...options, ...more }),
      service: (name) => ({ request: (action, ...args) => requester.request(name, action, ...args) }),
    }
    return requester
  }
  service(name: string): { request(action: string, ...args: unknown[]): Promise<any> } {
    return { request: (action, ...args) => this.request(name, action, ...args) }
  }

  /**
   * Subscribes to a cache tag of a service, or to a request by its ticket. After a new connection it
   * continues: it is tried again until the gateway accepts it or answers 400, 401, 403 or 404. An
   * event with recovered false says that events may be missing.
   */
  subscribe(topic: string, onEvent: (event: TopicEvent) => void): Subscription
  subscribe(topic: string, options: SubscribeOptions, onEvent: (event: TopicEvent) => void): Subscription
  subscribe(topic: string, ...rest: any[]): Subscription {
    const [options, onEvent] = rest.length > 1 ? rest : [{}, rest[0]]
    return this.#subscriptions.add(topic, options, onEvent)
  }

  /** Closes the connection. Requests without an answer fail as UNAVAILABLE. */
  close(): void {
    this.#connection.close()
    this.#fail(Unavailable('the client was closed'))
  }

  #request(service: string, action: string, args: unknown[], o: RequestOptions, async?: true): Promise<any> {
    return new Promise((resolve, reject) => {
      o.signal?.throwIfAborted()
      const frame = {
        service,
        request: action,
        args,
        key: o.key ?? this.#keys + (this.#lastID + 1),
        timeout: o.timeout,
        version: o.version,
        progress: o.onProgress && true,
        async,
      }
      let settled = false
      let cleanUp = () => {}
      const pending = this.#enqueue(frame, (error, answer) => {
        settled = true
        cleanUp()
        if (error) reject(error)
        else resolve(answer)
      })
      pending.onProgress = o.onProgress
      pending.retries = o.retries ?? pending.retries
      if (settled || (!o.signal && o.timeout === undefined)) return
      const abort = () => {
        reject(o.signal!.reason)
        this.#abandon(pending)
      }
      // The gateway answers TIMEOUT with the ticket; the client does only without a connection.
      const expire = () => {
        reject(Timeout(`no answer to ${service} ${action} within ${o.timeout} ms`))
        this.#abandon(pending, false)
      }
      const timer = o.timeout === undefined ? undefined : setTimeout(expire, o.timeout + (this.#connection.ready ? 1_000 : 0))
      o.signal?.addEventListener('abort', abort, { once: true })
      cleanUp = () => {
        clearTimeout(timer)
        o.signal?.removeEventListener('abort', abort)
      }
    })
  }

  #enqueue(frame: object, settle: (error: unknown, frame?: any) => void): Pending {
    const id = ++this.#lastID
    const text = stringify({ id, ...frame })
    const { retries = 2 } = this.#options
    const pending: Pending = { id, text, sent: false, tried: false, retries, retry: undefined, abandoned: false, onProgress: undefined, settle }
    if (this.#failure) {
      settle(this.#failure)
    } else {
      this.#pending.set(id, pending)
      this.#waiting.push(pending)
      this.#flush()
    }
    return pending
  }

  /** Sends waiting requests, as many as may be unanswered. */
  #flush(): void {
    if (!this.#hello) return
    while (this.#waiting.length > 0 && this.#unanswered < this.#hello.inflight) {
      const pending = this.#waiting.shift()!
      if (pending.abandoned) continue
      if (tooLarge(pending.text, this.#hello.max)) {
        this.#pending.delete(pending.id)
        pending.settle(new MailroomError('PAYLOAD_TOO_LARGE', 413, `a request may have at most ${this.#hello.max} bytes`))
        continue
      }
      pending.sent = pending.tried = true
      this.#unanswered++
      this.#connection.send(pending.text)
    }
  }

  /** Forgets a request whose promise is settled; cancel: the gateway does too. */
  #abandon(pending: Pending, cancel = true): void {
    if (pending.abandoned) return
    pending.settle(new Error('abandoned')) // cleans up; the promise is settled already
    pending.abandoned = true
    clearTimeout(pending.retry)
    if (!pending.sent) this.#pending.delete(pending.id)
    else if (cancel) this.#connection.send(stringify({ id: pending.id, cancel: true }))
  }

  #receive(frame: any): void {
    if (frame?.id !== undefined) {
      const pending = this.#pending.get(frame.id)
      if (!pending) return
      if (frame.ok === undefined) {
        if (!pending.abandoned) pending.onProgress?.(frame.progress)
        return
      }
      this.#unanswered--
      if (frame.error?.status === 503 && pending.retries > 0 && !pending.abandoned) return this.#retry(pending, frame.retry_after)
      this.#pending.delete(frame.id)
      if (!pending.abandoned) pending.settle(frame.ok ? undefined : failure(frame), frame)
      this.#flush()
    } else if (frame?.event !== undefined) {
      this.#subscriptions.event(frame)
    } else if (frame?.bye !== undefined) {
      this.#connection.onBye(frame.bye)
    }
  }

  /** Sends a request again after a pause. */
  #retry(pending: Pending, after = 200): void {
    pending.sent = false
    pending.retries--
    pending.retry = setTimeout(() => {
      if (this.#pending.get(pending.id) !== pending) return
      this.#waiting.push(pending)
      this.#flush()
    }, after * (1 + Math.random() / 2))
    this.#flush()
  }

  #connected(hello: Hello): void {
    clearTimeout(this.#patience)
    this.#hello = hello
    this.#unanswered = 0
    this.#resolveReady(hello)
    this.#subscriptions.resume()
    this.#flush()
    this.#options.onConnect?.(hello)
  }

  #disconnected(disconnect: Disconnect, error: MailroomError): void {
    if (this.#hello) this.#awaitConnection()
    this.#hello = undefined
    this.#subscriptions.suspend()
    // The unanswered requests are sent again, in the same order and under the same keys.
    this.#waiting = []
    for (const pending of this.#pending.values()) {
      pending.sent = false
      clearTimeout(pending.retry)
      if (pending.abandoned) this.#pending.delete(pending.id)
      else this.#waiting.push(pending)
    }
    if (disconnect.retryIn === undefined) this.#fail(error)
    this.#options.onDisconnect?.(disconnect)
  }

  #awaitConnection(): void {
    clearTimeout(this.#patience)
    const patience = this.#options.patience ?? 60_000
    this.#patience = setTimeout(() => {
      this.#reject(Unavailable(`no connection to the gateway for ${patience} ms`))
    }, patience)
  }

  /** Fails all requests, also later ones. */
  #fail(error: MailroomError): void {
    clearTimeout(this.#patience)
    this.#failure = error
    this.#rejectReady(error)
    this.#reject(error)
    this.#subscriptions.fail(error)
  }

  #reject(error: MailroomError): void {
    const all = Array.from(this.#pending.values())
    this.#pending.clear()
    this.#waiting = []
    const unsure = new MailroomError(error.code, error.status, `${error.message}; the request may have run`)
    for (const pending of all) clearTimeout(pending.retry)
    for (const pending of all) if (!pending.abandoned) pending.settle(pending.tried ? unsure : error)
  }
}

const result = (answer: Answer) => answer.result
const ticket = (answer: Answer): string => {
  if (answer.ticket === undefined) throw new TypeError('submit: the action is safe, and has no ticket; use request')
  return answer.ticket
}

function failure(frame: any): MailroomError {
  const error = MailroomError.from(frame.error)
  error.ticket = frame.ticket
  error.retryAfter = frame.retry_after
  return error
}

function tooLarge(text: string, max: number): boolean {
  return text.length * 3 > max && new TextEncoder().encode(text).length > max
}

/** 128 random bits. crypto.randomUUID is missing on pages without https. */
function randomHex(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(16).padStart(2, '0')).join('')
}
