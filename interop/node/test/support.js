// What the tests share: the tables, and Go programs that are built once.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

import { Instant, LocalDate, LocalDateTime, Named, Ref } from '../carp/values.js';

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** Longer than anything takes on a machine that is busy. In milliseconds. */
export const PATIENCE = 30_000;

/** The lines of a table in interop/testdata. */
export function table(name) {
  const text = readFileSync(join(ROOT, 'interop/testdata', name), 'utf8');
  return text.trimEnd().split('\n').map((line) => JSON.parse(line));
}

/** The value that the notation of interop/testdata stands for. */
export function read(notation) {
  if (notation === null || typeof notation !== 'object') return notation;
  const { times = 1, deep = 0, ...rest } = notation;
  const [[kind, content]] = Object.entries(rest);
  if (kind === 'list') {
    const once = content.map(read);
    let list = Array.from({ length: times }, () => once).flat();
    for (let i = 0; i < deep; i++) list = [list];
    return list;
  }
  return READERS[kind](content, times);
}

const READERS = {
  int: (content) => BigInt(content),
  float: readFloat,
  text: (content, times) => content.repeat(times),
  bytes: (content, times) => Buffer.from(content.repeat(times), 'hex'),
  // Half of a surrogate pair for each byte: no text in JavaScript is UTF-8.
  broken: (content) => Buffer.from(content, 'hex').toString('latin1').replace(/[\x80-\xff]/g,
    (c) => String.fromCharCode(0xdc00 + c.charCodeAt(0))),
  map: (content) => new Map(content.map(([key, value]) => [read(key), read(value)])),
  instant: (content) => Instant.parse(content),
  zoned: (content) => Instant.parse(content),
  date: (content) => new LocalDate(content),
  civil: (content) => new LocalDateTime(content),
  ref: (content) => new Ref(...content),
  named: ([name, value]) => new Named(name, read(value)),
};

function readFloat(content) {
  const special = { inf: Infinity, '-inf': -Infinity, nan: NaN };
  if (content in special) return special[content];
  const [, sign, whole, digits, exponent] = /^(-?)0x(\d)\.([0-9a-f]+)p([+-]\d+)$/.exec(content);
  const mantissa = Number(`0x${whole}${digits}`);
  // In two steps, because 2 to the power of -1074-52 is 0.
  const scaled = (mantissa / 2 ** (4 * digits.length)) * 2 ** Number(exponent);
  return sign ? -scaled : scaled;
}

/** What is to be done after the tests of a file, as a test's context has it. */
export class Cleanup {
  #steps = [];

  after(step) {
    this.#steps.unshift(step);
  }

  async run() {
    for (const step of this.#steps) await step();
  }
}

/** A folder that is removed after the test. */
export function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'carp-node-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Builds a Go program of this repository, by its package's folder. */
export function build(t, pkg, module = '.') {
  const program = join(folder(t), 'program');
  execFileSync('go', ['build', '-o', program, pkg], { cwd: join(ROOT, module), stdio: 'inherit' });
  return program;
}

/** The descriptors of carp.proto, the Greeter, the TestService and reflection. */
export function descriptors() {
  const set = execFileSync('go', ['run', './interop/descriptors'], { cwd: ROOT });
  return protoLoader.loadFileDescriptorSetFromBuffer(set, { keepCase: true, longs: String });
}

/** A process that prints where it can be reached, and ends with its input. */
export class Program {
  constructor(t, file, ...args) {
    this.process = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.ended = once(this.process, 'exit');
    this.lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
    t.after(() => this.end());
  }

  async line() {
    const { value, done } = await this.lines.next();
    if (done) throw new Error(`${this.process.spawnfile} has ended`);
    return value;
  }

  async end() {
    this.process.stdin.end();
    const late = setTimeout(() => this.process.kill('SIGKILL'), PATIENCE);
    await this.ended;
    clearTimeout(late);
  }
}

/** Starts the Go host, and returns grpc-js's targets of it by transport. */
export async function startHost(t, program) {
  const unix = `unix://${join(folder(t), 's')}`;
  const host = new Program(t, program, '-unix', unix);
  const [, tcp] = (await host.line()).split(' ');
  return { unix, tcp: tcp.replace('tcp://', ''), host };
}

/** A client without a service, closed after the test. */
export function connect(t, target, options = {}, Kind = grpc.Client) {
  const client = new Kind(target, grpc.credentials.createInsecure(), options);
  t.after(() => client.close());
  return client;
}
