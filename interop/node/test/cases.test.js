// gRPC's interoperability cases: Node against Go servers, and grpc-go's own client
// functions, over carp's connections, against a Node server. Their names are those
// of gRPC's specification.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import grpc from '@grpc/grpc-js';

import { build, Cleanup, connect, descriptors, folder, PATIENCE, Program } from './support.js';
import { implementation, INITIAL, TRAILING } from './testservice.js';

const { status } = grpc;
const SIZES = [31415, 9, 2653, 58979];
const SENT = [27182, 8, 1828, 45904];
const LARGE = { response_size: 314159, payload: { body: Buffer.alloc(271828) } };

const cleanup = new Cleanup();
let cases;
let testing;
before(() => {
  cases = build(cleanup, './cases', 'interop/upstream');
  testing = grpc.loadPackageDefinition(descriptors()).grpc.testing;
});
after(() => cleanup.run());

const until = (timeout = PATIENCE) => ({ deadline: Date.now() + timeout });
const sized = (body) => ({ payload: { body: Buffer.alloc(body) } });
const asking = (size, body) => ({ response_parameters: [{ size }], ...sized(body) });

/** What came of a unary call, or of one with a stream of requests. */
const outcome = (start) =>
  new Promise((resolve) => {
    const result = {};
    const call = start((error, reply) => Object.assign(result, { error, reply }));
    call.on('metadata', (header) => (result.header = header));
    call.on('status', ({ code, details, metadata }) =>
      // The callback comes just before, or just after.
      setImmediate(() => resolve({ ...result, code, details, trailer: metadata })));
  });

/** The replies of a stream, and how it ended. */
const all = (call) =>
  new Promise((resolve) => {
    const result = { replies: [] };
    call.on('metadata', (header) => (result.header = header));
    call.on('data', (reply) => result.replies.push(reply));
    call.on('error', () => {}); // the status tells
    call.on('status', ({ code, details, metadata }) =>
      setImmediate(() => resolve({ ...result, code, details, trailer: metadata })));
  });

const lengths = (replies) => replies.map(({ payload }) => payload.body.length);

const CASES = {
  async empty_unary(client) {
    const { code, reply } = await outcome((done) => client.EmptyCall({}, until(), done));
    assert.deepEqual([code, reply], [status.OK, {}]);
  },

  async large_unary(client) {
    const { code, reply } = await outcome((done) => client.UnaryCall(LARGE, until(), done));
    assert.deepEqual([code, reply.payload.body], [status.OK, Buffer.alloc(314159)]);
  },

  async client_streaming(client) {
    const { reply } = await outcome((done) => {
      const call = client.StreamingInputCall(until(), done);
      for (const size of SENT) call.write(sized(size));
      call.end();
      return call;
    });
    assert.equal(reply.aggregated_payload_size, 74922);
  },

  async server_streaming(client) {
    const request = { response_parameters: SIZES.map((size) => ({ size })) };
    const { code, replies } = await all(client.StreamingOutputCall(request, until()));
    assert.deepEqual([code, lengths(replies)], [status.OK, SIZES]);
  },

  async ping_pong(client) {
    const call = client.FullDuplexCall(until());
    const replies = call[Symbol.asyncIterator]();
    for (const [i, size] of SIZES.entries()) {
      call.write(asking(size, SENT[i]));
      const { value } = await replies.next();
      assert.deepEqual(lengths([value]), [size]);
    }
    call.end();
    assert.equal((await replies.next()).done, true);
  },

  async empty_stream(client) {
    const call = client.FullDuplexCall(until());
    call.end();
    const { code, replies } = await all(call);
    assert.deepEqual([code, replies], [status.OK, []]);
  },

  async cancel_after_begin(client) {
    const { code } = await outcome((done) => {
      const call = client.StreamingInputCall(until(), done);
      call.cancel();
      return call;
    });
    assert.equal(code, status.CANCELLED);
  },

  async cancel_after_first_response(client) {
    const call = client.FullDuplexCall(until());
    call.write(asking(SIZES[0], SENT[0]));
    const ended = all(call);
    call.once('data', () => call.cancel());
    assert.equal((await ended).code, status.CANCELLED);
  },

  async timeout_on_sleeping_server(client) {
    const call = client.FullDuplexCall(until(1));
    call.write(sized(27182));
    const { code, details } = await all(call);
    // When the server's clock is the first to see the deadline it resets the stream, which grpc-js
    // calls CANCELLED. carp/call.js corrects it.
    const reset = code === status.CANCELLED && details === 'Call cancelled';
    assert.ok(code === status.DEADLINE_EXCEEDED || reset, `${code} ${details}`);
  },

  async custom_metadata(client) {
    const metadata = new grpc.Metadata();
    metadata.set(INITIAL, 'test_initial_metadata_value');
    metadata.set(TRAILING, Buffer.of(0xab, 0xab, 0xab));
    const duplex = client.FullDuplexCall(metadata, until());
    duplex.write(asking(314159, 271828));
    duplex.end();
    const streamed = all(duplex); // before anything is waited for, which would miss events
    for (const { code, header, trailer } of [
      await outcome((done) => client.UnaryCall(LARGE, metadata, until(), done)),
      await streamed,
    ]) {
      assert.equal(code, status.OK);
      assert.deepEqual(header.get(INITIAL), ['test_initial_metadata_value']);
      assert.deepEqual(trailer.get(TRAILING), [Buffer.of(0xab, 0xab, 0xab)]);
    }
  },

  status_code_and_message: (client) => statusIsKept(client, 'test status message'),

  special_status_message: (client) =>
    statusIsKept(client, '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n'),

  async unimplemented_method(client) {
    const { code } = await outcome((done) => client.UnimplementedCall({}, until(), done));
    assert.equal(code, status.UNIMPLEMENTED);
  },

  async unimplemented_service(client, t, target) {
    const other = connect(t, target, {}, testing.UnimplementedService);
    const { code } = await outcome((done) => other.UnimplementedCall({}, until(), done));
    assert.equal(code, status.UNIMPLEMENTED);
  },
};

