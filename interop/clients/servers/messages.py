"""The classes of protobuf messages, from a file with a FileDescriptorSet, with any protobuf."""

from __future__ import annotations

import functools
import pathlib
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


class Messages:
    def __init__(self, path: str) -> None:
        self._pool = descriptor_pool.DescriptorPool()
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(path).read_bytes())
        for file in files.file:
            self._pool.AddSerializedFile(file.SerializeToString())

    @functools.cache  # noqa: B019 # there is one of these in a process
    def __call__(self, name: str) -> Any:
        descriptor = self._pool.FindMessageTypeByName(name)
        if hasattr(message_factory, "GetMessageClass"):
            return message_factory.GetMessageClass(descriptor)
        factory: Any = message_factory.MessageFactory(self._pool)
        return factory.GetPrototype(descriptor)


INITIAL = "x-grpc-test-echo-initial"
TRAILING = "x-grpc-test-echo-trailing-bin"
GREETER = "carp.examples.greeter.v1"
TESTING = "grpc.testing"
# The methods: whether requests and replies are streams, and what they are.
METHODS = {
    f"/{GREETER}.Greeter/Greet": (False, False, "GreetRequest", "GreetReply"),
    f"/{GREETER}.Greeter/GreetAll": (True, True, "GreetRequest", "GreetReply"),
    f"/{TESTING}.TestService/EmptyCall": (False, False, "Empty", "Empty"),
    f"/{TESTING}.TestService/UnaryCall": (False, False, "SimpleRequest", "SimpleResponse"),
    f"/{TESTING}.TestService/StreamingOutputCall": (
        False, True, "StreamingOutputCallRequest", "StreamingOutputCallResponse",
    ),
    f"/{TESTING}.TestService/StreamingInputCall": (
        True, False, "StreamingInputCallRequest", "StreamingInputCallResponse",
    ),
    f"/{TESTING}.TestService/FullDuplexCall": (
        True, True, "StreamingOutputCallRequest", "StreamingOutputCallResponse",
    ),
}  # fmt: skip


def types(messages: Messages, path: str) -> tuple[Any, Any]:
    """The classes of a method's request and reply."""
    package = path[1:].rpartition("/")[0].rpartition(".")[0]
    _, _, request, reply = METHODS[path]
    return messages(f"{package}.{request}"), messages(f"{package}.{reply}")
