// The codec "msgpack" for carp's value model. The usual libraries for JavaScript
// turn 1.0 into 1, and some integers into others.

import {
  checkedPairs, deeper, Instant, kindOf, LocalDate, LocalDateTime, Named, pairsOf, Ref, textOf,
  ValueError,
} from './values.js';

const EXT_TIME = -1;
const EXT_DATE = 1;
const EXT_CIVIL = 2;
const EXT_REF = 3;
const EXT_NAMED = 4;

/** @returns {Buffer} */
export function encode(value) {
  const parts = [];
  write(parts, value, 0);
  return Buffer.concat(parts);
}

/** @param {Uint8Array} body all of which is one value */
export function decode(body) {
  const reader = new Reader(Buffer.from(body.buffer, body.byteOffset, body.byteLength));
  const value = reader.value(0);
  reader.end();
  return value;
}

function write(out, value, depth) {
  const kind = kindOf(value);
  switch (kind) {
    case 'null':
      return out.push(Buffer.of(0xc0));
    case 'bool':
      return out.push(Buffer.of(value ? 0xc3 : 0xc2));
    case 'int':
      return out.push(integer(value));
    case 'float': {
      const bytes = Buffer.alloc(9, 0xcb);
      bytes.writeDoubleBE(value, 1);
      return out.push(bytes);
    }
    case 'text': {
      const bytes = Buffer.from(value);
      return out.push(header(bytes.length, [0xa0, 32], [0xd9, 1], [0xda, 2], [0xdb, 4]), bytes);
    }
    case 'bytes':
      return out.push(header(value.length, null, [0xc4, 1], [0xc5, 2], [0xc6, 4]), value);
    case 'list':
      out.push(header(value.length, [0x90, 16], [0xdc, 2], [0xdd, 4]));
      return value.forEach((item) => write(out, item, deeper(depth)));
    case 'map': {
      const pairs = pairsOf(value);
      out.push(header(pairs.length, [0x80, 16], [0xde, 2], [0xdf, 4]));
      return pairs.flat().forEach((item) => write(out, item, deeper(depth)));
    }
  }
  return writeExtension(out, kind, value, depth);
}

function writeExtension(out, kind, value, depth) {
  switch (kind) {
    case 'instant':
      return extension(out, EXT_TIME, timestamp(value instanceof Date ? Instant.fromDate(value) : value));
    case 'date':
      return extension(out, EXT_DATE, Buffer.from(value.text));
    case 'civil':
      return extension(out, EXT_CIVIL, Buffer.from(value.text));
    case 'ref':
      return extension(out, EXT_REF, encode([value.class, value.id, value.host]));
    case 'named': {
      const parts = [];
      write(parts, value.name, depth);
      write(parts, value.value, deeper(depth));
      return extension(out, EXT_NAMED, Buffer.concat(parts));
    }
  }
  throw new ValueError(`msgpack has no ${kind}`);
}

/** A header with a length: inside of its first byte, or in the fewest bytes after it. */
function header(length, inside, ...sizes) {
  if (inside && length < inside[1]) return Buffer.of(inside[0] | length);
  const [code, size] = sizes.find(([, size]) => length < 256 ** size);
  const bytes = Buffer.alloc(1 + size, code);
  bytes.writeUIntBE(length, 1, size);
  return bytes;
}

function integer(value) {
  if (value >= -32n && value < 128n) return Buffer.of(Number(value & 0xffn));
  const [code, bits] = value < 0n ? [0xd0, 8n] : [0xcc, 8n];
  for (let i = 0, size = bits; ; i++, size *= 2n) {
    const fits = value < 0n ? value >= -(2n ** (size - 1n)) : value < 2n ** size;
    if (!fits) continue;
    const hex = BigInt.asUintN(Number(size), value).toString(16).padStart(Number(size) / 4, '0');
    return Buffer.concat([Buffer.of(code + i), Buffer.from(hex, 'hex')]);
  }
}

const FIXED = { 1: 0xd4, 2: 0xd5, 4: 0xd6, 8: 0xd7, 16: 0xd8 };

function extension(out, type, data) {
  const fixed = FIXED[data.length];
  const head = fixed
    ? Buffer.of(fixed)
    : header(data.length, null, [0xc7, 1], [0xc8, 2], [0xc9, 4]);
  out.push(head, Buffer.of(type & 0xff), data);
}

