// Node against a Go host: calls with every codec, over unix and TCP.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import * as stockMsgpack from '@msgpack/msgpack';

import { call, codecs } from '../carp/call.js';
import { build, Cleanup, connect, descriptors, PATIENCE, read, startHost, table } from './support.js';

const { status } = grpc;
const LARGE = 5 << 20; // more than the 4 MiB that gRPC takes unless told otherwise
const PATIENT = { timeout: PATIENCE };
const GREETER = 'carp.examples.greeter.v1.Greeter';

// What a Node program has without carp's value model. Numbers are numbers.
const stock = {
  json: { encode: (value) => JSON.stringify(value), decode: (body) => JSON.parse(body) },
  msgpack: { encode: stockMsgpack.encode, decode: stockMsgpack.decode },
};

const cleanup = new Cleanup();
let where;
let loaded;
before(async () => {
  where = await startHost(cleanup, build(cleanup, './interop/python/testhost'));
  loaded = descriptors();
});
after(() => cleanup.run());

const service = (definition, name) =>
  name.split('.').reduce((found, part) => found[part], grpc.loadPackageDefinition(definition));

/** The promise of a stub's unary reply. */
const ask = (client, method, request, options = {}) =>
  new Promise((resolve, reject) => {
    const deadline = Date.now() + PATIENCE;
    client[method](request, { deadline, ...options }, (error, reply) =>
      error ? reject(error) : resolve(reply));
  });

for (const transport of ['unix', 'tcp']) {
  describe(`over ${transport}`, () => {
    for (const codec of Object.keys(codecs)) {
      dynamicTests(codec, () => where[transport]);
    }
    test('proto: a generated service', (t) => generatedService(t, where[transport]));
    test('proto: a stream', (t) => stream(t, where[transport]));
    test('proto: a plain Go function by reflection', (t) => reflected(t, where[transport]));
  });
}

