// JSON with integers of any size. JSON.parse rounds integers beyond 2^53 to a number that is not the
// one that was sent; parse returns such an integer as a BigInt.

/** How integers beyond 2^53 arrive: as BigInt, or rounded as by JSON.parse. */
export type Integers = 'bigint' | 'number'

// The mark is random: no string of a message can be taken for an integer.
const mark = `int:${Array.from(globalThis.crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join('')}:`
const marked = new RegExp(`"${mark}(-?\\d+)"`, 'g')
const long = /\d{16}/

export function parse(text: string, integers: Integers = 'bigint'): any {
  if (integers === 'number' || !long.test(text)) return JSON.parse(text)
  const quoted = quoteLongIntegers(text)
  return quoted === text ? JSON.parse(text) : JSON.parse(quoted, revive)
}

function revive(_: string, value: unknown): unknown {
  return typeof value === 'string' && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value
}

/** Puts each integer beyond 2^53 into a string with the mark. */
function quoteLongIntegers(text: string): string {
  let out = ''
  let copied = 0
  for (let i = 0; i < text.length; ) {
    const c = text.charCodeAt(i)
    if (c === 0x22) {
      i = endOfString(text, i)
    } else if (c === 0x2d || (c >= 0x30 && c <= 0x39)) {
      const start = i
      do i++
      while (i < text.length && /[\d.eE+-]/.test(text[i]!))
      const number = text.slice(start, i)
      if (i - start >= 16 && /^-?\d+$/.test(number) && !Number.isSafeInteger(Number(number))) {
        out += `${text.slice(copied, start)}"${mark}${number}"`
        copied = i
      }
    } else {
      i++
    }
  }
  return out + text.slice(copied)
}

/** Returns the position after the string that starts at the position. */
function endOfString(text: string, start: number): number {
  let i = start + 1
  for (;;) {
    const quote = text.indexOf('"', i)
    if (quote < 0) return text.length
    let backslashes = 0
    while (text.charCodeAt(quote - 1 - backslashes) === 0x5c) backslashes++
    if (backslashes % 2 === 0) return quote + 1
    i = quote + 1
  }
}

/** Returns the JSON of a value. A BigInt becomes an integer; undefined and functions become null. */
export function stringify(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'null'
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    return JSON.stringify(value, markBigInt).replace(marked, '$1') // a cycle fails again here
  }
}

function markBigInt(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? mark + value : value
}
