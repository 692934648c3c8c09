import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse, stringify } from '../dist/json.js'

test('integers beyond 2^53 are BigInts, and everything else is as by JSON.parse', () => {
  assert.equal(parse('9007199254740993'), 9007199254740993n)
  assert.equal(parse('9007199254740993', 'number'), 9007199254740992)
  assert.deepEqual(parse('{"a":[-9223372036854775808,1],"b":"9007199254740993"}'), { a: [-9223372036854775808n, 1], b: '9007199254740993' })
  for (const text of [
    '9007199254740991', '-9007199254740991', '1234567890123456', '0.12345678901234567', '1e300', '12345678901234567890.5', '1234567890123456789e3',
    '"1234567890123456789"', '"\\"1234567890123456789\\\\"', '{"1234567890123456789":1}', '["\\\\",12345678901234567.0]', ' [ 1 , "x" ] ',
  ]) {
    assert.deepEqual(parse(text), JSON.parse(text), text)
  }
  assert.deepEqual(parse('["\\\\",12345678901234567890]'), ['\\', 12345678901234567890n])
  for (const text of ['12345678901234567890x', '{"a":"1234567890123456789', '-', '[12345678901234567890 1]']) assert.throws(() => parse(text), SyntaxError, text)
})

test('a long text with a long integer', () => {
  const text = `["${'a\\"'.repeat(1 << 20)}",12345678901234567890]`
  assert.equal(parse(text)[1], 12345678901234567890n)
})

test('a BigInt is sent as an integer', () => {
  assert.equal(stringify({ id: 12345678901234567890n, list: [1n, -2n], text: '3' }), '{"id":12345678901234567890,"list":[1,-2],"text":"3"}')
  assert.equal(stringify(undefined), 'null')
  assert.equal(stringify(() => 1), 'null')
  const cycle = { id: 1n }
  cycle.cycle = cycle
  assert.throws(() => stringify(cycle), /circular/)
})