function dynamicTests(codec, target) {
  const options = { codec, ...PATIENT };

  test(`${codec}: arguments`, async (t) => {
    const client = connect(t, target());
    assert.equal(await call(client, 'Calculator.Add', [1n, 2n], options), 3n);
    assert.equal(await call(client, 'Calculator.Add', [1], { ...options, named: { b: 2 } }), 3n);
    const named = { b: 2n ** 53n, a: 1n };
    assert.equal(await call(client, 'Calculator.Add', [], { ...options, named }), 2n ** 53n + 1n);
    assert.deepEqual(await call(client, 'Calculator.DivMod', [7n, 2n], options), [3n, 1n]);
    assert.equal(await call(client, 'nothing', [], options), null);
    const refused = call(client, 'Calculator.Add', [1.5, 2], options);
    await assert.rejects(refused, { code: status.INVALID_ARGUMENT, name: 'carp.BindError' });
    const unknown = call(client, 'Calculator.Nope', [], options);
    await assert.rejects(unknown, { code: status.UNIMPLEMENTED });
  });

  if (stock[codec]) test(`${codec}: with a stock library`, async (t) => {
    const client = connect(t, target());
    const using = { ...options, using: stock[codec] };
    assert.equal(await call(client, 'Calculator.Add', [1, 2], using), 3);
    assert.equal(await call(client, 'Calculator.Add', [1], { ...using, named: { b: 2 } }), 3);
    const value = { a: [1, 2.5, null, 'é'], b: { c: true } };
    assert.deepEqual(await call(client, 'echo', [value], using), value);
  });

  test(`${codec}: every value`, async (t) => {
    const client = connect(t, target());
    for (const row of table('values.jsonl').filter((row) => row[codec])) {
      const want = read(row.value);
      const given = read(row.from ?? row.value);
      assert.deepEqual(await call(client, 'echo', [given], options), want, row.name);
    }
  });

  test(`${codec}: an error with details`, async (t) => {
    const client = connect(t, target());
    await assert.rejects(call(client, 'Calculator.Div', [1n, 0n], options), {
      code: status.UNKNOWN, message: 'division by zero', name: 'errors.errorString',
    });
    await assert.rejects(call(client, 'Failing.Path', [], options), { name: 'fs.PathError' });
    await assert.rejects(call(client, 'Failing.Panic', [], options), { name: 'panic' });
    const error = await call(client, 'Failing.Status', [], options).catch((error) => error);
    assert.deepEqual([error.code, error.message], [status.FAILED_PRECONDITION, 'not now']);
    const [details] = error.metadata.get('grpc-status-details-bin');
    const [detail] = loaded['google.rpc.Status'].deserialize(details).details;
    assert.equal(detail.type_url, 'type.googleapis.com/google.protobuf.StringValue');
    assert.equal(loaded['google.protobuf.StringValue'].deserialize(detail.value).value, 'busy');
    const long = await call(client, 'Failing.Long', [100_000n], options).catch((error) => error);
    assert.equal(long.code, status.UNKNOWN);
    assert.equal(long.metadata.get('carp-error-cut')[0], '1');
  });

  test(`${codec}: a deadline, and a call that is cancelled`, async (t) => {
    const client = connect(t, target());
    await call(client, 'nothing', [], options); // connects
    const late = call(client, 'waiting.Wait', [], { codec, timeout: 1000 });
    await assert.rejects(late, { code: status.DEADLINE_EXCEEDED });
    await call(client, 'waiting.Begun', [], options);
    await call(client, 'waiting.Ended', [], options);
    let started;
    const pending = call(client, 'waiting.Wait', [], { ...options, onCall: (c) => (started = c) });
    const cancelled = assert.rejects(pending, { code: status.CANCELLED });
    await call(client, 'waiting.Begun', [], options);
    started.cancel();
    await cancelled;
    await call(client, 'waiting.Ended', [], options);
  });

  test(`${codec}: streams of plain Go functions`, async (t) => {
    const client = connect(t, target());
    const { encode, decode, encodeArguments = encode, decodeResult = decode } = codecs[codec];
    const value = (n) => Buffer.from(encode(n));
    const args = (list) => Buffer.from(encodeArguments(list));
    const raw = (body) => body;
    const metadata = new grpc.Metadata();
    metadata.set('carp-codec', codec);
    const deadline = { deadline: Date.now() + PATIENCE };
    const sum = await new Promise((resolve, reject) => {
      const talk = client.makeClientStreamRequest('/Numbers/Sum', raw, raw, metadata, deadline,
        (error, reply) => (error ? reject(error) : resolve(reply)));
      for (const body of [args([2n]), value(1n), value(2n)]) talk.write(body);
      talk.end();
    });
    assert.equal(decodeResult(sum), 6n);
    const talk = client.makeBidiStreamRequest('/Numbers/Double', raw, raw, metadata, deadline);
    const replies = talk[Symbol.asyncIterator]();
    talk.write(args([]));
    for (let n = 1n; n < 100n; n++) {
      talk.write(value(n));
      assert.equal(decode((await replies.next()).value), 2n * n);
    }
    talk.end();
    assert.equal((await replies.next()).done, true);
    const counted = [];
    const stream = client.makeServerStreamRequest('/Numbers/Count', raw, raw, args([3n]), metadata, deadline);
    for await (const body of stream) counted.push(decode(body));
    assert.deepEqual(counted, [0n, 1n, 2n]);
  });

  test(`${codec}: metadata`, async (t) => {
    const client = connect(t, target());
    let header;
    let trailer;
    const onCall = (started) => {
      started.on('metadata', (metadata) => (header = metadata.get('h')));
      started.on('status', ({ metadata }) => (trailer = metadata.get('t')));
    };
    const metadata = { k: 'v', 'b-bin': Buffer.of(255, 0) };
    const seen = await call(client, 'headers', [], { ...options, metadata, onCall });
    assert.deepEqual(seen.get('k'), ['v']);
    assert.deepEqual(seen.get('b-bin'), [Buffer.of(255, 0)]);
    assert.deepEqual([header, trailer], [['1'], ['2']]);
  });

  test(`${codec}: more than 4 MiB`, async (t) => {
    const client = connect(t, target());
    assert.equal(await call(client, 'length', [Buffer.alloc(LARGE)], options), BigInt(LARGE));
    const refused = call(client, 'blob', [BigInt(LARGE)], options);
    await assert.rejects(refused, { code: status.RESOURCE_EXHAUSTED });
    const roomy = connect(t, target(), { 'grpc.max_receive_message_length': 64 << 20 });
    assert.equal((await call(roomy, 'blob', [BigInt(LARGE)], options)).length, LARGE);
  });
}

