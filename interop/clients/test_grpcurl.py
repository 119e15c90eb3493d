"""grpcurl, a client that knows nothing but what the host's reflection tells it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from conftest import PATIENCE, tool

GREETER = "carp.examples.greeter.v1.Greeter"
INVALID_ARGUMENT, DEADLINE_EXCEEDED, FAILED_PRECONDITION, UNIMPLEMENTED = 3, 4, 9, 12
LARGE = 5 << 20


class Failed(Exception):
    """The status that a call ended with, as grpcurl -format-error prints it."""

    def __init__(self, status: dict[str, Any], printed: str) -> None:
        super().__init__(status)
        self.printed = printed
        self.code = status.get("code")
        self.message = status.get("message", "")
        self.details = status.get("details", [])


class Grpcurl:
    def __init__(self, program: str, *address: str) -> None:
        self._command = (program, "-plaintext", "-format-error", "-connect-timeout", str(PATIENCE))
        self._address = address

    def run(self, *words: str, options: tuple[str, ...] = (), stdin: str = "") -> str:
        done = subprocess.run(
            (*self._command, *options, *self._address, *words),
            input=stdin, capture_output=True, text=True, timeout=2 * PATIENCE, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            if done.stderr.startswith("{"):
                raise Failed(json.loads(done.stderr), done.stdout)
            raise AssertionError(done.stderr)
        return done.stdout

    def call(self, method: str, **arguments: Any) -> Any:
        return json.loads(self.run(method, options=("-d", "@"), stdin=json.dumps(arguments)))


@pytest.fixture(params=("unix", "tcp"))
def grpcurl(request: pytest.FixtureRequest, host: dict[str, str]) -> Grpcurl:
    address = ("-unix", host["path"]) if request.param == "unix" else (host["tcp"],)
    return Grpcurl(tool("CARP_GRPCURL", "grpcurl"), *address)


def test_list(grpcurl: Grpcurl) -> None:
    services = grpcurl.run("list").split()
    assert {GREETER, "Calculator", "echo", "carp.v1.Peer", "grpc.health.v1.Health"} <= set(services)
    assert grpcurl.run("list", GREETER).split() == [f"{GREETER}.Greet", f"{GREETER}.GreetAll"]
    assert "Calculator.Add" in grpcurl.run("list", "Calculator").split()


def test_describe(grpcurl: Grpcurl) -> None:
    assert f"rpc Greet ( .{GREETER[:-8]}.GreetRequest )" in grpcurl.run("describe", GREETER)
    assert "rpc Add ( .carp.gen.Calculator.AddRequest )" in grpcurl.run("describe", "Calculator.Add")
    message = grpcurl.run("describe", ".carp.gen.Calculator.AddRequest")
    assert "optional int64 a = 1;" in message and "optional int64 b = 2;" in message
    assert "repeated" in grpcurl.run("describe", ".carp.gen.Calculator.SumRequest")


def test_generated_service(grpcurl: Grpcurl) -> None:
    assert grpcurl.call(f"{GREETER}/Greet", name="Ann") == {"text": "Hello, Ann!"}
    with pytest.raises(Failed, match="the name is empty") as caught:
        grpcurl.call(f"{GREETER}/Greet")
    assert caught.value.code == INVALID_ARGUMENT


def test_stream(grpcurl: Grpcurl) -> None:
    requests = '{"name": "Ann"} {"name": "Bob"}'
    printed = grpcurl.run(f"{GREETER}/GreetAll", options=("-d", "@"), stdin=requests)
    replies = "".join(printed.split())
    assert replies == '{"text":"Hello,Ann!"}{"text":"Hello,Bob!"}'


def test_plain_functions(grpcurl: Grpcurl) -> None:
    assert grpcurl.call("Calculator/Add", a=2**53 + 1, b=1) == {"result": str(2**53 + 2)}
    assert grpcurl.call("Calculator/DivMod", arg0=7, arg1=2) == {"result": "3", "result2": "1"}
    point = {"x": -1, "y": 2, "label": "p", "tags": ["a", "b"]}
    assert grpcurl.call("Typed/Point", arg0=point) == {"result": point}
    assert grpcurl.call("Typed/Bytes", arg0="AP8=") == {"result": "AP8="}
    instant = "2024-02-29T23:59:59.123456789Z"
    assert grpcurl.call("Typed/Time", arg0=instant) == {"result": instant}
    assert grpcurl.call("Typed/ByNumber", arg0={"-2": "b"}) == {"result": {"-2": "b"}}
    assert grpcurl.call("nothing/call") == {}


def test_errors(grpcurl: Grpcurl) -> None:
    with pytest.raises(Failed, match='Calculator.Add: argument "b" is missing') as caught:
        grpcurl.call("Calculator/Add", a=1)
    assert caught.value.code == INVALID_ARGUMENT
    with pytest.raises(Failed) as caught:
        grpcurl.call("Failing/Status")
    assert (caught.value.code, caught.value.message) == (FAILED_PRECONDITION, "not now")
    assert [detail["value"] for detail in caught.value.details] == ["busy"]
    with pytest.raises(AssertionError, match="does not expose service"):
        grpcurl.call("nope/call")


def test_metadata(grpcurl: Grpcurl) -> None:
    with pytest.raises(Failed, match="division by zero") as caught:
        grpcurl.run("Calculator/Div", options=("-v", "-d", '{"a": 1, "b": 0}'))
    trailer = caught.value.printed.partition("Response trailers received:")[2]
    assert "carp-exception: errors.errorString" in trailer
    sent = ("-H", "x-grpc-test-echo-initial: here", "-H", "x-grpc-test-echo-trailing-bin: q6ur")
    printed = grpcurl.run("grpc.testing.TestService/UnaryCall", options=("-v", "-d", "{}", *sent))
    header, _, trailer = printed.partition("Response headers received:")[2].partition("trailers")
    assert "x-grpc-test-echo-initial: here" in header
    assert "x-grpc-test-echo-trailing-bin: q6ur" in trailer
    with pytest.raises(Failed, match="xml") as refused:
        options = ("-rpc-header", "carp-codec: xml", "-d", "{}")
        grpcurl.run("Calculator/Add", options=options)
    assert refused.value.code == UNIMPLEMENTED


def test_deadline(grpcurl: Grpcurl) -> None:
    with pytest.raises(Failed) as caught:
        grpcurl.run("waiting/Wait", options=("-max-time", "3"))  # connecting and reflection included
    assert caught.value.code == DEADLINE_EXCEEDED
    grpcurl.call("waiting/Begun")
    grpcurl.call("waiting/Ended")


def test_large(grpcurl: Grpcurl) -> None:
    options = ("-max-msg-sz", str(64 << 20), "-d", "@")
    printed = grpcurl.run(f"{GREETER}/Greet", options=options, stdin=json.dumps({"name": "n" * LARGE}))
    assert json.loads(printed)["text"] == f"Hello, {'n' * LARGE}!"


def test_plain_streams(grpcurl: Grpcurl) -> None:
    """Go functions that take and give streams of values, the first with the other arguments."""
    assert "rpc Sum ( stream " in grpcurl.run("describe", "Numbers.Sum")
    requests = '{"arg0": "2", "arg1": "1"} {"arg1": "2"}'
    printed = grpcurl.run("Numbers/Sum", options=("-d", "@"), stdin=requests)
    assert json.loads(printed) == {"result": "6"}
    printed = grpcurl.run("Numbers/Double", options=("-d", "@"), stdin='{"arg0": "1"} {"arg0": "2"}')
    assert "".join(printed.split()) == '{"result":"2"}{"result":"4"}'
    printed = grpcurl.run("Numbers/Count", options=("-d", '{"arg0": "2"}'))
    assert "".join(printed.split()) == '{"result":"0"}{"result":"1"}'
