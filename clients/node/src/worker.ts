import { Run, type Host, type RunFrame } from './context.js'
import { LostError, MailroomError, NoOutcomeError, NotSupported, type LostReason } from './errors.js'
import { parseFrame, type Bye } from './connection.js'
import { stringify } from './json.js'
import type { Declared, Service } from './service.js'

export interface WorkerConfig {
  /** Sends the text of one frame. */
  write: (text: string) => void
  log: (message: string, error?: unknown) => void
  /** The largest frame, in bytes. */
  max: number
  concurrency?: number | undefined
  /** Called when Mailroom has registered the service. */
  onServing?: ((worker: string) => void) | undefined
  /** Called with the last frame before Mailroom closes the connection. */
  onBye?: ((bye: Bye) => void) | undefined
  /** Called when no run is left after Mailroom has said that none follows. */
  onIdle?: (() => void) | undefined
}

interface Call {
  run: Run
  text: string
  resolve: (value: unknown) => void
  reject: (error: Error) => void
}

/** Worker serves one service on one connection: frames in, frames out. It knows no transport. */
export class Worker implements Host {
  /** Mailroom sends no more runs. */
  drained = false
  #running = new Map<string, Run>()
  /** The calls that are sent and not answered, also those that no run waits for. */
  #calls = new Map<string, Call>()
  /** The calls that wait until fewer are unanswered. */
  #waiting = new Map<string, Call>()
  #lastCall = 0

  constructor(
    readonly service: Service,
    readonly config: WorkerConfig,
  ) {}

  start(): void {
    this.send({ serve: this.service.manifest, concurrency: this.config.concurrency })
  }

  /** Asks Mailroom for no more runs. Runs may follow until its answer. */
  drain(): void {
    this.send({ drain: true })
  }

  send(frame: object): void {
    this.config.write(this.#encode(frame))
  }

  /** Handles the text of one frame. */
  receive(text: string): void {
    const frame = parseFrame(text, this.service.integers)
    if (frame?.run !== undefined) this.#start(frame)
    else if (frame?.lost !== undefined) this.#lose(frame.lost, frame.reason)
    else if (frame?.call !== undefined) this.#answered(frame)
    else if (frame?.serving !== undefined) this.config.onServing?.(frame.worker)
    else if (frame?.bye !== undefined) this.config.onBye?.(frame.bye)
    else if (frame?.drain !== undefined) {
      this.drained = true
      if (this.#running.size === 0) this.config.onIdle?.()
    }
  }

  /** Ends all runs and calls: the connection is gone, and nothing can be answered. */
  disconnect(): void {
    for (const run of this.#running.values()) {
      run.finished = true
      this.#stop(run, 'disconnected')
    }
    this.#running.clear()
  }

  call(run: Run, service: string, action: string, args: unknown[]): Promise<unknown> {
    if (run.lost) return Promise.reject(run.lost)
    if (run.finished) return Promise.reject(new Error(`call ${service} ${action}: the run has finished; await every call in the handler`))
    const call = `c${++this.#lastCall}`
    return new Promise((resolve, reject) => {
      const text = this.#encode({ call, run: run.frame.run, service, request: action, args })
      this.#waiting.set(call, { run, text, resolve, reject })
      this.#sendCalls()
    })
  }

  /** Sends waiting calls, as many as may be unanswered. */
  #sendCalls(): void {
    const most = Math.max(64, 4 * (this.config.concurrency ?? 0))
    for (const [name, call] of this.#waiting) {
      if (this.#calls.size >= most) return
      this.#waiting.delete(name)
      this.#calls.set(name, call)
      this.config.write(call.text)
    }
  }

  #start(frame: RunFrame): void {
    const run = new Run(frame, this, performance.now())
    const declared = this.service.declared.get(frame.action)
    if (!declared) return this.#fail(run, NotSupported(`${this.service.name} has no action ${frame.action}`))
    let result
    try {
      result = declared.refine ? refined(run, declared) : declared.handler(run, ...frame.args)
    } catch (error) {
      return this.#fail(run, error)
    }
    if (typeof (result as PromiseLike<unknown> | undefined)?.then !== 'function') return this.#finish(run, result)
    this.#running.set(frame.run, run)
    ;(result as PromiseLike<unknown>).then(
      (value) => this.#finish(run, value),
      (error) => this.#fail(run, error),
    )
  }

  #finish(run: Run, result: unknown): void {
    if (run.finished) return
    if (result instanceof Error) return this.#fail(run, result)
    let text
    try {
      text = `{"run":${JSON.stringify(run.frame.run)},"ok":true,"result":${stringify(result)}`
    } catch (error) {
      return this.#fail(run, error)
    }
    if (run.statusCode !== undefined) text += `,"status":${run.statusCode}`
    if (run.url !== undefined) text += `,"location":${JSON.stringify(run.url)}`
    if (run.tags !== undefined) text += `,"invalidate":${JSON.stringify(run.tags)}`
    text += '}'
    if (this.#tooLarge(text)) {
      return this.#fail(run, new Error(`the result has more than the ${this.config.max} bytes that a frame may have`))
    }
    this.#end(run, text)
  }