async function generatedService(t, target) {
  const client = connect(t, target, {}, service(loaded, GREETER));
  assert.deepEqual(await ask(client, 'Greet', { name: 'Ann' }), { text: 'Hello, Ann!' });
  await assert.rejects(ask(client, 'Greet', {}), {
    code: status.INVALID_ARGUMENT, details: 'the name is empty',
  });
  // As Go decodes it into a dynamic value, by the names of its fields.
  for (const codec of Object.keys(stock)) {
    const reply = await call(client, `${GREETER}.Greet`, [], {
      codec, using: stock[codec], named: { name: 'Ann' }, ...PATIENT,
    });
    assert.deepEqual(reply, { text: 'Hello, Ann!' });
  }
  const name = 'n'.repeat(LARGE);
  const roomy = connect(t, target, { 'grpc.max_receive_message_length': -1 }, service(loaded, GREETER));
  assert.equal((await ask(roomy, 'Greet', { name })).text.length, LARGE + 'Hello, !'.length);
}

async function stream(t, target) {
  const client = connect(t, target, {}, service(loaded, GREETER));
  const talk = client.GreetAll({ deadline: Date.now() + PATIENCE });
  const replies = talk[Symbol.asyncIterator]();
  for (const name of ['Ann', 'Bob']) {
    talk.write({ name });
    assert.deepEqual((await replies.next()).value, { text: `Hello, ${name}!` });
  }
  talk.end();
  assert.equal((await replies.next()).done, true);

  const abandoned = client.GreetAll({ deadline: Date.now() + PATIENCE });
  abandoned.write({ name: 'Ann' });
  const rest = abandoned[Symbol.asyncIterator]();
  await rest.next();
  abandoned.cancel();
  await assert.rejects(rest.next(), { code: status.CANCELLED });
  // Node ends its side of the stream before it resets it, so that the Greeter may
  // see the end of the requests before it sees that its caller is gone.
}

/** Asks the host for the descriptors of a service, and makes a stub of them. */
async function reflected(t, target) {
  const Reflection = service(loaded, 'grpc.reflection.v1.ServerReflection');
  const talk = connect(t, target, {}, Reflection).ServerReflectionInfo();
  const replies = talk[Symbol.asyncIterator]();
  talk.write({ file_containing_symbol: 'Calculator' });
  const { value } = await replies.next();
  talk.end();
  const files = value.file_descriptor_response.file_descriptor_proto;
  // A FileDescriptorSet is these files, each as its field 1.
  const set = Buffer.concat(files.flatMap((file) => [Buffer.of(0x0a), varint(file.length), file]));
  const definition = protoLoader.loadFileDescriptorSetFromBuffer(set, { keepCase: true, longs: String });
  const client = connect(t, target, {}, service(definition, 'Calculator'));
  const exact = String(2n ** 53n + 1n);
  assert.equal((await ask(client, 'Add', { a: exact, b: 1 })).result, String(2n ** 53n + 2n));
  await assert.rejects(ask(client, 'Add', { a: 1 }), { code: status.INVALID_ARGUMENT });
}

function varint(n) {
  const bytes = [];
  for (; n > 127; n >>>= 7) bytes.push((n & 127) | 128);
  return Buffer.from([...bytes, n]);
}