function timestamp({ seconds, nanos }) {
  if (seconds >= 0n && seconds < 2n ** 32n && nanos === 0) {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(Number(seconds));
    return bytes;
  }
  if (seconds >= 0n && seconds < 2n ** 34n) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE((BigInt(nanos) << 34n) | seconds);
    return bytes;
  }
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32BE(nanos);
  bytes.writeBigInt64BE(seconds, 4);
  return bytes;
}

class Reader {
  constructor(data) {
    this.data = data;
    this.at = 0;
  }

  end() {
    if (this.at !== this.data.length) throw new ValueError('something comes after the value');
  }

  take(length) {
    if (length > this.data.length - this.at) throw new ValueError('the body ends early');
    this.at += length;
    return this.data.subarray(this.at - length, this.at);
  }

  number(size) {
    return this.take(size).readUIntBE(0, size);
  }

  value(depth) {
    const code = this.number(1);
    if (code < 0x80) return BigInt(code);
    if (code < 0x90) return this.map(code & 15, depth);
    if (code < 0xa0) return this.list(code & 15, depth);
    if (code < 0xc0) return textOf(this.take(code & 31));
    if (code >= 0xe0) return BigInt(code - 256);
    switch (code) {
      case 0xc0:
        return null;
      case 0xc2:
      case 0xc3:
        return code === 0xc3;
      case 0xca:
        return this.take(4).readFloatBE();
      case 0xcb:
        return this.take(8).readDoubleBE();
    }
    return this.sized(code, depth);
  }

  sized(code, depth) {
    const size = 2 ** ((code - (code < 0xd4 ? 0xcc : 0xd4)) & 3);
    if (code >= 0xc4 && code <= 0xc6) return Buffer.from(this.take(this.number(2 ** (code - 0xc4))));
    if (code >= 0xc7 && code <= 0xc9) return this.extension(this.number(2 ** (code - 0xc7)), depth);
    if (code >= 0xcc && code <= 0xd3) {
      const bits = BigInt(`0x${this.take(size).toString('hex')}`);
      return code < 0xd0 ? bits : BigInt.asIntN(size * 8, bits);
    }
    if (code >= 0xd4 && code <= 0xd8) return this.extension(2 ** (code - 0xd4), depth);
    if (code >= 0xd9 && code <= 0xdb) return textOf(this.take(this.number(2 ** (code - 0xd9))));
    if (code === 0xdc || code === 0xdd) return this.list(this.number(2 * (code - 0xdb)), depth);
    if (code === 0xde || code === 0xdf) return this.map(this.number(2 * (code - 0xdd)), depth);
    throw new ValueError(`no value begins with the byte ${code}`);
  }

  list(length, depth) {
    const inside = deeper(depth);
    if (length > this.data.length - this.at) throw new ValueError('the body ends early');
    return Array.from({ length }, () => this.value(inside));
  }

  map(length, depth) {
    const inside = deeper(depth);
    if (2 * length > this.data.length - this.at) throw new ValueError('the body ends early');
    const pairs = Array.from({ length }, () => [this.value(inside), this.value(inside)]);
    return new Map(checkedPairs(pairs));
  }

  extension(length, depth) {
    const type = this.take(1).readInt8();
    const data = this.take(length);
    switch (type) {
      case EXT_TIME:
        return instant(data);
      case EXT_DATE:
        return new LocalDate(textOf(data));
      case EXT_CIVIL:
        return new LocalDateTime(textOf(data));
      case EXT_REF: {
        const parts = decode(data);
        if (!Array.isArray(parts) || parts.length !== 3) throw new ValueError('a reference has three texts');
        return new Ref(...parts);
      }
      case EXT_NAMED: {
        const reader = new Reader(data);
        const named = new Named(reader.value(depth), reader.value(deeper(depth)));
        reader.end();
        return named;
      }
    }
    throw new ValueError(`no extension has the number ${type}`);
  }
}

function instant(data) {
  switch (data.length) {
    case 4:
      return new Instant(BigInt(data.readUInt32BE()));
    case 8: {
      const bits = data.readBigUInt64BE();
      return new Instant(bits & (2n ** 34n - 1n), Number(bits >> 34n));
    }
    case 12:
      return new Instant(data.readBigInt64BE(4), data.readUInt32BE());
  }
  throw new ValueError(`no instant has ${data.length} bytes`);
}
