import { BadRequest } from './errors.js'

/** A JSON Schema of draft 2020-12. T is the type of a value that fits; it exists for the compiler only. */
export interface Schema<T = any> {
  readonly __value?: T
  readonly [keyword: string]: unknown
}

/**
 * The part of Standard Schema that is used: https://standardschema.dev. Schemas of zod 4.2 and newer
 * have it, and those of other libraries.
 */
export interface StandardSchema<T = any> {
  readonly '~standard': {
    readonly types?: { readonly output: T } | undefined
    readonly validate: (value: unknown) => Validation | Promise<Validation>
    readonly jsonSchema?: { readonly input: (options: { target: any }) => Record<string, unknown> }
  }
}

interface Validation {
  readonly value?: unknown
  readonly issues?: readonly { message: string; path?: readonly unknown[] | undefined }[] | undefined
}

export type AnySchema = Schema | StandardSchema

/** The type of a value that fits a schema; any if the schema does not say. */
export type Infer<S> =
  S extends StandardSchema<infer T> ? T : S extends { readonly __value?: infer T } ? (unknown extends T ? any : T) : any

interface Keywords {
  description?: string
  [keyword: string]: unknown
}

/** An integer that a number holds exactly: up to 2^53 - 1. */
export const int = (keywords: Keywords = {}): Schema<number> => ({
  type: 'integer',
  minimum: Number.MIN_SAFE_INTEGER,
  maximum: Number.MAX_SAFE_INTEGER,
  ...keywords,
})
/** An integer of any size: a number up to 2^53 - 1, a BigInt beyond. `BigInt(value)` fits both. */
export const int64 = (keywords: Keywords = {}): Schema<number | bigint> => ({ type: 'integer', ...keywords })
export const number = (keywords: Keywords = {}): Schema<number> => ({ type: 'number', ...keywords })
export const string = (keywords: Keywords = {}): Schema<string> => ({ type: 'string', ...keywords })
export const boolean = (keywords: Keywords = {}): Schema<boolean> => ({ type: 'boolean', ...keywords })
export const array = <S extends AnySchema>(items: S, keywords: Keywords = {}): Schema<Infer<S>[]> => ({
  type: 'array',
  items: jsonSchema(items),
  ...keywords,
})

type Properties = Record<string, AnySchema>
type Values<P extends Properties> = { [K in keyof P]: Infer<P[K]> }

/** An object with these properties, the second ones optional, and no others. */
export function object<R extends Properties, O extends Properties = {}>(
  required: R,
  optional?: O,
): Schema<Values<R> & Partial<Values<O>>> {
  const properties: Record<string, Schema> = {}
  for (const [name, schema] of Object.entries({ ...required, ...optional })) properties[name] = jsonSchema(schema)
  return { type: 'object', properties, required: Object.keys(required), additionalProperties: false }
}

export function isStandard(schema: AnySchema): schema is StandardSchema {
  return typeof (schema as StandardSchema)['~standard']?.validate === 'function'
}

/** Returns the JSON Schema of a schema of any kind. */
export function jsonSchema(schema: AnySchema): Schema {
  if (!isStandard(schema)) {
    if (schema === null || typeof schema !== 'object' || Array.isArray(schema) || '_zod' in schema) {
      throw new TypeError('a schema has to be a JSON Schema, or an object of zod 4.2 or newer')
    }
    return schema
  }
  const convert = schema['~standard'].jsonSchema?.input
  if (!convert) {
    throw new TypeError('this schema cannot be converted to JSON Schema: use zod 4.2 or newer, or pass z.toJSONSchema(schema)')
  }
  const { $schema: _, ...rest } = convert({ target: 'draft-2020-12' })
  return rest
}

/**
 * Returns a function that replaces arguments by what their Standard Schemas make of them (defaults,
 * transformations), or undefined if there are none. The function throws BAD_REQUEST if one does not fit.
 */
export function refiner(args: { name: string; schema: AnySchema }[]): ((values: unknown[]) => unknown) | undefined {
  const standard = args.flatMap(({ name, schema }, i) => (isStandard(schema) ? [{ name, i, of: schema['~standard'] }] : []))
  if (standard.length === 0) return undefined
  return (values) => {
    const results = standard.map(({ of, i }) => of.validate(values[i]))
    const apply = (validations: Validation[]) => {
      const details: { field: string; problem: string }[] = []
      validations.forEach(({ issues, value }, n) => {
        const { name, i } = standard[n]!
        for (const issue of issues ?? []) {
          const path = (issue.path ?? []).map((part) => String((part as { key?: unknown })?.key ?? part))
          details.push({ field: [name, ...path].join('.'), problem: issue.message })
        }
        values[i] = value
      })
      if (details.length > 0) {
        throw BadRequest(details.map((d) => `${d.field}: ${d.problem}`).join('; '), details)
      }
    }
    return results.some((r) => r instanceof Promise)
      ? Promise.all(results).then(apply)
      : apply(results as Validation[])
  }
}
