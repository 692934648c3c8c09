import type { Principal, RunFrame } from './context.js'
import { BadRequest, MailroomError, NoOutcomeError } from './errors.js'
import { parse, stringify } from './json.js'
import type { Service } from './service.js'
import { problems } from './validate.js'
import { Worker } from './worker.js'

export interface TestOptions {
  /** The caller of the API. Defaults to none: anonymous. */
  principal?: Principal
  /** The version of the API. Defaults to none. */
  version?: string
  /** The number of the delivery. Defaults to 1. */
  attempt?: number
  /** Answers `ctx.call`. A MailroomError that it throws reaches the handler. Defaults to UNAVAILABLE. */
  calls?: (service: string, action: string, ...args: any[]) => unknown
  /** Aborts `ctx.signal` with the reason `cancelled`. */
  signal?: AbortSignal
}

/** What a run did besides its result. */
export interface Recorded {
  status: number
  location: string | undefined
  invalidated: string[]
  progress: any[]
  extended: number[]
}

export interface Tester {
  /** Runs an action. Resolves with its result as a caller gets it; rejects with its error. */
  call(action: string, ...args: unknown[]): Promise<any>
  /** Returns a tester with these options besides its own. */
  with(options: TestOptions): Tester
  /** What the last run did. */
  readonly last: Recorded
}

/**
 * Returns a tester of a service: it runs actions without a connection. Arguments and results take the way
 * through JSON and are checked against their schemas (the usual keywords), as by the gateway.
 */
export function test(service: Service, options: TestOptions = {}): Tester {
  const tester: { last: Recorded } & Tester = {
    last: empty(),
    call: (action, ...args) => {
      tester.last = empty()
      return run(service, options, action, args, tester.last)
    },
    with: (more) => test(service, { ...options, ...more }),
  }
  return tester
}

const empty = (): Recorded => ({ status: 200, location: undefined, invalidated: [], progress: [], extended: [] })

async function run(service: Service, o: TestOptions, name: string, args: unknown[], last: Recorded): Promise<any> {
  const action = service.manifest.actions.find((a) => a.name === name)
  if (!action) throw new TypeError(`${service.name} has no action ${name}; it has ${Array.from(service.declared.keys()).join(', ')}`)
  const values: unknown[] = parse(stringify(args), service.integers)
  if (values.length === action.args.length - 1) values.push({}) // an object that was left out
  if (values.length !== action.args.length) {
    throw BadRequest(`${name} takes ${action.args.length} arguments, not ${values.length}`)
  }
  const faults = action.args.flatMap((arg, i) => problems(arg.schema, values[i], arg.name))
  if (faults.length > 0) throw BadRequest(faults.map((f) => `${f.field}: ${f.problem}`).join('; '), faults)

  const frame: RunFrame = { run: '1', action: name, args: values, deadline: action.timeout_ms, attempt: o.attempt ?? 1, id: crypto.randomUUID() }
  if (o.principal) frame.principal = o.principal
  if (o.version) frame.version = o.version
  let failure: unknown
  const final = await new Promise<any>((resolve) => {
    const worker: Worker = new Worker(service, {
      max: 5 << 20,
      log: (_, error) => (failure = error),
      write: (text) => {
        const sent = parse(text, service.integers)
        if (sent.call !== undefined) void answer(worker, o, sent)
        else if (sent.extend !== undefined) last.extended.push(sent.extend)
        else if ('progress' in sent) last.progress.push(sent.progress)
        else resolve(sent)
      },
    })
    o.signal?.addEventListener('abort', () => worker.receive('{"lost":"1","reason":"cancelled"}'), { once: true })
    worker.receive(stringify(frame))
  })
  last.invalidated = final.invalidate ?? []
  if (final.retry) throw new NoOutcomeError(final.reason)
  if (final.stopped) throw new MailroomError('CONFLICT', 409, 'the run was stopped')
  if (!final.ok) {
    last.status = final.error.status
    const error = MailroomError.from(final.error)
    error.cause = failure // of INTERNAL: the exception, which no caller sees
    throw error
  }
  last.status = final.status ?? 200
  last.location = final.location
  const wrong = action.result ? problems(action.result, final.result, 'result') : []
  if (wrong.length > 0) throw new TypeError(`${name} declares another result: ${wrong.map((f) => `${f.field}: ${f.problem}`).join('; ')}`)
  return final.result
}

async function answer(worker: Worker, o: TestOptions, sent: any): Promise<void> {
  const failed = (error: unknown) => worker.receive(stringify({ call: sent.call, ok: false, error }))
  if (!o.calls) return failed(new MailroomError('UNAVAILABLE', 503, 'the test has no option calls'))
  try {
    const result = await o.calls(sent.service, sent.request, ...sent.args)
    worker.receive(stringify({ call: sent.call, ok: true, result: result ?? null }))
  } catch (error) {
    failed(error instanceof MailroomError ? error : new MailroomError('INTERNAL', 500, 'internal error'))
  }
}
