// The tables of values that all languages share; interop/testdata tells of them.

import assert from 'node:assert/strict';
import test from 'node:test';

import { codecs } from '../carp/call.js';
import { LocalDateTime, Instant, ValueError } from '../carp/values.js';
import { read, table } from './support.js';

const spelled = (codec, text) => Buffer.from(text, codec === 'json' ? 'utf8' : 'hex');

/** Whether encoders have no choice of an order or a spelling. */
function spellingIsFixed(notation, codec) {
  const { ref, named, float, map } = notation ?? {};
  if (codec === 'json' || ref || named || float === 'nan') return false;
  return !map || map.length < 2;
}

for (const [codec, { encode, decode }] of Object.entries(codecs)) {
  for (const row of table('values.jsonl')) {
    test(`${codec}: ${row.name}`, () => {
      const want = read(row.value);
      if (!row[codec]) {
        assert.throws(() => encode(want), ValueError);
        return;
      }
      const body = encode(read(row.from ?? row.value));
      assert.deepEqual(decode(body), want);
      for (const text of row[codec]) assert.deepEqual(decode(spelled(codec, text)), want, text);
      if (row[codec].length > 0 && spellingIsFixed(row.value, codec)) {
        assert.deepEqual(body, spelled(codec, row[codec][0]));
      }
    });
  }
  for (const { why, body } of table('malformed.jsonl').filter((row) => row.codec === codec)) {
    test(`${codec} refuses ${why}`, () => {
      assert.throws(() => decode(Buffer.from(body, 'hex')), ValueError);
    });
  }
  test(`${codec} refuses what JavaScript alone has`, () => {
    const cyclic = [];
    cyclic.push(cyclic);
    const refused = [
      undefined, [undefined], () => 1, Symbol('s'), '\ud800', new Map([['\udc00', 1]]), /x/, cyclic,
      new Map([[[], 1]]), new Map([[NaN, 1]]), new Map([[Buffer.of(1), 1], [Buffer.of(1), 2]]),
      new Date(NaN),
    ];
    for (const value of refused) assert.throws(() => encode(value), Error, String(value?.source));
    const nested = Array.from({ length: 100 }).reduce((inner) => [inner], null);
    assert.deepEqual(decode(encode(nested)), nested);
    assert.throws(() => encode([nested]), ValueError);
    const maps = Array.from({ length: 100 }).reduce((inner) => new Map([[1n, inner]]), null);
    assert.deepEqual(decode(encode(maps)), maps);
    assert.throws(() => encode(new Map([[1n, maps]])), ValueError);
  });
  test(`${codec} takes plain objects and dates`, () => {
    const date = new Date('1969-12-31T23:59:59.999Z');
    const got = decode(encode({ a: { b: 1 }, when: date }));
    assert.deepEqual(got, new Map([['a', new Map([['b', 1]])], ['when', Instant.fromDate(date)]]));
    assert.deepEqual(got.get('when').toDate(), date);
  });
}

test('carp refuses a value of two kinds', () => {
  assert.throws(() => codecs.carp.decode(Buffer.from('10011000', 'hex')), ValueError);
});

test('instants in other zones, and in too fine a grain for a Date', () => {
  assert.equal(String(Instant.parse('2024-01-01T01:30:00.25+01:30')), '2024-01-01T00:00:00.25Z');
  assert.equal(String(Instant.parse('2023-12-31T23:00:00-01:00')), '2024-01-01T00:00:00Z');
  assert.throws(() => Instant.parse('2024-01-01T00:00:00.0000001Z').toDate(), ValueError);
  assert.equal(String(new LocalDateTime('2024-01-01T00:00:00.500')), '2024-01-01T00:00:00.5');
});
