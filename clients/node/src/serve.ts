import { connect as connectSocket } from 'node:net'
import { Connection, socketURL, type Bye, type Token } from './connection.js'
import { lineWriter, maxLine, readLines } from './lines.js'
import type { Service } from './service.js'
import { Worker } from './worker.js'
import { openWebSocket } from './websocket.js'

export interface ServeOptions {
  /** The gateway, such as http://127.0.0.1:8080. Defaults to MAILROOM_URL. */
  url?: string | URL
  /** An API key or JWT with the scope serve:<service>. Defaults to MAILROOM_TOKEN. */
  token?: Token
  /** The unix socket of `mailroom serve`. Defaults to MAILROOM_SOCKET. Takes precedence over url. */
  socket?: string
  /** The maximum number of unfinished runs, 1 to 10000. Defaults to what Mailroom sets. */
  concurrency?: number
  /** Finishes the runs and resolves if it aborts. SIGTERM and SIGINT do so anyhow. */
  signal?: AbortSignal
  /** Whether SIGTERM and SIGINT finish the runs. Defaults to true. */
  signals?: boolean
  /** The longest time that unfinished runs get when serving ends, in ms. Defaults to 20000. */
  drain?: number
  /** The first and the longest pause between attempts to connect, in ms. Default to 200 and 10000. */
  backoff?: { first?: number; longest?: number }
  /** Called each time the service is registered. */
  onServing?: (worker: string) => void
  /** Writes a line of the log. Defaults to console.error. */
  log?: (message: string, error?: unknown) => void
}

/**
 * Serves a service: under `mailroom serve` through its socket, else by a WebSocket of a gateway. Resolves
 * after the runs were finished on SIGTERM or SIGINT; rejects if the service cannot be served.
 */
export async function serve(service: Service, options: ServeOptions = {}): Promise<void> {
  const { MAILROOM_SOCKET, MAILROOM_URL, MAILROOM_TOKEN } = process.env
  const path = options.socket ?? MAILROOM_SOCKET
  const url = options.url ?? MAILROOM_URL
  if (!path && !url) {
    throw new Error(
      `cannot serve ${service.name}: start this program by "mailroom serve -- node ...", ` +
        'or set MAILROOM_URL (such as http://127.0.0.1:8080) and MAILROOM_TOKEN (an API key with the scope ' +
        `serve:${service.name})`,
    )
  }
  const { concurrency } = options
  if (concurrency !== undefined && !(Number.isInteger(concurrency) && concurrency >= 1 && concurrency <= 10_000)) {
    throw new RangeError(`concurrency ${concurrency}: want a whole number from 1 to 10000`)
  }
  const stop = new AbortController()
  const abort = () => stop.abort()
  const signals: NodeJS.Signals[] = options.signals === false ? [] : ['SIGTERM', 'SIGINT']
  for (const signal of signals) process.once(signal, abort)
  options.signal?.addEventListener('abort', abort, { once: true })
  if (options.signal?.aborted) abort()
  try {
    if (path) await serveLines(service, path, options, stop.signal)
    else await serveWebSocket(service, socketURL(url!), { ...options, token: options.token ?? MAILROOM_TOKEN }, stop.signal)
  } finally {
    for (const signal of signals) process.off(signal, abort)
    options.signal?.removeEventListener('abort', abort)
  }
}

const logger = (options: ServeOptions) =>
  options.log ?? ((message, error) => (error === undefined ? console.error(message) : console.error(`${message}:`, error)))

/** Serves on the unix socket of `mailroom serve`. Ends with the connection. */
function serveLines(service: Service, path: string, options: ServeOptions, stop: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket(path)
    let bye: Bye | undefined
    const drain = new Drain(stop, options, () => socket.destroySoon())
    const worker = new Worker(service, {
      write: lineWriter(socket),
      log: logger(options),
      max: maxLine,
      concurrency: options.concurrency,
      onServing: options.onServing,
      onBye: (frame) => (bye = frame),
      onIdle: () => drain.idle(),
    })
    socket.on('connect', () => {
      worker.start()
      drain.start(worker)
    })
    readLines(socket, (line) => worker.receive(line))
    let failure: Error | undefined
    socket.on('error', (error) => (failure = error))
    socket.on('close', () => {
      drain.end()
      worker.disconnect()
      if (worker.drained || drain.begun) resolve()
      else if (bye) reject(new Error(`Mailroom refused to serve ${service.name} (${bye.reason}): ${bye.message ?? ''}`))
      else reject(new Error(`the connection to ${path} ended: ${failure?.message ?? 'closed by mailroom serve'}`))
    })
  })
}

/** Serves on a WebSocket of a gateway, and connects again when it ends. */
function serveWebSocket(service: Service, url: string, options: ServeOptions, stop: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const log = logger(options)
    let worker: Worker | undefined
    const finish = () => {
      drain.end()
      connection.close()
      worker?.disconnect()
      resolve()
    }
    const drain = new Drain(stop, options, finish)
    const connection: Connection = new Connection({
      url,
      token: options.token,
      open: openWebSocket,
      backoff: options.backoff,
      onHello: (hello) => {
        worker = new Worker(service, {
          write: (text) => connection.send(text),
          log,
          max: hello.max,
          concurrency: options.concurrency,
          onServing: options.onServing,
          onBye: (bye) => connection.onBye(bye),
          onIdle: () => drain.idle(),
        })
        worker.start()
        drain.start(worker)
      },
      onText: (text) => worker?.receive(text),
      onDisconnect: ({ reason, retryIn }, error) => {
        worker?.disconnect()
        worker = undefined
        drain.start(undefined)
        if (drain.begun) return finish()
        if (retryIn !== undefined) return log(`${service.name}: ${reason}; connecting again in ${retryIn} ms`)
        drain.end()
        reject(new Error(`cannot serve ${service.name} on ${url} (${error.code}): ${reason}`, { cause: error }))
      },
    })
    stop.addEventListener('abort', () => worker || finish(), { once: true })
    if (stop.aborted) finish()
  })
}

/** Ends a worker in order: no more runs, the unfinished ones to their end, then the connection. */
class Drain {
  begun = false
  #worker: Worker | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  readonly #begin = () => {
    if (this.begun || !this.#worker) return
    this.begun = true
    this.#timer = setTimeout(this.close, this.options.drain ?? 20_000)
    this.#worker.drain()
  }

  constructor(
    readonly stop: AbortSignal,
    readonly options: ServeOptions,
    readonly close: () => void,
  ) {
    stop.addEventListener('abort', this.#begin, { once: true })
  }

  /** Sets the worker of the connection; undefined: there is none now. */
  start(worker: Worker | undefined): void {
    this.#worker = worker
    if (this.stop.aborted) this.#begin()
  }

  /** No run is left, and none follows. If only Mailroom drains, it closes the connection. */
  idle(): void {
    if (this.begun) setImmediate(this.close)
  }

  end(): void {
    clearTimeout(this.#timer)
    this.stop.removeEventListener('abort', this.#begin)
  }
}
