"""The Greeter and gRPC's TestService by grpcio, with threads: no carp is in this process.

    python sync_server.py TARGET DESCRIPTORS

It prints a line when it serves, and ends with its standard input.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from messages import INITIAL, METHODS, TRAILING, Messages, types


class Services(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method not in METHODS:
            return None
        streams = METHODS[details.method][:2]
        request, self_reply = types(self._messages, details.method)
        make: Any = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[streams]
        behaviour = getattr(self, details.method.rpartition("/")[2])
        return make(
            lambda requests, context: behaviour(self_reply, requests, context),
            request_deserializer=request.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def Greet(self, reply: Any, request: Any, context: grpc.ServicerContext) -> Any:
        if not request.name:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the name is empty")
        return reply(text=f"Hello, {request.name}!")

    def GreetAll(self, reply: Any, requests: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        return (self.Greet(reply, request, context) for request in requests)

    def EmptyCall(self, reply: Any, request: Any, context: grpc.ServicerContext) -> Any:
        return reply()

    def UnaryCall(self, reply: Any, request: Any, context: grpc.ServicerContext) -> Any:
        echo_metadata(context)
        echo_status(request, context)
        return reply(payload={"body": bytes(request.response_size)})

    def StreamingOutputCall(self, reply: Any, request: Any, context: Any) -> Iterator[Any]:
        for parameter in request.response_parameters:
            time.sleep(parameter.interval_us / 1e6)
            yield reply(payload={"body": bytes(parameter.size)})

    def StreamingInputCall(self, reply: Any, requests: Any, context: Any) -> Any:
        return reply(aggregated_payload_size=sum(len(r.payload.body) for r in requests))

    def FullDuplexCall(self, reply: Any, requests: Any, context: Any) -> Iterator[Any]:
        echo_metadata(context)
        for request in requests:
            echo_status(request, context)
            yield from self.StreamingOutputCall(reply, request, context)


def echo_metadata(context: grpc.ServicerContext) -> None:
    sent = [tuple(pair) for pair in context.invocation_metadata()]
    context.send_initial_metadata([pair for pair in sent if pair[0] == INITIAL])
    context.set_trailing_metadata([pair for pair in sent if pair[0] == TRAILING])


def echo_status(request: Any, context: grpc.ServicerContext) -> None:
    wanted = request.response_status
    if wanted.code:
        code = next(code for code in grpc.StatusCode if code.value[0] == wanted.code)
        context.abort(code, wanted.message)


def main(target: str, descriptors: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        server = grpc.server(pool, handlers=[Services(Messages(descriptors))])
        port = server.add_insecure_port(target)
        server.start()
        print(grpc.__version__, port, flush=True)
        sys.stdin.read()
        server.stop(None).wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
