// The codec "json" for carp's value model. JSON.parse can't be had for it: it
// rounds integers, takes the later of two equal keys and half of a surrogate pair.

import {
  checkedPairs, deeper, Instant, kindOf, LocalDate, LocalDateTime, MAX_UINT, MIN_INT, Named,
  pairsOf, Ref, textOf, ValueError,
} from './values.js';

/** @returns {Buffer} */
export function encode(value) {
  return Buffer.from(text(value, 0));
}

/** @param {Uint8Array} body all of which is one value */
export function decode(body) {
  const parser = new Parser(textOf(body));
  const value = parser.value(0);
  parser.expect('', 'the end');
  return value;
}

function text(value, depth) {
  const kind = kindOf(value);
  switch (kind) {
    case 'null':
    case 'bool':
    case 'int':
      return String(value);
    case 'float':
      return number(value);
    case 'text':
      return JSON.stringify(value);
    case 'bytes':
      return `{"$bytes":"${Buffer.from(value).toString('base64')}"}`;
    case 'list':
      return `[${value.map((item) => text(item, deeper(depth))).join(',')}]`;
    case 'map':
      return object(pairsOf(value), deeper(depth));
    case 'instant':
      return `{"$time":"${value instanceof Date ? Instant.fromDate(value) : value}"}`;
    case 'date':
      return `{"$date":"${value}"}`;
    case 'civil':
      return `{"$datetime":"${value}"}`;
    case 'ref':
      return `{"$ref":${JSON.stringify({ class: value.class, id: value.id, host: value.host })}}`;
    case 'named':
      return `{"$type":${text(value.name, depth)},"$value":${text(value.value, deeper(depth))}}`;
  }
  throw new ValueError(`JSON has no ${kind}`);
}

function number(value) {
  if (!Number.isFinite(value)) throw new ValueError(`JSON has no ${value}`);
  const digits = Object.is(value, -0) ? '-0' : String(value);
  return /[.e]/.test(digits) ? digits : `${digits}.0`;
}

function object(pairs, depth) {
  if (pairs.every(([key]) => typeof key === 'string')) {
    const entry = ([key, value]) =>
      `${text(key.startsWith('$') ? `$${key}` : key, depth)}:${text(value, depth)}`;
    return `{${pairs.map(entry).join(',')}}`;
  }
  const pair = ([key, value]) => `[${text(key, depth)},${text(value, depth)}]`;
  return `{"$map":[${pairs.map(pair).join(',')}]}`;
}

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORDS = { null: null, true: true, false: false };

class Parser {
  constructor(source) {
    this.source = source;
    this.at = 0;
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.source);
    if (match) this.at = pattern.lastIndex;
    return match;
  }

  /** Whether a character is next; then it is taken. */
  next(character) {
    this.match(SPACE);
    if (this.source[this.at] !== character) return false;
    this.at++;
    return true;
  }

  expect(character, name = character) {
    this.match(SPACE);
    if ((this.source[this.at] ?? '') !== character) {
      throw new ValueError(`expected ${name} at character ${this.at} of the JSON`);
    }
    this.at++;
  }

  value(depth) {
    this.match(SPACE);
    switch (this.source[this.at]) {
      case '"':
        return this.text();
      case '[':
        return this.list(deeper(depth));
      case '{':
        return marked(this.object(depth), depth);
    }
    const word = Object.keys(WORDS).find((w) => this.source.startsWith(w, this.at));
    if (word) {
      this.at += word.length;
      return WORDS[word];
    }
    return this.number();
  }

  number() {
    const match = this.match(NUMBER);
    if (!match) throw new ValueError(`expected a value at character ${this.at} of the JSON`);
    const [digits, fraction, exponent] = match;
    const value = fraction || exponent ? Number(digits) : BigInt(digits);
    const fits = typeof value === 'bigint'
      ? value >= MIN_INT && value <= MAX_UINT
      : Number.isFinite(value);
    if (!fits) throw new ValueError(`the number ${digits} is too large`);
    return value;
  }

  text() {
    const match = this.match(STRING);
    if (!match) throw new ValueError(`a malformed text at character ${this.at} of the JSON`);
    const value = JSON.parse(match[0]);
    kindOf(value); // refuses half of a surrogate pair
    return value;
  }

  list(depth) {
    this.expect('[');
    const items = [];
    if (this.next(']')) return items;
    do items.push(this.value(depth));
    while (this.next(','));
    this.expect(']');
    return items;
  }

  /** The pairs of an object, with keys as they stand, each once. */
  object(depth) {
    this.expect('{');
    const pairs = [];
    if (!this.next('}')) {
      do {
        this.match(SPACE);
        const key = this.text();
        this.expect(':');
        pairs.push([key, this.value(depthOf(key, depth))]);
      } while (this.next(','));
      this.expect('}');
    }
    return checkedPairs(pairs);
  }
}

const isMark = (key) => key.startsWith('$') && !key.startsWith('$$');

/** The depth of a key's value. The lists of $map are JSON's, and not the value's. */
function depthOf(key, depth) {
  if (key === '$map') return depth - 1;
  return !isMark(key) || key === '$value' ? deeper(depth) : depth;
}

/** What the pairs of an object stand for. */
function marked(pairs, depth) {
  if (!pairs.some(([key]) => isMark(key))) {
    deeper(depth);
    return new Map(pairs.map(([key, value]) => [key.startsWith('$') ? key.slice(1) : key, value]));
  }
  const keys = pairs.map(([key]) => key).sort().join(' ');
  if (keys === '$type $value') {
    const found = Object.fromEntries(pairs);
    return new Named(found.$type, found.$value);
  }
  const mark = MARKS[keys];
  if (!mark) throw new ValueError(`the keys ${keys} together mean nothing`);
  return mark(pairs[0][1]);
}

const MARKS = {
  $bytes: base64,
  $time: (value) => Instant.parse(string(value)),
  $date: (value) => new LocalDate(string(value)),
  $datetime: (value) => new LocalDateTime(string(value)),
  $ref: reference,
  $map: pairs,
};

function string(value) {
  if (typeof value !== 'string') throw new ValueError('expected a text');
  return value;
}

function base64(value) {
  const bytes = Buffer.from(string(value), 'base64');
  if (bytes.toString('base64') !== value) throw new ValueError('the bytes are no base64');
  return bytes;
}

function reference(value) {
  const allowed = ['class', 'id', 'host'];
  if (!(value instanceof Map) || [...value.keys()].some((key) => !allowed.includes(key))) {
    throw new ValueError('a reference has a class, an id and a host');
  }
  return new Ref(value.get('class') ?? '', value.get('id') ?? '', value.get('host') ?? '');
}

function pairs(value) {
  if (!Array.isArray(value) || !value.every((pair) => Array.isArray(pair) && pair.length === 2)) {
    throw new ValueError('$map has a list of pairs');
  }
  return new Map(checkedPairs(value));
}
