"""What a program gets wrong is said at once, and clearly."""

from __future__ import annotations

from typing import Any

import pytest

from carp_grpc import AioClient, Client, Link, RemoteExecutionError
from conftest import GoHost

NOWHERE = "unix:///nonexistent/s"


@pytest.mark.parametrize("make", [Client, Link])
@pytest.mark.parametrize(
    ("target", "error", "text"),
    [
        ("", ValueError, "the target is empty"),
        (None, TypeError, "give a text such as"),
        ("/run/x.sock", ValueError, "unix:/run/x.sock"),
        ("http://localhost:1", ValueError, "give tcp://localhost:1"),
        ("shm:///run/x", ValueError, "between Go processes only"),
    ],
)
def test_targets(make: Any, target: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make(target)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"tiemout": 5}, TypeError, "no option 'tiemout'; there are codec, metadata"),
        ({"timeout": "5"}, TypeError, "want seconds as a number"),
        ({"codec": "xml"}, ValueError, "there are carp, json, msgpack"),
        ({"metadata": ["ab"]}, TypeError, "want pairs"),
        ({"metadata": [("a", 1)]}, TypeError, "text or bytes"),
        ({"metadata": [("A", "b")]}, ValueError, "keys are of a-z"),
        ({"metadata": [("carp-x", "b")]}, ValueError, "are taken"),
    ],
)
def test_options(options: Any, error: type[Exception], text: str) -> None:
    for make in (Client, Link):
        with pytest.raises(error, match=text):
            make(NOWHERE, **options)
    with Client(NOWHERE) as c, pytest.raises(error, match=text):
        c.f.with_options(**options)


def test_metadata_may_be_a_dict() -> None:
    with Client(NOWHERE, metadata={"a": "b"}) as c:
        assert c._options.metadata == (("a", "b"),)


def test_workers() -> None:
    with pytest.raises(ValueError, match="one thread at least"):
        Link(NOWHERE, workers=0)


async def test_no_server_aio() -> None:
    async with AioClient(NOWHERE) as c:
        with pytest.raises(ConnectionError, match="/nonexistent/s"):
            await c.f()


@pytest.mark.parametrize("make", [Client, Link])
def test_calls(gohost: GoHost, make: Any) -> None:
    with make(gohost.unix, wait_for_ready=True, timeout=60) as c:
        for call, code, text in (
            (lambda: c.Nope.Nope(1), "UNIMPLEMENTED", "unknown service Nope"),
            (lambda: c.Calculator.add(1, 2), "UNIMPLEMENTED", "unknown method add"),
            (lambda: c.Calculator.Add(1, z=2), "INVALID_ARGUMENT", 'no parameter "z"'),
            (lambda: c.Calculator.Add(1, 2, 3), "INVALID_ARGUMENT", "too many arguments"),
            (lambda: c.Calculator.Add("a", 2), "INVALID_ARGUMENT", 'argument "a": want int64'),
        ):
            with pytest.raises(RemoteExecutionError, match=text) as caught:
                call()
            assert caught.value.code.name == code
        for value in (object(), {1, 2}, 2**70):
            with pytest.raises(ValueError, match="cannot travel|is outside"):
                c.echo(value)
