"""Objects and functions passed by reference over a link, against the other end in Python."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from fakepeer import FakePeer

import carp_grpc
from carp_grpc import AioLink, Link, Ref, RemoteExecutionError, RemoteObject, codecs
from carp_grpc.link.messages import Incoming, Response

Code = grpc.StatusCode
MSGPACK = codecs.lookup("msgpack")


def handler(call: Incoming) -> Response | None:
    """A host with a class Counter and functions that take a callback and leave it to the test."""
    request = call.request
    args = codecs.lookup(request.codec).decode_arguments(request.payload)[0]

    def result(value: Any, **fields: Any) -> Response:
        return Response(payload=codecs.lookup(request.codec).encode_result(value), **fields)

    if request.method == "/Counter/call":
        return result([{"made": Ref("Counter", "id-1")}, Ref("Counter", "id-2")])
    if request.method == "/Counter/Add":
        return result([request.instance, *args])
    if request.method == "/keep/call":
        return result(args[0].id, metadata=(("carp-retained", args[0].id),))
    if request.method == "/open/call":
        return None
    return result([[a.cls, a.id] for a in args])


@pytest.fixture
def peer() -> Iterator[FakePeer]:
    with FakePeer(handler) as peer:
        yield peer


@pytest.fixture
def link(peer: FakePeer) -> Iterator[Link]:
    with Link(peer.target, "py", timeout=30.0) as link:
        link.wait_ready(30)
        yield link


@pytest.mark.parametrize("codec", ("msgpack", "json", "carp"))
def test_remote_objects(peer: FakePeer, link: Link, codec: str) -> None:
    made, second = link.Counter.with_options(codec=codec)()
    first = made["made"]
    assert isinstance(first, RemoteObject)
    assert repr(first) == "<remote Counter>"
    assert first.Add(5) == ["id-1", 5]
    assert second.Add.with_options(codec=codec)() == ["id-2"]
    assert link.echo.with_options(codec=codec)(first) == [["Counter", "id-1"]]
    carp_grpc.release(first)
    carp_grpc.release(first)
    peer.wait_for(lambda: peer.released == [("id-1", 1)])
    with pytest.raises(ValueError, match="released"):
        first.Add(1)
    del second
    gc.collect()
    peer.wait_for(lambda: peer.released == [("id-1", 1), ("id-2", 1)])


def test_collected_while_the_link_is_locked(peer: FakePeer, link: Link) -> None:
    objects = link.Counter()
    with link._changed:
        del objects
        gc.collect()
    peer.wait_for(lambda: sorted(peer.released) == [("id-1", 1), ("id-2", 1)])


async def test_remote_objects_aio(peer: FakePeer) -> None:
    async with AioLink(peer.target, "py", timeout=30.0) as link:
        made, second = await link.Counter()
        assert await made["made"].Add(5) == ["id-1", 5]
        del second
        gc.collect()
        await asyncio.to_thread(peer.wait_for, lambda: peer.released == [("id-2", 1)])


def start_open(link: Link, *args: Any) -> threading.Thread:
    def run() -> None:
        with pytest.raises(RemoteExecutionError):
            link.open(*args)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def open_call(peer: FakePeer) -> Incoming:
    def found() -> Any:
        assert peer.wire is not None
        calls = peer.wire.serving.values()
        return next((c for c in calls if c.request.method == "/open/call"), None)

    return peer.wait_for(found)  # type: ignore[no-any-return]


def test_callback(peer: FakePeer, link: Link) -> None:
    def fail() -> None:
        raise PermissionError("not that")

    thread = start_open(link, lambda a, b: a + b, [fail])
    call = open_call(peer)
    add, (fails,) = MSGPACK.decode_arguments(call.request.payload)[0]
    path = "/carp.v1.Callback/call"
    assert peer.call(path, 1, 2, _instance=add.id) == 3
    assert peer.call(path, _instance=fails.id).code is Code.PERMISSION_DENIED
    assert peer.call(path, 1, _instance=add.id).code is Code.INVALID_ARGUMENT
    assert peer.call(path).code is Code.INVALID_ARGUMENT
    peer.tell(lambda wire: wire.reply(call, Response(Code.UNKNOWN, "over")))
    thread.join(30)
    assert peer.call(path, 1, 2, _instance=add.id).code is Code.NOT_FOUND
    assert len(link._core.passing.holdings) == 0


def test_callback_that_is_kept(peer: FakePeer, link: Link) -> None:
    id = link.keep(lambda: "still here")
    assert peer.call("/carp.v1.Callback/call", _instance=id) == "still here"
    peer.tell(lambda wire: wire.release((id,)))
    peer.wait_for(lambda: len(link._core.passing.holdings) == 0)
    assert peer.call("/carp.v1.Callback/call", _instance=id).code is Code.NOT_FOUND


def test_callback_of_the_host(peer: FakePeer, link: Link) -> None:
    def twice(f: Any) -> Any:
        return [f(1), f(2)]

    link.export(twice)
    peer.wait_for(lambda: peer.exports)
    peer.handler = lambda call: Response(
        payload=MSGPACK.encode_result([call.request.method, call.request.instance])
    )
    want = ["/carp.v1.Callback/call", "cb"]
    assert peer.call("/twice/call", Ref("", "cb")) == [want, want]


@dataclasses.dataclass
class Account:
    balance: int = 0

    def Deposit(self, n: int) -> int:
        self.balance += n
        return self.balance

    def Same(self) -> Account:
        return self

    @staticmethod
    def Currency() -> str:
        return "EUR"


class AioAccount(Account):
    async def Deposit(self, n: int) -> int:  # type: ignore[override]
        await asyncio.sleep(0)
        self.balance += n
        return self.balance


def check_class(peer: FakePeer, holdings: Any) -> None:
    exports = {"Account": ["Currency", "Deposit", "Same", "call"], "of": ["call"]}
    peer.wait_for(lambda: peer.exports == exports)
    ref = peer.call("/Account/call", 5)
    assert ref.cls == "Account"
    assert peer.call("/Account/Deposit", 2, _instance=ref.id) == 7
    again = peer.call("/Account/Same", _instance=ref.id)
    assert again == ref
    host = peer.hello.host_id
    assert peer.call("/of/call", Ref("Account", ref.id, host)) == 7
    assert peer.call("/Account/Currency") == "EUR"
    assert peer.call("/Account/Deposit", 2).code is Code.INVALID_ARGUMENT
    assert peer.call("/Account/Deposit", 2, _instance="none").code is Code.NOT_FOUND
    assert peer.call("/carp.v1.Callback/call", 2, _instance=ref.id).code is Code.NOT_FOUND
    peer.tell(lambda wire: wire.release((ref.id,)))
    assert peer.call("/Account/Deposit", 0, _instance=ref.id) == 7  # one reference is left
    peer.tell(lambda wire: wire.release((ref.id,)))
    peer.wait_for(lambda: len(holdings) == 0)
    assert peer.call("/Account/Deposit", 2, _instance=ref.id).code is Code.NOT_FOUND


def balance_of(account: Account) -> int:
    return account.balance


def test_class(peer: FakePeer, link: Link) -> None:
    link.export(Account)
    link.export(balance_of, "of")
    check_class(peer, link._core.passing.holdings)
    link.unexport("Account")
    peer.wait_for(lambda: list(peer.exports) == ["of"])


async def test_class_aio(peer: FakePeer) -> None:
    async with AioLink(peer.target, "py") as link:
        link.export(AioAccount, "Account")
        link.export(balance_of, "of")
        await asyncio.to_thread(check_class, peer, link._core.passing.holdings)


def test_objects_go_with_the_link(peer: FakePeer, link: Link) -> None:
    link.export(Account)
    peer.wait_for(lambda: peer.exports)
    assert peer.call("/Account/call", 5).cls == "Account"
    assert len(link._core.passing.holdings) == 1
    peer.abort()
    peer.wait_for(lambda: peer.links == 2)
    with link._changed:
        link._changed.wait_for(link._ready, 30)
    assert len(link._core.passing.holdings) == 0
