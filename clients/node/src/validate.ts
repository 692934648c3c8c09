import { stringify } from './json.js'
import type { Schema } from './schema.js'

export interface Problem {
  field: string
  problem: string
}

/**
 * Returns what does not fit the schema. It knows type, enum, const, properties, required,
 * additionalProperties, items, anyOf and the limits of numbers, strings and arrays. It is for tests; the
 * gateway knows all keywords.
 */
export function problems(schema: Schema, value: unknown, field: string): Problem[] {
  const s = schema as Record<string, any>
  const found: Problem[] = []
  const fault = (problem: string) => found.push({ field, problem })
  if (s.type !== undefined && ![s.type].flat().some((type) => hasType(type, value))) {
    return [{ field, problem: `want ${[s.type].flat().join(' or ')}` }]
  }
  if (s.enum !== undefined && !s.enum.some((one: unknown) => same(one, value))) fault(`want one of ${JSON.stringify(s.enum)}`)
  if (s.const !== undefined && !same(s.const, value)) fault(`want ${JSON.stringify(s.const)}`)
  if (s.anyOf !== undefined && !s.anyOf.some((one: Schema) => problems(one, value, field).length === 0)) fault('fits none of anyOf')
  if (typeof value === 'number' || typeof value === 'bigint') {
    if (value < s.minimum) fault(`want at least ${s.minimum}`)
    if (value > s.maximum) fault(`want at most ${s.maximum}`)
    if (value <= s.exclusiveMinimum) fault(`want more than ${s.exclusiveMinimum}`)
    if (value >= s.exclusiveMaximum) fault(`want less than ${s.exclusiveMaximum}`)
  } else if (typeof value === 'string') {
    const length = Array.from(value).length
    if (length < s.minLength) fault(`want at least ${s.minLength} characters`)
    if (length > s.maxLength) fault(`want at most ${s.maxLength} characters`)
    if (s.pattern !== undefined && !new RegExp(s.pattern, 'u').test(value)) fault(`does not match ${s.pattern}`)
  } else if (Array.isArray(value)) {
    if (value.length < s.minItems) fault(`want at least ${s.minItems} items`)
    if (value.length > s.maxItems) fault(`want at most ${s.maxItems} items`)
    if (s.items) value.forEach((item, i) => found.push(...problems(s.items, item, `${field}.${i}`)))
  } else if (typeof value === 'object' && value !== null) {
    found.push(...members(s, value as Record<string, unknown>, field))
  }
  return found
}

function members(s: Record<string, any>, value: Record<string, unknown>, field: string): Problem[] {
  const found: Problem[] = []
  for (const name of s.required ?? []) {
    if (!Object.hasOwn(value, name)) found.push({ field: `${field}.${name}`, problem: 'is missing' })
  }
  for (const [name, member] of Object.entries(value)) {
    const path = `${field}.${name}`
    const known = s.properties && Object.hasOwn(s.properties, name) ? s.properties[name] : undefined
    if (known) found.push(...problems(known, member, path))
    else if (s.additionalProperties === false) found.push({ field: path, problem: 'is not declared' })
    else if (typeof s.additionalProperties === 'object') found.push(...problems(s.additionalProperties, member, path))
  }
  return found
}

function hasType(type: string, value: unknown): boolean {
  switch (type) {
    case 'null':
      return value === null
    case 'array':
      return Array.isArray(value)
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value)
    case 'integer':
      return typeof value === 'bigint' || Number.isInteger(value)
    case 'number':
      return typeof value === 'number' || typeof value === 'bigint'
    default:
      return typeof value === type
  }
}

const same = (a: unknown, b: unknown) => stringify(a) === stringify(b)
