// The codec "carp" for carp's value model: the protobuf messages Value, Args and
// Result of carpgo/v1/carp.proto, for those who have protobuf and nothing else.

import protobuf from 'protobufjs/minimal.js';

import {
  checkedPairs, deeper, Instant, kindOf, LocalDate, LocalDateTime, MAX_INT, Named, pairsOf, Ref,
  textOf, ValueError,
} from './values.js';

const { Reader, Writer } = protobuf;

/** @returns {Buffer} a Value */
export function encode(value) {
  return finished(writeValue(Writer.create(), value, 0));
}

/** @param {Uint8Array} body a Value */
export function decode(body) {
  return checked(() => readValue(body, 0));
}

/** @returns {Buffer} the body of a request: an Args */
export function encodeArguments(args, named = {}) {
  const out = Writer.create();
  for (const arg of args) nested(out, 1, (inner) => writeValue(inner, arg, 0));
  for (const [name, value] of Object.entries(named)) {
    nested(out, 2, (entry) => {
      entry.uint32(tag(1, BYTES)).string(name);
      nested(entry, 2, (inner) => writeValue(inner, value, 0));
    });
  }
  return finished(out);
}

/** @param {Uint8Array} body that of a reply: a Result, in which nothing is null */
export function decodeResult(body) {
  return checked(() => {
    let result = null;
    read(body, { 1: [BYTES, (reader) => (result = readValue(reader.bytes(), 0))] });
    return result;
  });
}

// Wire types of protobuf.
const VARINT = 0;
const EIGHT = 1;
const BYTES = 2;

const tag = (field, wire) => (field << 3) | wire;
const finished = (out) => Buffer.from(out.finish());

/** Writes a message as a field of another. */
function nested(out, field, write) {
  write(out.uint32(tag(field, BYTES)).fork());
  return out.ldelim();
}

/** An integer as protobufjs takes it. */
const halves = (value) => ({
  low: Number(BigInt.asIntN(32, value)),
  high: Number(BigInt.asIntN(32, value >> 32n)),
});

const signed = ({ low, high }) => (BigInt(high) << 32n) | BigInt(low >>> 0);
const unsigned = (long) => BigInt.asUintN(64, signed(long));

/** Writes integers as fields, but those that are 0. */
function integers(out, values) {
  for (const [field, value] of Object.entries(values)) {
    if (value) out.uint32(tag(Number(field), VARINT)).int32(value);
  }
}

function texts(out, values) {
  for (const [field, value] of Object.entries(values)) {
    if (value) out.uint32(tag(Number(field), BYTES)).string(value);
  }
}

function writeValue(out, value, depth) {
  const kind = kindOf(value);
  switch (kind) {
    case 'null':
      return nested(out, 1, () => {});
    case 'bool':
      return out.uint32(tag(2, VARINT)).bool(value);
    case 'int':
      return value <= MAX_INT
        ? out.uint32(tag(3, VARINT)).sint64(halves(value))
        : out.uint32(tag(4, VARINT)).uint64(halves(value));
    case 'float':
      return out.uint32(tag(5, EIGHT)).double(value);
    case 'text':
      return out.uint32(tag(6, BYTES)).string(value);
    case 'bytes':
      return out.uint32(tag(7, BYTES)).bytes(value);
    case 'list': {
      const inside = deeper(depth);
      return nested(out, 8, (list) => {
        for (const item of value) nested(list, 1, (inner) => writeValue(inner, item, inside));
      });
    }
    case 'map':
      return writeMap(out, pairsOf(value), deeper(depth));
    case 'named':
      return nested(out, 14, (named) => {
        texts(named, { 1: value.name });
        nested(named, 2, (inner) => writeValue(inner, value.value, deeper(depth)));
      });
    case 'ref':
      return nested(out, 13, (ref) => texts(ref, { 1: value.class, 2: value.id, 3: value.host }));
  }
  return writeTime(out, kind, value);
}

function writeMap(out, pairs, depth) {
  return nested(out, 9, (map) => {
    for (const pair of pairs) {
      nested(map, 1, (entry) =>
        pair.forEach((item, i) => nested(entry, i + 1, (inner) => writeValue(inner, item, depth))));
    }
  });
}

function writeTime(out, kind, value) {
  switch (kind) {
    case 'instant': {
      const { seconds, nanos } = value instanceof Date ? Instant.fromDate(value) : value;
      return nested(out, 10, (time) => {
        if (seconds) time.uint32(tag(1, VARINT)).int64(halves(seconds));
        integers(time, { 2: nanos });
      });
    }
    case 'date':
      return nested(out, 11, (date) => writeDate(date, value.text));
    case 'civil': {
      const [date, clock] = value.text.split('T');
      const [hour, minute, second] = clock.slice(0, 8).split(':').map(Number);
      const nanos = Number(clock.slice(9).padEnd(9, '0'));
      return nested(out, 12, (time) => {
        nested(time, 1, (inner) => writeDate(inner, date));
        integers(time, { 2: hour, 3: minute, 4: second, 5: nanos });
      });
    }
  }
  throw new ValueError(`carp has no ${kind}`);
}

