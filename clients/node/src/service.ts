import type { Context } from './context.js'
import type { Integers } from './json.js'
import { checkAction, checkService, type Action, type Argument, type Manifest } from './manifest.js'
import { type AnySchema, type Infer, jsonSchema, refiner, string } from './schema.js'

export interface ServiceOptions {
  /** The version of the build. Defaults to "0.0.0". */
  version?: string
  /** How integers beyond 2^53 arrive in arguments. Defaults to "bigint". */
  integers?: Integers
}

/** What every action can declare. All durations are ms. */
export interface ActionOptions {
  summary?: string
  /** How long the action may take. Defaults to 10000. */
  timeout?: number
  /** Whether the action may run twice. Defaults to true if it has routes and all of them are GET. */
  safe?: boolean
  /** Of a safe action: how its results are shared. A ttl of 0 stores nothing; identical requests share a run. */
  cache?: {
    ttl: number
    tags?: string[]
    public?: boolean
    staleWhileRevalidate?: number
    staleIfError?: number
  }
  /** The cache tags that the action makes stale; {0} is its first argument. */
  invalidates?: string[]
  /** The key whose requests run one at a time; {0} is the first argument. */
  lane?: string
  /** The scopes that a caller needs, all of them. */
  scopes?: string[]
  deprecated?: boolean
  /** The schema of the result. */
  result?: AnySchema
  /** Further routes of the action, such as "PATCH /users/:id". */
  routes?: string[]
}

export interface RouteOptions extends ActionOptions {
  /** The schemas of path parameters by name. Defaults to a string for each. */
  params?: Record<string, AnySchema>
  /** Of GET and DELETE: the schema of the query, an object. Defaults to no query. */
  query?: AnySchema
  /** Of POST, PUT and PATCH: the schema of the body. Defaults to any object; false: no body. */
  body?: AnySchema | false
}

export interface PlainOptions extends ActionOptions {
  /** The schemas of the arguments, by position or by name in order. Defaults to none. */
  args?: readonly AnySchema[] | Record<string, AnySchema>
}

type Parameter<O, N> = O extends { params: infer S } ? (N extends keyof S ? Infer<S[N]> : string) : string
type Parameters<P extends string, O> = P extends `${string}:${infer N}/${infer R}`
  ? [Parameter<O, N>, ...Parameters<R, O>]
  : P extends `${string}:${infer N}`
    ? [Parameter<O, N>]
    : []
type Query<O> = O extends { query: infer S extends AnySchema } ? [query: Infer<S>] : []
type Body<O> = O extends { body: false } ? [] : O extends { body: infer S extends AnySchema } ? [body: Infer<S>] : [body: any]
type Plain<O> = O extends { args: infer A extends readonly AnySchema[] }
  ? { -readonly [I in keyof A]: Infer<A[I]> }
  : any[]

export type Handler<A extends unknown[] = any[]> = (ctx: Context, ...args: A) => unknown

interface Read<S> {
  <P extends string>(name: string, path: P, handler: Handler<Parameters<P, {}>>): S
  <P extends string, const O extends RouteOptions>(name: string, path: P, options: O, handler: Handler<[...Parameters<P, O>, ...Query<O>]>): S
}
interface Write<S> {
  <P extends string>(name: string, path: P, handler: Handler<[...Parameters<P, {}>, body: any]>): S
  <P extends string, const O extends RouteOptions>(name: string, path: P, options: O, handler: Handler<[...Parameters<P, O>, ...Body<O>]>): S
}

/** One action as the worker runs it. */
export interface Declared {
  readonly action: Action
  readonly handler: Handler
  readonly refine: ((values: unknown[]) => unknown) | undefined
}

/** Returns a service without actions. */
export function service(name: string, options: ServiceOptions = {}): Service {
  return new Service(name, options)
}

export class Service {
  readonly declared = new Map<string, Declared>()
  readonly version: string
  readonly integers: Integers

  constructor(
    readonly name: string,
    options: ServiceOptions,
  ) {
    checkService(name)
    this.version = options.version ?? '0.0.0'
    this.integers = options.integers ?? 'bigint'
  }

