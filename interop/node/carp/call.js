// Calling what a carp host exports, with nothing but @grpc/grpc-js.
//
// A call is an ordinary gRPC call whose codec is named in the metadata
// carp-codec, because grpc-js can't set the content-subtype. Its request is made
// by a function from arguments to bytes, its reply read by one from bytes.

import grpc from '@grpc/grpc-js';

import * as carp from './carp.js';
import * as json from './json.js';
import * as msgpack from './msgpack.js';

/** The codecs of this folder; {encode, decode} of anyone's will do. */
export const codecs = { carp, json, msgpack };

/** What a function raised: the status, and the name of the error's type. */
export class RemoteError extends Error {
  constructor(error, deadline = Infinity) {
    super(error.details, { cause: error });
    // When the server's clock is the first to see the deadline it resets the
    // stream, and grpc-js takes that for a cancellation by the server.
    const reset = error.code === CANCELLED && error.details === 'Call cancelled';
    this.code = reset && Date.now() >= deadline - CLOCKS ? DEADLINE_EXCEEDED : error.code;
    this.metadata = error.metadata;
    this.name = error.metadata?.get('carp-exception')[0] ?? 'RemoteError';
  }
}

const { CANCELLED, DEADLINE_EXCEEDED } = grpc.status;

/** How far timers of two processes may be apart, in milliseconds. */
const CLOCKS = 20;

/** The body of a request with arguments by position and by name. */
function request(using, args, named = {}) {
  if (using.encodeArguments) return using.encodeArguments(args, named);
  const positional = args.length > 0 ? { '*': args } : {};
  const value = Object.keys(named).length === 0 ? args : { ...positional, ...named };
  return Buffer.from(using.encode(value));
}

/**
 * Calls a function, "Calculator.Add" or "echo".
 *
 * @param {grpc.Client} client of any kind, for its channel
 * @param {{codec?: string, using?: {encode: Function, decode: Function}, named?: object,
 *   metadata?: object, timeout?: number, onCall?: Function}} options
 *   using is what encodes and decodes for the codec, timeout is in milliseconds,
 *   onCall is given grpc-js's call
 * @returns the promise of its result, or of a RemoteError
 */
export async function call(client, name, args = [], options = {}) {
  const { codec = 'msgpack', using = codecs[codec], named, timeout, onCall } = options;
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(options.metadata ?? {})) metadata.set(key, value);
  metadata.set('carp-codec', codec);
  const deadline = timeout === undefined ? undefined : Date.now() + timeout;
  const dot = name.lastIndexOf('.');
  const path = dot < 0 ? `/${name}/call` : `/${name.slice(0, dot)}/${name.slice(dot + 1)}`;
  const body = request(using, args, named);
  const decode = using.decodeResult ?? using.decode;
  return new Promise((resolve, reject) => {
    const started = client.makeUnaryRequest(
      path,
      (body) => body,
      (body) => ({ value: decode(body) }), // grpc-js takes a bare null for no reply
      body,
      metadata,
      deadline === undefined ? {} : { deadline },
      (error, reply) => (error ? reject(new RemoteError(error, deadline)) : resolve(reply.value)),
    );
    onCall?.(started);
  });
}