  #fail(run: Run, error: unknown): void {
    if (run.finished) return
    const name = JSON.stringify(run.frame.run)
    if (run.lost && (error === run.lost || (error as Error | undefined)?.name === 'AbortError')) {
      return this.#end(run, `{"run":${name},"stopped":true}`)
    }
    if (error instanceof NoOutcomeError) {
      return this.#end(run, `{"run":${name},"retry":true,"reason":${JSON.stringify(error.message)}}`)
    }
    if (!(error instanceof MailroomError)) {
      this.config.log(`action ${run.action} failed, request ${run.id}, attempt ${run.attempt}`, error)
      error = new MailroomError('INTERNAL', 500, 'internal error')
    }
    const invalidate = run.tags === undefined ? '' : `,"invalidate":${JSON.stringify(run.tags)}`
    let text
    try {
      text = `{"run":${name},"ok":false,"error":${stringify(error)}${invalidate}}`
    } catch (cause) {
      return this.#fail(run, cause) // details that are not JSON
    }
    if (this.#tooLarge(text)) return this.#fail(run, new Error('the error is larger than a frame may be', { cause: error }))
    this.#end(run, text)
  }

  #end(run: Run, text: string): void {
    run.finished = true
    this.#running.delete(run.frame.run)
    this.config.write(text)
    if (this.drained && this.#running.size === 0) this.config.onIdle?.()
  }

  #encode(frame: object): string {
    const text = stringify(frame)
    if (!this.#tooLarge(text)) return text
    throw new MailroomError('PAYLOAD_TOO_LARGE', 413, `a frame may have at most ${this.config.max} bytes`)
  }

  #tooLarge(text: string): boolean {
    // One UTF-16 unit has at most three bytes of UTF-8.
    return text.length * 3 > this.config.max && Buffer.byteLength(text) > this.config.max
  }

  #lose(name: string, reason: LostReason): void {
    const run = this.#running.get(name)
    if (run) this.#stop(run, reason)
  }

  #stop(run: Run, reason: LostReason): void {
    run.lose(reason)
    for (const [name, call] of [...this.#calls, ...this.#waiting]) {
      if (call.run !== run) continue
      this.#waiting.delete(name)
      call.reject(run.lost as LostError)
    }
  }

  #answered(frame: { call: string; ok: boolean; result?: unknown; error?: any }): void {
    const call = this.#calls.get(frame.call)
    if (!call) return
    this.#calls.delete(frame.call)
    this.#sendCalls()
    if (frame.ok) call.resolve(frame.result)
    else call.reject(MailroomError.from(frame.error))
  }
}

/** Runs the handler on what the schemas make of the arguments. */
function refined(run: Run, { refine, handler }: Declared): unknown {
  const args = run.frame.args
  const done = refine!(args)
  return done instanceof Promise ? done.then(() => handler(run, ...args)) : handler(run, ...args)
}
