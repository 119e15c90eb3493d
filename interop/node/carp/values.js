// carp's value model in JavaScript, exactly: nothing that is decoded and encoded
// again changes.
//
//   null                 null (undefined is refused)
//   truth value          boolean
//   integer              bigint
//   floating point       number
//   text                 string
//   binary data          Buffer (any Uint8Array is taken)
//   list                 Array
//   map                  Map (a plain object is taken, too)
//   instant              Instant (a Date is taken, too)
//   date                 LocalDate
//   date and time        LocalDateTime
//   object reference     Ref
//   value of a type      Named
//
// A number is always floating point, 1 included: Go functions that take an
// integer take 1.0, but not 1.5. A function that takes anything sees a float.

/** Why a value can't be encoded, or a body not be decoded. */
export class ValueError extends Error {
  name = 'ValueError';
}

/** How deep lists, maps and named values may be nested in each other. */
export const MAX_DEPTH = 100;

export const MIN_INT = -(2n ** 63n);
export const MAX_INT = 2n ** 63n - 1n;
export const MAX_UINT = 2n ** 64n - 1n;

const NANOS = 1_000_000_000;

/** A point in time, with nanoseconds, from year 1 to 9999. */
export class Instant {
  /** @param {bigint} seconds since 1970 @param {number} nanos from 0 to 999,999,999 */
  constructor(seconds, nanos = 0) {
    if (nanos < 0 || nanos >= NANOS || seconds < MIN_SECONDS || seconds > MAX_SECONDS) {
      throw new ValueError(`no instant has ${seconds} seconds and ${nanos} nanoseconds`);
    }
    this.seconds = seconds;
    this.nanos = nanos;
  }

  static fromDate(date) {
    const millis = BigInt(date.getTime());
    const rest = ((millis % 1000n) + 1000n) % 1000n;
    return new Instant((millis - rest) / 1000n, Number(rest) * 1_000_000);
  }

  /** A Date has milliseconds only: finer instants are refused, not cut. */
  toDate() {
    if (this.nanos % 1_000_000 !== 0) {
      throw new ValueError(`${this} does not fit a Date, which has milliseconds`);
    }
    return new Date(Number(this.seconds) * 1000 + this.nanos / 1_000_000);
  }

  /** @param {string} text RFC 3339 with up to nine digits of a second */
  static parse(text) {
    const match = /^(.{19})(\.\d{1,9})?(?:Z|([+-])(\d\d):(\d\d))$/.exec(text);
    if (!match || (match[3] && (match[4] > '23' || match[5] > '59'))) {
      throw new ValueError(`${JSON.stringify(text)} is no instant`);
    }
    const offset = match[3] ? Number(`${match[3]}1`) * (match[4] * 3600 + match[5] * 60) : 0;
    return new Instant(BigInt(clock(match[1]) - offset), nanos(match[2]));
  }

  toString() {
    const shown = new Date(Number(this.seconds) * 1000).toISOString().slice(0, 19);
    return `${shown}${fraction(this.nanos)}Z`;
  }
}

const FIRST = new Date(0).setUTCFullYear(1, 0, 1);
const MIN_SECONDS = BigInt(FIRST / 1000);
const MAX_SECONDS = BigInt(Date.UTC(10000, 0, 1) / 1000) - 1n;

const nanos = (digits = '.') => Number(digits.slice(1).padEnd(9, '0'));
const fraction = (n) => (n ? `.${String(n).padStart(9, '0').replace(/0+$/, '')}` : '');

/** The seconds since 1970 of a date and a time in UTC. */
function clock(text) {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)$/.exec(text);
  const [year, month, day, hour, minute, second] = (match ?? []).slice(1).map(Number);
  const date = new Date(0);
  if (match) date.setUTCFullYear(year, month - 1, day);
  const exists = match && year > 0 && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  if (!exists || hour > 23 || minute > 59 || second > 59) {
    throw new ValueError(`${JSON.stringify(text)} is no date and time`);
  }
  return date.getTime() / 1000 + hour * 3600 + minute * 60 + second;
}

/** A calendar date, "2024-02-29". */
export class LocalDate {
  constructor(text) {
    clock(`${text}T00:00:00`);
    this.text = text;
  }

  toString() {
    return this.text;
  }
}

/** A date and a time that no zone is known of, "2024-02-29T23:59:59.5". */
export class LocalDateTime {
  constructor(text) {
    const match = /^(.{19})(\.\d{1,9})?$/.exec(text);
    if (!match) throw new ValueError(`${JSON.stringify(text)} is no date and time`);
    clock(match[1]);
    this.text = match[1] + fraction(nanos(match[2]));
  }

  toString() {
    return this.text;
  }
}

/** A reference to an object that stays in its host. */
export class Ref {
  constructor(className, id, host = '') {
    if (![className, id, host].every((part) => typeof part === 'string') || id === '') {
      throw new ValueError('a reference is three texts, and its id is not empty');
    }
    Object.assign(this, { class: className, id, host });
  }
}

/** A value with the name of its type. */
export class Named {
  constructor(name, value) {
    if (typeof name !== 'string' || name === '') throw new ValueError("a type's name is a text");
    Object.assign(this, { name, value });
  }
}

/** The kind of a value, as the table above names them, in one word. */
export function kindOf(value) {
  switch (typeof value) {
    case 'boolean':
      return 'bool';
    case 'bigint':
      if (value < MIN_INT || value > MAX_UINT) {
        throw new ValueError(`${value} needs more than 64 bits`);
      }
      return 'int';
    case 'number':
      return 'float';
    case 'string':
      if (!value.isWellFormed()) throw new ValueError('the text has half of a surrogate pair');
      return 'text';
    case 'object':
      return objectKind(value);
  }
  throw new ValueError(`a ${typeof value} can't be encoded`);
}

function objectKind(value) {
  if (value === null) return 'null';
  if (value instanceof Uint8Array) return 'bytes';
  if (Array.isArray(value)) return 'list';
  if (value instanceof Map) return 'map';
  if (value instanceof Instant || value instanceof Date) return 'instant';
  if (value instanceof LocalDate) return 'date';
  if (value instanceof LocalDateTime) return 'civil';
  if (value instanceof Ref) return 'ref';
  if (value instanceof Named) return 'named';
  const prototype = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return 'map';
  throw new ValueError(`a ${value.constructor?.name} can't be encoded`);
}

/** The pairs of a map, each key once. */
export function pairsOf(map) {
  return checkedPairs(map instanceof Map ? [...map] : Object.entries(map));
}

/** Refuses keys that are no scalars, and those that are there twice. */
export function checkedPairs(pairs) {
  const seen = new Set();
  for (const [key] of pairs) {
    const kind = kindOf(key);
    if (['list', 'map', 'ref', 'named'].includes(kind) || Number.isNaN(key)) {
      throw new ValueError(`a key can't be a ${kind === 'float' ? 'NaN' : kind}`);
    }
    const text = `${kind} ${kind === 'bytes' ? Buffer.from(key).toString('hex') : key}`;
    if (seen.has(text)) throw new ValueError(`the key ${text} is there twice`);
    seen.add(text);
  }
  return pairs;
}

/** The depth inside of a list, map or named value at a depth. */
export function deeper(depth) {
  if (depth >= MAX_DEPTH) throw new ValueError(`nested more than ${MAX_DEPTH} deep`);
  return depth + 1;
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text of UTF-8; anything else is refused. */
export function textOf(bytes) {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new ValueError('the text is not UTF-8');
  }
}
