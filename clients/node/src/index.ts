export * from './node-client.js'
export type { Context, Principal } from './context.js'
export { array, boolean, int, int64, number, object, string, type Infer, type Schema, type StandardSchema } from './schema.js'
export { serve, type ServeOptions } from './serve.js'
export {
  service,
  Service,
  type ActionOptions,
  type Handler,
  type PlainOptions,
  type RouteOptions,
  type ServiceOptions,
} from './service.js'
