"""The Greeter and gRPC's TestService by grpcio's asyncio: no carp is in this process.

    python aio_server.py TARGET DESCRIPTORS

It prints a line when it serves, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
from messages import INITIAL, METHODS, TRAILING, Messages, types


class Services(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method not in METHODS:
            return None
        request, reply = types(self._messages, details.method)
        behaviour = getattr(self, details.method.rpartition("/")[2])
        coding = {
            "request_deserializer": request.FromString,
            "response_serializer": lambda message: message.SerializeToString(),
        }

        async def one(requests: Any, context: Any) -> Any:
            return await behaviour(reply, requests, context)

        async def many(requests: Any, context: Any) -> AsyncIterator[Any]:
            async for message in behaviour(reply, requests, context):
                yield message

        match METHODS[details.method][:2]:
            case (False, False):
                return grpc.unary_unary_rpc_method_handler(one, **coding)
            case (False, True):
                return grpc.unary_stream_rpc_method_handler(many, **coding)
            case (True, False):
                return grpc.stream_unary_rpc_method_handler(one, **coding)
        return grpc.stream_stream_rpc_method_handler(many, **coding)

    async def Greet(self, reply: Any, request: Any, context: Any) -> Any:
        if not request.name:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the name is empty")
        return reply(text=f"Hello, {request.name}!")

    async def GreetAll(self, reply: Any, requests: Any, context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield await self.Greet(reply, request, context)

    async def EmptyCall(self, reply: Any, request: Any, context: Any) -> Any:
        return reply()

    async def UnaryCall(self, reply: Any, request: Any, context: Any) -> Any:
        await echo_metadata(context)
        await echo_status(request, context)
        return reply(payload={"body": bytes(request.response_size)})

    async def StreamingOutputCall(
        self, reply: Any, request: Any, context: Any
    ) -> AsyncIterator[Any]:
        for parameter in request.response_parameters:
            await asyncio.sleep(parameter.interval_us / 1e6)
            yield reply(payload={"body": bytes(parameter.size)})

    async def StreamingInputCall(self, reply: Any, requests: Any, context: Any) -> Any:
        return reply(aggregated_payload_size=sum([len(r.payload.body) async for r in requests]))

    async def FullDuplexCall(self, reply: Any, requests: Any, context: Any) -> AsyncIterator[Any]:
        await echo_metadata(context)
        async for request in requests:
            await echo_status(request, context)
            async for message in self.StreamingOutputCall(reply, request, context):
                yield message


async def echo_metadata(context: Any) -> None:
    sent = [tuple(pair) for pair in context.invocation_metadata()]
    await context.send_initial_metadata([pair for pair in sent if pair[0] == INITIAL])
    context.set_trailing_metadata([pair for pair in sent if pair[0] == TRAILING])


async def echo_status(request: Any, context: Any) -> None:
    wanted = request.response_status
    if wanted.code:
        code = next(code for code in grpc.StatusCode if code.value[0] == wanted.code)
        await context.abort(code, wanted.message)


async def main(target: str, descriptors: str) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Services(Messages(descriptors)),))
    port = server.add_insecure_port(target)
    await server.start()
    print(grpc.__version__, port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
