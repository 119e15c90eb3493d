"""The Greeter and gRPC's TestService by grpclib, which is Python all through.

    python grpclib_server.py TARGET DESCRIPTORS

It prints a line when it serves, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpclib
from grpclib.const import Cardinality, Handler, Status
from grpclib.server import Server
from messages import GREETER, INITIAL, METHODS, TESTING, TRAILING, Messages, types

CARDINALITIES = {
    (False, False): Cardinality.UNARY_UNARY,
    (False, True): Cardinality.UNARY_STREAM,
    (True, False): Cardinality.STREAM_UNARY,
    (True, True): Cardinality.STREAM_STREAM,
}


class Service:
    """What one of the services has, as grpclib asks for it."""

    def __init__(self, prefix: str, messages: Messages) -> None:
        self._prefix = prefix
        self._messages = messages

    def __mapping__(self) -> dict[str, Handler]:
        mapping = {}
        for path in METHODS:
            if path.startswith(f"/{self._prefix}."):
                request, reply = types(self._messages, path)
                method = getattr(self, path.rpartition("/")[2])
                mapping[path] = Handler(
                    self._bound(method, reply), CARDINALITIES[METHODS[path][:2]], request, reply
                )
        return mapping

    def _bound(self, method: Any, reply: Any) -> Any:
        return lambda stream: method(reply, stream)

    async def Greet(self, reply: Any, stream: Any) -> None:
        await stream.send_message(greeting(reply, await stream.recv_message()))

    async def GreetAll(self, reply: Any, stream: Any) -> None:
        async for request in stream:
            await stream.send_message(greeting(reply, request))

    async def EmptyCall(self, reply: Any, stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(reply())

    async def UnaryCall(self, reply: Any, stream: Any) -> None:
        request = await stream.recv_message()
        trailer = await echo_metadata(stream)
        echo_status(request)
        await stream.send_message(reply(payload={"body": bytes(request.response_size)}))
        await stream.send_trailing_metadata(metadata=trailer)

    async def StreamingOutputCall(self, reply: Any, stream: Any) -> None:
        await respond(reply, await stream.recv_message(), stream)

    async def StreamingInputCall(self, reply: Any, stream: Any) -> None:
        total = sum([len(request.payload.body) async for request in stream])
        await stream.send_message(reply(aggregated_payload_size=total))

    async def FullDuplexCall(self, reply: Any, stream: Any) -> None:
        trailer = await echo_metadata(stream)
        async for request in stream:
            echo_status(request)
            await respond(reply, request, stream)
        await stream.send_trailing_metadata(metadata=trailer)


def greeting(reply: Any, request: Any) -> Any:
    if not request.name:
        raise grpclib.GRPCError(Status.INVALID_ARGUMENT, "the name is empty")
    return reply(text=f"Hello, {request.name}!")


async def respond(reply: Any, request: Any, stream: Any) -> None:
    for parameter in request.response_parameters:
        await asyncio.sleep(parameter.interval_us / 1e6)
        await stream.send_message(reply(payload={"body": bytes(parameter.size)}))


async def echo_metadata(stream: Any) -> list[Any]:
    """Send back what is to come first, and return what is to come last."""
    sent = list(stream.metadata.items())
    await stream.send_initial_metadata(metadata=[pair for pair in sent if pair[0] == INITIAL])
    return [pair for pair in sent if pair[0] == TRAILING]


def echo_status(request: Any) -> None:
    wanted = request.response_status
    if wanted.code:
        raise grpclib.GRPCError(Status(wanted.code), wanted.message)


async def main(target: str, descriptors: str) -> None:
    messages = Messages(descriptors)
    server = Server([Service(GREETER, messages), Service(TESTING, messages)])
    port = 0
    if target.startswith("unix"):
        path = target.removeprefix("unix://").replace("unix-abstract:", "\0")
        await server.start(path=path)
    else:
        await server.start(*target.rsplit(":", 1))
        port = server._server.sockets[0].getsockname()[1]  # it tells nobody else
    print(grpclib.__version__, port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
