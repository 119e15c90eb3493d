"""gRPC for C++ by way of cpp/client.cc: every kind of call, body and transport."""

from __future__ import annotations

import dataclasses
import json
import struct
import subprocess
from typing import Any

import msgpack
import pytest
from conftest import PATIENCE, tool

GREETER = "carp.examples.greeter.v1.Greeter"
UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, FAILED_PRECONDITION = 2, 3, 4, 9
LARGE = 5 << 20


@dataclasses.dataclass
class Outcome:
    """What a call came to."""

    code: int = -1
    text: str = ""
    details: bytes = b""
    replies: list[bytes] = dataclasses.field(default_factory=list)
    header: dict[str, str] = dataclasses.field(default_factory=dict)
    trailer: dict[str, str] = dataclasses.field(default_factory=dict)

    def take(self, letter: str, data: bytes) -> None:
        match letter:
            case "M":
                self.replies.append(data)
            case "H" | "T":
                key, _, value = data.decode("latin-1").partition("=")
                (self.header if letter == "H" else self.trailer)[key] = value
            case "E":
                self.text = data.decode()
            case "D":
                self.details = data
            case "C":
                self.code = int(data)


class Client:
    def __init__(self, program: str, target: str) -> None:
        self._program = program
        self._target = target

    def call(
        self, path: str, *requests: bytes, timeout: float = PATIENCE, **metadata: str | bytes
    ) -> Outcome:
        pairs = []
        for key, value in metadata.items():
            data = value.encode() if isinstance(value, str) else value
            pairs.append(f"{key.replace('_', '-')}={data.hex()}")
        done = subprocess.run(
            (self._program, self._target, path, str(int(timeout * 1000)), *pairs),
            input=b"".join(struct.pack(">I", len(body)) + body for body in requests),
            stdout=subprocess.PIPE, timeout=2 * PATIENCE, check=True,
        )  # fmt: skip
        outcome, rest = Outcome(), done.stdout
        while rest:
            letter, (size,) = chr(rest[0]), struct.unpack(">I", rest[1:5])
            outcome.take(letter, rest[5 : 5 + size])
            rest = rest[5 + size :]
        return outcome

    def dynamic(self, codec: str, path: str, *arguments: Any, **options: Any) -> Any:
        encode = msgpack.packb if codec == "msgpack" else lambda value: json.dumps(value).encode()
        decode = msgpack.unpackb if codec == "msgpack" else json.loads
        outcome = self.call(path, encode(list(arguments)), carp_codec=codec, **options)
        if outcome.code != 0:
            return outcome
        (reply,) = outcome.replies
        return decode(reply)


@pytest.fixture(params=("unix", "tcp", "abstract"))
def client(request: pytest.FixtureRequest, host: dict[str, str]) -> Client:
    return Client(tool("CARP_CPP_CLIENT", "client of C++"), host[request.param])


@pytest.mark.parametrize("codec", ("msgpack", "json"))
def test_call(client: Client, codec: str) -> None:
    assert client.dynamic(codec, "/Calculator/Add", 2**53, 1) == 2**53 + 1
    value = {"a": [1, 2.5, None, "é"], "b": {"c": True}}
    assert client.dynamic(codec, "/echo/call", value) == value
    refused = client.dynamic(codec, "/Calculator/Add", 1.5, 1)
    assert (refused.code, refused.trailer["carp-exception"]) == (INVALID_ARGUMENT, "carp.BindError")


def test_protobuf(client: Client) -> None:
    """A generated service, a plain Go function, and carp's own messages."""
    assert client.call(f"/{GREETER}/Greet", b"\x0a\x03Ann").replies == [b"\x0a\x0bHello, Ann!"]
    assert client.call("/Calculator/Add", b"\x08\x01\x10\x02").replies == [b"\x08\x03"]
    arguments = b"\x0a\x02\x18\x02\x0a\x02\x18\x04"  # Args of the ints 1 and 2
    assert client.call("/Calculator/Add", arguments, carp_codec="carp").replies == [
        b"\x0a\x02\x18\x06"
    ]


def test_stream(client: Client) -> None:
    outcome = client.call(f"/{GREETER}/GreetAll", b"\x0a\x03Ann", b"\x0a\x03Bob")
    assert outcome.replies == [b"\x0a\x0bHello, Ann!", b"\x0a\x0bHello, Bob!"]
    assert outcome.code == 0


def test_errors(client: Client) -> None:
    failed = client.dynamic("msgpack", "/Calculator/Div", 1, 0)
    assert (failed.code, failed.text) == (UNKNOWN, "division by zero")
    assert failed.trailer["carp-exception"] == "errors.errorString"
    failed = client.dynamic("msgpack", "/Failing/Status")
    assert (failed.code, failed.text) == (FAILED_PRECONDITION, "not now")
    assert b"google.protobuf.StringValue" in failed.details and b"busy" in failed.details
    failed = client.dynamic("msgpack", "/Failing/Long", 100_000)
    assert (failed.code, failed.trailer["carp-error-cut"]) == (UNKNOWN, "1")


def test_metadata(client: Client) -> None:
    outcome = client.call(
        "/headers/call", b"\x90", carp_codec="msgpack", k="v", b_bin=b"\xff\x00"
    )
    seen = msgpack.unpackb(outcome.replies[0])
    assert (seen["k"], seen["b-bin"]) == (["v"], [b"\xff\x00"])
    assert (outcome.header["h"], outcome.trailer["t"]) == ("1", "2")


def test_deadline(client: Client) -> None:
    late = client.dynamic("msgpack", "/waiting/Wait", timeout=1)
    # As with Python's, it is a reset if the server's clock is the first to see it.
    reset = late.code == 1 and "RST_STREAM" in late.text
    assert late.code == DEADLINE_EXCEEDED or reset, late
    assert client.dynamic("msgpack", "/waiting/Begun") is None
    assert client.dynamic("msgpack", "/waiting/Ended") is None


def test_large(client: Client) -> None:
    data = bytes(LARGE)
    assert client.dynamic("msgpack", "/echo/call", data) == data


@pytest.mark.parametrize("codec", ("msgpack", "json"))
def test_plain_streams(client: Client, codec: str) -> None:
    """Go functions that take and give streams of values."""
    encode = msgpack.packb if codec == "msgpack" else lambda value: json.dumps(value).encode()
    decode = msgpack.unpackb if codec == "msgpack" else json.loads
    numbers = [encode(n) for n in range(1, 100)]
    summed = client.call("/Numbers/Sum", encode([2]), *numbers, carp_codec=codec)
    assert [decode(reply) for reply in summed.replies] == [9900]
    counted = client.call("/Numbers/Count", encode([3]), carp_codec=codec)
    assert [decode(reply) for reply in counted.replies] == [0, 1, 2]
    doubled = client.call("/Numbers/Double", encode([]), *numbers, carp_codec=codec)
    assert [decode(reply) for reply in doubled.replies] == list(range(2, 200, 2))
