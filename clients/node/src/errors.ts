/** A failure as it is sent over the wire. */
export interface Failure {
  code: string
  message?: string
  status?: number
  details?: unknown
  /** The action that failed, if it is another one. */
  service?: string
  action?: string
}

/**
 * MailroomError is a failure that a handler reports to its caller, or that a call got back. It is an
 * outcome: the request does not run again.
 */
export class MailroomError extends Error {
  override name = 'MailroomError'
  /** Names the failure for programs, such as VOUCHER_USED. */
  readonly code: string
  /** The HTTP status, 400 to 599. */
  readonly status: number
  /** Any JSON value; undefined: none. */
  readonly details?: unknown
  /** The action that failed, if a call failed. */
  service?: string
  action?: string
  /** The ticket of the unsafe request that failed; undefined: none. */
  ticket?: string
  /** The time after which a further attempt makes sense, in ms; undefined: not known. */
  retryAfter?: number

  constructor(code: string, status = 500, message = '', details?: unknown, options?: ErrorOptions) {
    super(message || code, options)
    if (!/^[A-Z][A-Z0-9_]*$/.test(code)) {
      throw new TypeError(`error code ${JSON.stringify(code)}: want upper case with underscores, such as VOUCHER_USED`)
    }
    this.code = code
    this.status = Number.isInteger(status) && status >= 400 && status <= 599 ? status : 500
    this.details = details
  }

  /** The failure as it is sent over the wire. */
  toJSON(): Failure {
    const { code, message, status, details, service, action } = this
    return { code, message, status, details, service, action }
  }

  /** Returns the error of a failure that was received. */
  static from(failure: Failure | undefined): MailroomError {
    const { code = 'INTERNAL', status, message, details, service, action } = failure ?? {}
    const error: { -readonly [K in keyof MailroomError]: MailroomError[K] } = new MailroomError('INTERNAL', status, message || code, details)
    error.code = code // of a service in any language: not checked
    if (service !== undefined) error.service = service
    if (action !== undefined) error.action = action
    return error
  }
}

type Constructor = (message?: string, details?: unknown) => MailroomError

const constructor =
  (code: string, status: number): Constructor =>
  (message, details) =>
    new MailroomError(code, status, message, details)

export const BadRequest = constructor('BAD_REQUEST', 400)
export const Unauthenticated = constructor('UNAUTHENTICATED', 401)
export const Forbidden = constructor('FORBIDDEN', 403)
export const NotFound = constructor('NOT_FOUND', 404)
export const Conflict = constructor('CONFLICT', 409)
export const Unprocessable = constructor('UNPROCESSABLE', 422)
export const RateLimited = constructor('RATE_LIMITED', 429)
export const Internal = constructor('INTERNAL', 500)
export const NotSupported = constructor('NOT_SUPPORTED', 501)
export const Unavailable = constructor('UNAVAILABLE', 503)
export const Timeout = constructor('TIMEOUT', 504)

/** The error of a run whose handler does not know whether the work was done. See {@link NoOutcome}. */
export class NoOutcomeError extends Error {
  override name = 'NoOutcomeError'
}

/**
 * NoOutcome returns the error to throw if the handler does not know whether the work was done, for
 * example because its database did not answer. The request is delivered again.
 */
export function NoOutcome(cause: unknown): NoOutcomeError {
  return new NoOutcomeError(cause instanceof Error ? cause.message : String(cause), { cause })
}

/** Why a run has to stop. `disconnected`: the connection ended, the request is delivered again. */
export type LostReason = 'deadline' | 'cancelled' | 'taken' | 'drain' | 'disconnected' | (string & {})

/** LostError is the reason of `ctx.signal` after a run was lost. Its name is AbortError. */
export class LostError extends Error {
  override name = 'AbortError'
  constructor(readonly reason: LostReason) {
    super(`the run was lost: ${reason}`)
  }
}
