"""gRPC's standard interoperability cases: grpcio by itself against the TestService on a Go host.

The names and what they ask for are those of gRPC's specification of interoperability tests. The
messages come from the host's reflection, so that no generated code is needed.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from conftest import GoHost

from carp_grpc import Client, protos

Code = grpc.StatusCode
SERVICE = "grpc.testing.TestService"
SIZES = [31415, 9, 2653, 58979]
SENT = [27182, 8, 1828, 45904]
INITIAL = ("x-grpc-test-echo-initial", "test_initial_metadata_value")
TRAILING = ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab")


class Stub:
    """The TestService: its methods as grpcio makes them, and its messages."""

    def __init__(self, channel: grpc.Channel, messages: Any) -> None:
        self._channel = channel
        self.messages = messages

    def method(self, kind: str, name: str, reply: str, service: str = SERVICE) -> Any:
        make: Any = getattr(self._channel, kind)
        return make(
            f"/{service}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self.messages(reply).FromString,
        )

    def empty(self, name: str = "EmptyCall", service: str = SERVICE) -> Any:
        return self.method("unary_unary", name, "Empty", service)

    def unary(self) -> Any:
        return self.method("unary_unary", "UnaryCall", "SimpleResponse")

    def duplex(self) -> Any:
        return self.method("stream_stream", "FullDuplexCall", "StreamingOutputCallResponse")

    def simple(self, **fields: Any) -> Any:
        return self.messages("SimpleRequest")(**fields)

    def output(self, *sizes: int, body: int = 0, interval: int = 0, **fields: Any) -> Any:
        return self.messages("StreamingOutputCallRequest")(
            response_parameters=[{"size": size, "interval_us": interval} for size in sizes],
            payload={"body": bytes(body)},
            **fields,
        )


@pytest.fixture(scope="module")
def messages(gohost: GoHost) -> Callable[[str], Any]:
    """The classes of the service's messages, by name."""
    with Client(gohost.unix, codec="proto", timeout=30.0) as client:
        client[SERVICE].EmptyCall()
        codec = client._connection.reflection.known(f"/{SERVICE}/EmptyCall")
        assert codec is not None
        pool = codec.pool
    return lambda name: protos.class_of(pool.FindMessageTypeByName(f"grpc.testing.{name}"))


@pytest.fixture(params=("unix", "tcp", "abstract"))
def stub(request: pytest.FixtureRequest, gohost: GoHost, messages: Any) -> Iterator[Stub]:
    target = gohost.target(request.param).replace("tcp://", "")
    with grpc.insecure_channel(target) as channel:
        yield Stub(channel, messages)


def asking(requests: queue.SimpleQueue[Any]) -> Iterator[Any]:
    """A stream of requests that ends with None."""
    return iter(requests.get, None)


def fails(code: grpc.StatusCode, call: Callable[[], object]) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    assert error.code() is code, error
    return error


def test_empty_unary(stub: Stub) -> None:
    assert stub.empty()(stub.messages("Empty")()) == stub.messages("Empty")()


def test_large_unary(stub: Stub) -> None:
    request = stub.simple(response_size=314159, payload={"body": bytes(271828)})
    assert stub.unary()(request).payload.body == bytes(314159)


def test_client_streaming(stub: Stub) -> None:
    call = stub.method("stream_unary", "StreamingInputCall", "StreamingInputCallResponse")
    request = stub.messages("StreamingInputCallRequest")
    reply = call(request(payload={"body": bytes(size)}) for size in SENT)
    assert reply.aggregated_payload_size == sum(SENT) == 74922


def test_server_streaming(stub: Stub) -> None:
    call = stub.method("unary_stream", "StreamingOutputCall", "StreamingOutputCallResponse")
    assert [len(reply.payload.body) for reply in call(stub.output(*SIZES))] == SIZES


def test_ping_pong(stub: Stub) -> None:
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    replies = stub.duplex()(asking(requests))
    for size, body in zip(SIZES, SENT):
        requests.put(stub.output(size, body=body))
        assert len(next(replies).payload.body) == size
    requests.put(None)
    assert list(replies) == []


def test_empty_stream(stub: Stub) -> None:
    assert list(stub.duplex()(iter(()))) == []


def test_cancel_after_begin(stub: Stub) -> None:
    call = stub.method("stream_unary", "StreamingInputCall", "StreamingInputCallResponse")
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    pending = call.future(asking(requests))
    pending.cancel()
    assert pending.code() is Code.CANCELLED
    requests.put(None)


def test_cancel_after_first_response(stub: Stub) -> None:
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    replies = stub.duplex()(asking(requests))
    requests.put(stub.output(SIZES[0], body=SENT[0]))
    next(replies)
    replies.cancel()
    fails(Code.CANCELLED, lambda: next(replies))
    requests.put(None)


def test_timeout_on_sleeping_server(stub: Stub) -> None:
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    replies = stub.duplex()(asking(requests), timeout=0.001)
    requests.put(stub.output(body=27182))
    with pytest.raises(grpc.RpcError) as caught:
        list(replies)
    error: Any = caught.value
    # grpc-go's server resets the stream when it is the first to see the deadline, which grpcio
    # calls CANCELLED if its own clock is a little behind: about one time in ten, and so it is
    # with an unmodified grpc-go. carp_grpc.Client corrects it.
    reset = error.code() is Code.CANCELLED and "RST_STREAM" in error.details()
    assert error.code() is Code.DEADLINE_EXCEEDED or reset, error
    requests.put(None)


def test_custom_metadata(stub: Stub) -> None:
    metadata = (INITIAL, TRAILING)
    request = stub.simple(response_size=314159, payload={"body": bytes(271828)})
    _, call = stub.unary().with_call(request, metadata=metadata)
    assert INITIAL in [tuple(pair) for pair in call.initial_metadata()]
    assert TRAILING in [tuple(pair) for pair in call.trailing_metadata()]
    replies = stub.duplex()(iter((stub.output(314159, body=271828),)), metadata=metadata)
    assert len(list(replies)) == 1
    assert INITIAL in [tuple(pair) for pair in replies.initial_metadata()]
    assert TRAILING in [tuple(pair) for pair in replies.trailing_metadata()]


@pytest.mark.parametrize(
    "text",
    ("test status message", "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"),
    ids=("status_code_and_message", "special_status_message"),
)
def test_status(stub: Stub, text: str) -> None:
    wanted = {"code": 2, "message": text}
    error = fails(Code.UNKNOWN, lambda: stub.unary()(stub.simple(response_status=wanted)))
    assert error.details() == text
    replies = stub.duplex()(iter((stub.output(response_status=wanted),)))
    assert fails(Code.UNKNOWN, lambda: list(replies)).details() == text


def test_unimplemented_method(stub: Stub) -> None:
    call = stub.empty("UnimplementedCall")
    fails(Code.UNIMPLEMENTED, lambda: call(stub.messages("Empty")()))


def test_unimplemented_service(stub: Stub) -> None:
    call = stub.empty("UnimplementedCall", "grpc.testing.UnimplementedService")
    fails(Code.UNIMPLEMENTED, lambda: call(stub.messages("Empty")()))