  /** Declares an action with a route GET. It is safe. */
  readonly get: Read<this> = (name: string, path: string, ...rest: any[]) => this.#route('GET', name, path, rest)
  readonly delete: Read<this> = (name: string, path: string, ...rest: any[]) => this.#route('DELETE', name, path, rest)
  readonly post: Write<this> = (name: string, path: string, ...rest: any[]) => this.#route('POST', name, path, rest)
  readonly put: Write<this> = (name: string, path: string, ...rest: any[]) => this.#route('PUT', name, path, rest)
  readonly patch: Write<this> = (name: string, path: string, ...rest: any[]) => this.#route('PATCH', name, path, rest)

  /** Declares an action without a route of its own. Handlers and compositions call it by its name. */
  action(name: string, handler: Handler<[]>): this
  action<const O extends PlainOptions>(name: string, options: O, handler: Handler<Plain<O>>): this
  action(name: string, ...rest: any[]): this {
    const [options, handler] = split<PlainOptions>(name, rest)
    const args = Object.entries(options.args ?? {}).map(([key, schema]) => ({
      name: Array.isArray(options.args) ? `arg${key}` : key,
      schema,
    }))
    return this.#add(name, options, options.routes ?? [], args, handler)
  }

  get manifest(): Manifest {
    return {
      service: this.name,
      version: this.version,
      protocol: 1,
      actions: Array.from(this.declared.values(), (d) => d.action),
    }
  }

  #route(method: string, name: string, path: string, rest: unknown[]): this {
    const [options, handler] = split<RouteOptions>(name, rest)
    const parameters = Array.from(path.matchAll(/:([^/]*)/g), (m) => m[1]!)
    for (const key of Object.keys(options.params ?? {})) {
      if (!parameters.includes(key)) throw new TypeError(`action ${name}: params.${key} is no parameter of the path ${path}`)
    }
    const args: { name: string; in: string; schema: AnySchema }[] = parameters.map((parameter) => ({
      name: parameter,
      in: 'path',
      schema: options.params?.[parameter] ?? string(),
    }))
    if (method === 'GET' || method === 'DELETE') {
      if (options.body) throw new TypeError(`action ${name}: a ${method} has no body; use query`)
      if (options.query) args.push({ name: 'query', in: 'query', schema: options.query })
    } else {
      if (options.query) throw new TypeError(`action ${name}: a ${method} has no query; use body`)
      if (options.body !== false) args.push({ name: 'body', in: 'body', schema: options.body ?? { type: 'object' } })
    }
    return this.#add(name, options, [`${method} ${path}`, ...(options.routes ?? [])], args, handler)
  }

  #add(name: string, o: ActionOptions, routes: string[], args: { name: string; in?: string; schema: AnySchema }[], handler: Handler): this {
    const { cache } = o
    const action: Action = {
      name,
      summary: o.summary,
      routes,
      safe: o.safe ?? (routes.length > 0 && routes.every((r) => r.startsWith('GET '))),
      timeout_ms: o.timeout ?? 10_000,
      args: args.map((a): Argument => ({ ...a, schema: jsonSchema(a.schema) })),
      result: o.result && jsonSchema(o.result),
      cache: cache && {
        ttl_ms: cache.ttl,
        tags: cache.tags,
        public: cache.public,
        stale_while_revalidate_ms: cache.staleWhileRevalidate,
        stale_if_error_ms: cache.staleIfError,
      },
      invalidates: o.invalidates,
      lane: o.lane,
      scopes: o.scopes,
      deprecated: o.deprecated,
    }
    if (this.declared.has(name)) throw new TypeError(`action ${name} is declared twice`)
    checkAction(this.name, action)
    this.declared.set(name, { action, handler, refine: refiner(args) })
    return this
  }
}

function split<O extends object>(name: string, rest: unknown[]): [O, Handler] {
  const [options, handler] = rest.length > 1 ? rest : [{}, rest[0]]
  if (typeof handler !== 'function') throw new TypeError(`action ${name}: the last argument has to be the handler, a function`)
  if (options === null || typeof options !== 'object') throw new TypeError(`action ${name}: options have to be an object`)
  const unknown = Object.keys(options).find((key) => !known.has(key))
  if (unknown) throw new TypeError(`action ${name}: unknown option ${unknown}; options are ${Array.from(known).join(', ')}`)
  return [options as O, handler as Handler]
}

const known = new Set(
  'summary timeout safe cache invalidates lane scopes deprecated result routes params query body args'.split(' '),
)
