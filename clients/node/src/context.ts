import { LostError, type LostReason } from './errors.js'

/** The authenticated caller of the API. */
export interface Principal {
  /** `key:<id>` or `jwt:<subject>`. */
  subject: string
  tenant?: string
  scopes?: string[]
}

/** What a handler knows and can do besides its arguments. */
export interface Context {
  readonly action: string
  /** The UUID of the request: the same on every attempt. Store it with an effect to make the effect once. */
  readonly id: string
  /** The number of the delivery, from 1. */
  readonly attempt: number
  /** The X-Request-Id of the caller; undefined: none. */
  readonly requestId: string | undefined
  /** The caller; undefined: anonymous. */
  readonly principal: Principal | undefined
  /** The version of the API that was called, such as "v2"; undefined: none. */
  readonly version: string | undefined
  /** The W3C trace context; undefined: none. */
  readonly traceparent: string | undefined
  /** When the caller stops waiting. */
  readonly deadline: Date
  /** The time until the deadline in ms; 0 or less: it has passed. */
  readonly remaining: number
  /** Aborts if the run has to stop. The reason is a {@link LostError}. Pass it to fetch and the like. */
  readonly signal: AbortSignal
  /** Calls an action of another service. Throws a MailroomError, which the handler may pass on. */
  call(service: string, action: string, ...args: unknown[]): Promise<any>
  /** Reports progress, any JSON value, to callers that wait for events. */
  progress(value: unknown): void
  /** Asks for so many ms from now, beyond the deadline. The caller does not wait longer. */
  extend(ms: number): void
  /** Sets the HTTP status of the result, 200 to 299 but not 204 and 205. Defaults to 200. */
  status(status: number): void
  /** Sets the header Location of the result. */
  location(url: string): void
  /** Makes cached answers with these tags stale, in addition to those that the action declares. */
  invalidate(...tags: string[]): void
}

/** A frame `run`. */
export interface RunFrame {
  run: string
  action: string
  args: unknown[]
  deadline: number
  attempt: number
  id: string
  request_id?: string
  principal?: Principal
  version?: string
  traceparent?: string
}

/** What a run needs of its connection. */
export interface Host {
  send(frame: object): void
  call(run: Run, service: string, action: string, args: unknown[]): Promise<unknown>
}

/** One run of an action. Nothing is allocated before the handler asks for it. */
export class Run implements Context {
  finished = false
  lost: LostError | undefined
  statusCode: number | undefined
  url: string | undefined
  tags: string[] | undefined
  #controller: AbortController | undefined

  constructor(
    readonly frame: RunFrame,
    readonly host: Host,
    readonly received: number,
  ) {}

  get action(): string {
    return this.frame.action
  }
  get id(): string {
    return this.frame.id
  }
  get attempt(): number {
    return this.frame.attempt
  }
  get requestId(): string | undefined {
    return this.frame.request_id
  }
  get principal(): Principal | undefined {
    return this.frame.principal
  }
  get version(): string | undefined {
    return this.frame.version
  }
  get traceparent(): string | undefined {
    return this.frame.traceparent
  }
  get remaining(): number {
    return this.received + this.frame.deadline - performance.now()
  }
  get deadline(): Date {
    return new Date(Date.now() + this.remaining)
  }
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      if (this.lost) this.#controller.abort(this.lost)
    }
    return this.#controller.signal
  }

  call(service: string, action: string, ...args: unknown[]): Promise<unknown> {
    return this.host.call(this, service, action, args)
  }
  progress(value: unknown): void {
    if (!this.finished) this.host.send({ run: this.frame.run, progress: value ?? null })
  }
  extend(ms: number): void {
    if (!(Number.isInteger(ms) && ms > 0)) throw new RangeError(`extend(${ms}): want a positive whole number of ms`)
    if (!this.finished) this.host.send({ run: this.frame.run, extend: ms })
  }
  status(status: number): void {
    if (!(Number.isInteger(status) && status >= 200 && status <= 299) || status === 204 || status === 205) {
      throw new RangeError(`status(${status}): want 200 to 299, but not 204 or 205; throw an error to fail`)
    }
    this.statusCode = status
  }
  location(url: string): void {
    this.url = String(url)
  }
  invalidate(...tags: string[]): void {
    this.tags = this.tags ? this.tags.concat(tags) : tags
  }

  /** Stops the run. */
  lose(reason: LostReason): void {
    this.lost = new LostError(reason)
    this.#controller?.abort(this.lost)
  }
}