function writeDate(out, text) {
  const [year, month, day] = text.split('-').map(Number);
  integers(out, { 1: year, 2: month, 3: day });
}

/** What protobufjs says of bytes that are no messages is an error like the others. */
function checked(run) {
  try {
    return run();
  } catch (error) {
    throw error instanceof ValueError ? error : new ValueError(`no message: ${error.message}`);
  }
}

/** Reads a message with a function for each field. What it doesn't know it passes over. */
function read(data, fields) {
  const reader = Reader.create(data);
  while (reader.pos < reader.len) {
    const head = reader.uint32();
    const [wire, take] = fields[head >>> 3] ?? [];
    if (wire === (head & 7)) take(reader);
    else reader.skipType(head & 7);
  }
}

/** Fields that are kept as they are, by name. */
function fieldsOf(data, names, wire, take) {
  const found = {};
  const keep = ([field, name]) => [field, [wire, (reader) => (found[name] = take(reader))]];
  read(data, Object.fromEntries(Object.entries(names).map(keep)));
  return found;
}

const KINDS = {
  1: [BYTES, (reader) => (reader.bytes(), null)],
  2: [VARINT, (reader) => reader.bool()],
  3: [VARINT, (reader) => signed(reader.sint64())],
  4: [VARINT, (reader) => unsigned(reader.uint64())],
  5: [EIGHT, (reader) => reader.double()],
  6: [BYTES, (reader) => textOf(reader.bytes())],
  7: [BYTES, (reader) => Buffer.from(reader.bytes())],
  8: [BYTES, (reader, depth) => readList(reader.bytes(), deeper(depth))],
  9: [BYTES, (reader, depth) => readMap(reader.bytes(), deeper(depth))],
  10: [BYTES, (reader) => readInstant(reader.bytes())],
  11: [BYTES, (reader) => new LocalDate(dateText(reader.bytes()))],
  12: [BYTES, (reader) => readCivil(reader.bytes())],
  13: [BYTES, (reader) => readRef(reader.bytes())],
  14: [BYTES, (reader, depth) => readNamed(reader.bytes(), deeper(depth))],
};

/** A Value, of one kind. */
function readValue(data, depth) {
  const reader = Reader.create(data);
  const head = reader.uint32();
  const [wire, take] = KINDS[head >>> 3] ?? [];
  if (wire !== (head & 7)) throw new ValueError(`no kind of value has the number ${head >>> 3}`);
  const value = take(reader, depth);
  if (reader.pos !== reader.len) throw new ValueError('a value has more than one kind');
  return value;
}

function readList(data, depth) {
  const items = [];
  read(data, { 1: [BYTES, (reader) => items.push(readValue(reader.bytes(), depth))] });
  return items;
}

function readMap(data, depth) {
  const pairs = [];
  const pair = (entry) => {
    const { key, value } = fieldsOf(entry, { 1: 'key', 2: 'value' }, BYTES, (r) => r.bytes());
    if (!key || !value) throw new ValueError('an entry has a key and a value');
    pairs.push([readValue(key, depth), readValue(value, depth)]);
  };
  read(data, { 1: [BYTES, (reader) => pair(reader.bytes())] });
  return new Map(checkedPairs(pairs));
}

function readInstant(data) {
  let seconds = 0n;
  let nanos = 0;
  read(data, {
    1: [VARINT, (reader) => (seconds = signed(reader.int64()))],
    2: [VARINT, (reader) => (nanos = reader.int32())],
  });
  return new Instant(seconds, nanos);
}

const digits = (n, width) => String(n).padStart(width, '0');

function dateText(data) {
  const names = { 1: 'year', 2: 'month', 3: 'day' };
  const { year = 0, month = 0, day = 0 } = fieldsOf(data, names, VARINT, (r) => r.int32());
  return `${digits(year, 4)}-${digits(month, 2)}-${digits(day, 2)}`;
}

function readCivil(data) {
  const { date } = fieldsOf(data, { 1: 'date' }, BYTES, (reader) => reader.bytes());
  const names = { 2: 'hour', 3: 'minute', 4: 'second', 5: 'nanos' };
  const time = fieldsOf(data, names, VARINT, (reader) => reader.int32());
  const { hour = 0, minute = 0, second = 0, nanos = 0 } = time;
  if (!date) throw new ValueError('a date and time has a date');
  const clock = [hour, minute, second].map((n) => digits(n, 2)).join(':');
  return new LocalDateTime(`${dateText(date)}T${clock}.${digits(nanos, 9)}`);
}

function readRef(data) {
  const names = { 1: 'class', 2: 'id', 3: 'host' };
  const parts = fieldsOf(data, names, BYTES, (reader) => textOf(reader.bytes()));
  return new Ref(parts.class ?? '', parts.id ?? '', parts.host ?? '');
}

function readNamed(data, depth) {
  const { name, value } = fieldsOf(data, { 1: 'name', 2: 'value' }, BYTES, (r) => r.bytes());
  if (!name || !value) throw new ValueError('a named value has a name and a value');
  return new Named(textOf(name), readValue(value, depth));
}