async function statusIsKept(client, message) {
  const request = { response_status: { code: status.UNKNOWN, message } };
  const duplex = client.FullDuplexCall(until());
  duplex.write(request);
  duplex.end();
  const streamed = all(duplex);
  for (const { code, details } of [
    await outcome((done) => client.UnaryCall(request, until(), done)),
    await streamed,
  ]) {
    assert.deepEqual([code, details], [status.UNKNOWN, message]);
  }
}

for (const kind of ['host', 'carpgrpc', 'grpc-go']) {
  describe(`Node to ${kind}`, () => {
    const ended = new Cleanup();
    const targets = {};
    before(async () => {
      const unix = `unix://${join(folder(ended), 's')}`;
      const server = new Program(ended, cases, 'serve', kind, unix, 'tcp://127.0.0.1:0');
      const [, tcp] = (await server.line()).split(' ');
      Object.assign(targets, { unix, tcp: tcp.replace('tcp://', '') });
    });
    after(() => ended.run());
    for (const transport of ['unix', 'tcp']) {
      for (const [name, run] of Object.entries(CASES)) {
        test(`${name} over ${transport}`, (t) => {
          const target = targets[transport];
          return run(connect(t, target, {}, testing.TestService), t, target);
        });
      }
    }
  });
}

describe('Go to Node', () => {
  const ended = new Cleanup();
  const targets = {};
  before(async () => {
    const server = new grpc.Server();
    ended.after(() => server.forceShutdown());
    server.addService(testing.TestService.service, implementation);
    targets.unix = `unix://${join(folder(ended), 's')}`;
    const insecure = grpc.ServerCredentials.createInsecure();
    const bind = promisify(server.bindAsync.bind(server));
    await bind(targets.unix, insecure);
    targets.tcp = `tcp://127.0.0.1:${await bind('127.0.0.1:0', insecure)}`;
  });
  after(() => ended.run());
  for (const client of ['carpgrpc', 'grpc-go']) {
    for (const transport of ['unix', 'tcp']) {
      test(`all cases of grpc-go by ${client} over ${transport}`, async () => {
        const { stdout } = await promisify(execFile)(cases, ['call', client, targets[transport]]);
        assert.deepEqual(stdout.trim().split('\n'), Object.keys(CASES).sort());
      });
    }
  }
});
