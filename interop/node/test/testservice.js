// gRPC's TestService in Node: the server's side of the interoperability cases.

import grpc from '@grpc/grpc-js';

export const INITIAL = 'x-grpc-test-echo-initial';
export const TRAILING = 'x-grpc-test-echo-trailing-bin';

const payload = (size = 0) => ({ body: Buffer.alloc(size) });

/** Sends back the metadata that is to be sent back, and returns the trailer. */
function echoMetadata(call) {
  const header = new grpc.Metadata();
  const trailer = new grpc.Metadata();
  for (const value of call.metadata.get(INITIAL)) header.add(INITIAL, value);
  for (const value of call.metadata.get(TRAILING)) trailer.add(TRAILING, value);
  call.sendMetadata(header);
  return trailer;
}

/** The error that a request asks for, if it does. */
function failure({ response_status: status }, trailer) {
  return status?.code ? { code: status.code, details: status.message, metadata: trailer } : null;
}

function unary(call, answer) {
  const trailer = echoMetadata(call);
  const reply = { payload: payload(call.request.response_size) };
  answer(failure(call.request, trailer), reply, trailer);
}

async function respond(call, { response_parameters: parameters = [] }) {
  for (const { size, interval_us: interval } of parameters) {
    if (interval > 0) await new Promise((resolve) => setTimeout(resolve, interval / 1000));
    if (call.cancelled) return;
    call.write({ payload: payload(size) });
  }
}

async function output(call) {
  await respond(call, call.request);
  call.end();
}

function input(call, answer) {
  let sum = 0;
  call.on('data', ({ payload }) => (sum += payload?.body.length ?? 0));
  call.on('end', () => answer(null, { aggregated_payload_size: sum }));
}

function duplex(call) {
  const trailer = echoMetadata(call);
  // Not "for await": at the end of the requests that would close the replies, too.
  let answered = Promise.resolve();
  call.on('data', (request) => {
    answered = answered.then(async () => {
      const error = failure(request, trailer);
      if (error) call.emit('error', error);
      else await respond(call, request);
    });
  });
  call.on('end', () => answered.then(() => call.end(trailer)));
}

/** What to give to a server's addService. */
export const implementation = {
  EmptyCall: (call, answer) => answer(null, {}),
  UnaryCall: unary,
  StreamingOutputCall: output,
  StreamingInputCall: input,
  FullDuplexCall: duplex,
};
