import type { Schema } from './schema.js'

/** The declaration of a service, as it is sent. */
export interface Manifest {
  service: string
  version: string
  protocol: 1
  actions: Action[]
}

export interface Action {
  name: string
  summary?: string | undefined
  routes: string[]
  safe: boolean
  timeout_ms: number
  args: Argument[]
  result?: Schema | undefined
  cache?:
    | {
        ttl_ms: number
        tags?: string[] | undefined
        public?: boolean | undefined
        stale_while_revalidate_ms?: number | undefined
        stale_if_error_ms?: number | undefined
      }
    | undefined
  invalidates?: string[] | undefined
  lane?: string | undefined
  scopes?: string[] | undefined
  deprecated?: boolean | undefined
}

export interface Argument {
  name: string
  in?: string
  schema: Schema
}

export function checkService(name: string): void {
  if (!/^[a-z][a-z0-9-]{0,63}$/.test(name)) {
    throw new TypeError(`service name ${JSON.stringify(name)}: want a lower-case letter, then lower-case letters, digits or hyphens`)
  }
}

/** Throws a TypeError that names every fault of the action. */
export function checkAction(service: string, action: Action): void {
  const faults: string[] = []
  if (!/^[A-Z][A-Z0-9_]{0,63}$/.test(action.name)) {
    faults.push('its name has to be an upper-case letter, then upper-case letters, digits or underscores, at most 64')
  }
  if (!(Number.isInteger(action.timeout_ms) && action.timeout_ms > 0)) {
    faults.push(`timeout ${action.timeout_ms} has to be a positive whole number of ms`)
  }
  if (action.cache && !(Number.isInteger(action.cache.ttl_ms) && action.cache.ttl_ms >= 0)) {
    faults.push(`cache.ttl ${action.cache.ttl_ms} has to be a whole number of ms`)
  }
  if (action.cache && !action.safe) faults.push('only a safe action can have a cache')
  if (action.invalidates?.length && action.safe) faults.push('a safe action cannot invalidate tags')
  if (action.lane && action.cache) faults.push('cache and lane exclude each other: a cached answer does not wait in a lane')
  checkRoutes(service, action, faults)
  checkTemplates(action, faults)
  if (faults.length > 0) throw new TypeError(`action ${action.name} of ${service}: ${faults.join('; ')}`)
}

function checkRoutes(service: string, action: Action, faults: string[]): void {
  const pattern = new RegExp(`^(GET|POST|PUT|PATCH|DELETE) /${service}(/(:[a-z_][a-z0-9_]*|[A-Za-z0-9._~-]+))*$`)
  const names = (route: string) => Array.from(route.matchAll(/:([^/]*)/g), (m) => m[1]).join(', ')
  for (const route of action.routes) {
    if (!pattern.test(route)) {
      faults.push(`route ${JSON.stringify(route)}: want a method and a path below /${service} with literal and :parameter segments in lower case`)
    } else if (names(route) !== names(action.routes[0]!)) {
      faults.push(`route ${JSON.stringify(route)}: want the parameters of the first route (${names(action.routes[0]!)})`)
    } else if (route.startsWith('DELETE ') && action.safe) {
      faults.push(`route ${JSON.stringify(route)} is a DELETE, but the action is safe`)
    }
  }
}

function checkTemplates(action: Action, faults: string[]): void {
  for (const text of [action.lane ?? '', ...(action.invalidates ?? []), ...(action.cache?.tags ?? [])]) {
    for (const [, inside] of text.matchAll(/\{([^}]*)\}/g)) {
      if (!/^\d+$/.test(inside!) || Number(inside) >= action.args.length) {
        faults.push(`${JSON.stringify(text)}: {${inside}} is no argument; there are ${action.args.length}, counted from 0`)
      }
    }
  }
}
