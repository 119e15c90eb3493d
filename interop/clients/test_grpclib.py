"""grpclib where interop/python's tests of it leave off: abstract sockets, and details of errors."""

from __future__ import annotations

from typing import Any

import grpclib.client
import grpclib.encoding.base
import grpclib.exceptions
import msgpack
import pytest
from grpclib.const import Status


class Msgpack(grpclib.encoding.base.CodecBase):
    __content_subtype__ = "msgpack"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(msgpack.packb(message))

    def decode(self, data: bytes, message_type: Any) -> Any:
        return msgpack.unpackb(data)


class RawDetails(grpclib.encoding.base.StatusDetailsCodecBase):
    """Details as they came: grpclib decodes them only if it has Google's common protos."""

    def encode(self, status: Status, message: str | None, details: Any) -> bytes:
        return bytes(details)

    def decode(self, status: Status, message: str | None, data: bytes) -> Any:
        return data


async def test_abstract_and_details(host: dict[str, str]) -> None:
    path = host["abstract"].replace("unix-abstract:", "\0")
    channel = grpclib.client.Channel(path=path, codec=Msgpack(), status_details_codec=RawDetails())
    try:

        async def call(path: str, *arguments: Any) -> Any:
            method = grpclib.client.UnaryUnaryMethod(channel, path, object, object)
            return await method(list(arguments), timeout=30)

        assert await call("/Calculator/Add", 1, 2) == 3
        with pytest.raises(grpclib.exceptions.GRPCError) as caught:
            await call("/Failing/Status")
    finally:
        channel.close()
    details: Any = caught.value.details
    assert caught.value.status is Status.FAILED_PRECONDITION
    assert b"google.protobuf.StringValue" in details and b"busy" in details
