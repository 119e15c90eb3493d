"""Link, against the other end in Python."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from fakepeer import FakePeer, echo

import carp_grpc
from carp_grpc import (
    DeadlineExceededError,
    ForkedError,
    Link,
    RemoteExecutionError,
    UnavailableError,
    current,
)
from carp_grpc.link.messages import Request, Response

Code = grpc.StatusCode


@pytest.fixture
def peer() -> Iterator[FakePeer]:
    with FakePeer(echo) as peer:
        yield peer


@pytest.fixture
def link(peer: FakePeer) -> Iterator[Link]:
    with Link(peer.target, "py") as link:
        link.wait_ready(30)
        yield link


def add(a: int, b: int = 2) -> int:
    return a + b


class Counter:
    def __init__(self) -> None:
        self.total = 0

    def Add(self, n: int) -> int:
        self.total += n
        return self.total

    @staticmethod
    def Zero() -> int:
        return 0

    @property
    def Total(self) -> int:
        raise AssertionError("export must not run properties")

    def Stream(self) -> Iterator[int]:
        yield 1

    def _private(self) -> None: ...


def test_hello(peer: FakePeer, link: Link) -> None:
    hello = peer.wait_for(lambda: peer.hello)
    assert (hello.label, hello.agent, len(hello.host_id), len(hello.nonce)) == (
        "py",
        "carp_grpc",
        32,
        16,
    )


@pytest.mark.parametrize("codec", ("msgpack", "json", "carp"))
def test_call(peer: FakePeer, link: Link, codec: str) -> None:
    assert link.a.B.with_options(codec=codec)(1, b=[2]) == [[1], {"b": [2]}]
    assert link.f() == [[], {}]
    assert link["f"].with_options(one_way=True)() is None


def test_served(peer: FakePeer, link: Link) -> None:
    link.export(add)
    exported = link.export(Counter())
    assert exported.skipped == {"Total": "it is not a method"}
    link.export(lambda: "anonymous", "pkg.Sub.Name")
    wanted = {"add": ["call"], "Counter": ["Add", "Stream", "Zero"], "pkg.Sub": ["Name"]}
    peer.wait_for(lambda: peer.exports == wanted)
    for codec in ("msgpack", "json", "carp"):
        assert peer.call("/add/call", 1, codec=codec) == 3
        assert peer.call("/add/call", codec=codec, b=1, a=5) == 6
    assert peer.call("/Counter/Add", 4) == 4
    assert peer.call("/Counter/Add", 4) == 8
    assert peer.call("/Counter/Zero") == 0
    assert peer.call("/pkg.Sub/Name") == "anonymous"

    link.unexport("add")
    link.export(len, "pkg.Sub.Len")
    wanted = {"Counter": ["Add", "Stream", "Zero"], "pkg.Sub": ["Len", "Name"]}
    peer.wait_for(lambda: peer.exports == wanted)
    assert peer.call("/add/call", 1).code is Code.UNIMPLEMENTED
    assert peer.call("/pkg.Sub/Len", "abc") == 3


def test_export_errors(link: Link) -> None:
    link.export(add)
    with pytest.raises(ValueError, match="taken"):
        link.export(add)
    link.export(add, "S.add")

    class S:
        def add(self) -> None: ...

    with pytest.raises(ValueError, match="/S/add is taken"):
        link.export(S())
    with pytest.raises(ValueError, match="identifiers"):
        link.export(add, "a b")
    with pytest.raises(ValueError, match="identifiers"):
        link.export(lambda: 1)
    link.export(Counter)
    with pytest.raises(ValueError, match="the class 'Counter' already"):
        link.export(Counter, "Counter2")
    with pytest.raises(ValueError, match="one identifier"):
        link.export(Link, "a.Link")
    with pytest.raises(TypeError, match="no public method"):
        link.export(3)
    with pytest.raises(ValueError, match="nothing is exported"):
        link.unexport("nope")


class Custom(Exception):
    pass


def test_errors_of_served_functions(peer: FakePeer, link: Link) -> None:
    carp_grpc.register_error("test.Custom", Custom)

    def fail(kind: str) -> None:
        if kind == "custom":
            raise Custom("é")
        if kind == "long":
            raise ValueError("x" * 10000)
        if kind == "remote":
            raise RemoteExecutionError("r", code=Code.ABORTED, name="N")
        if kind == "exit":
            sys.exit(3)
        if kind == "unencodable":
            return {1, 2}  # type: ignore[return-value]
        raise {"timeout": TimeoutError, "missing": NotImplementedError, "key": KeyError}[kind]("t")

    link.export(fail)

    def outcome(kind: str) -> tuple[Code, str, str]:
        response = peer.call("/fail/call", kind)
        return response.code, response.exception, response.message

    assert outcome("custom") == (Code.UNKNOWN, "test.Custom", "é")
    assert outcome("remote") == (Code.ABORTED, "N", "r")
    assert outcome("timeout") == (Code.DEADLINE_EXCEEDED, "TimeoutError", "t")
    assert outcome("missing") == (Code.UNIMPLEMENTED, "NotImplementedError", "t")
    assert outcome("key") == (Code.UNKNOWN, "KeyError", "'t'")
    assert outcome("exit") == (Code.UNKNOWN, "SystemExit", "3")
    code, _, text = outcome("unencodable")
    assert code is Code.INTERNAL and "set" in text
    assert len(outcome("long")[2]) < 5000

    bad = peer.call("/fail/call", 1, 2)
    assert bad.code is Code.INVALID_ARGUMENT and "too many positional" in bad.message
    bad = peer.call("/fail/call", what=2)
    assert bad.code is Code.INVALID_ARGUMENT and "kind" in bad.message
    bad = peer.answer(peer.start_call("/nope/call"))
    assert bad.code is Code.UNIMPLEMENTED
    key = object()
    peer.tell(lambda w: w.call(Request("/fail/call", "xml"), key))
    bad = peer.answer(key)
    assert bad.code is Code.UNIMPLEMENTED
    assert bad.metadata == (("carp-accept-codec", "carp,json,msgpack"),)
    peer.tell(lambda w: w.call(Request("/fail/call", "json", b"{"), key))
    assert peer.answer(key).code is Code.INVALID_ARGUMENT


def test_errors_of_the_host(peer: FakePeer, link: Link) -> None:
    peer.handler = lambda call: Response(Code.NOT_FOUND, "gone", "fs.PathError")
    with pytest.raises(RemoteExecutionError) as caught:
        link.a.B()
    error = caught.value
    assert (error.code, error.name, error.message) == (Code.NOT_FOUND, "fs.PathError", "gone")
    assert str(error) == f"/a/B at {peer.target}: NOT_FOUND fs.PathError: gone"
    carp_grpc.register_error("test.Custom", Custom)
    peer.handler = lambda call: Response(Code.UNKNOWN, "c", "test.Custom")
    with pytest.raises(Custom, match="^c$"):
        link.a.B()


def test_current(peer: FakePeer, link: Link) -> None:
    with pytest.raises(RuntimeError):
        current()

    def about() -> list[Any]:
        call = current()
        left = call.time_remaining()
        call.add_trailer("t", "u")
        with pytest.raises(ValueError):
            call.add_trailer("carp-x", "y")
        return [call.method, call.peer, dict(call.metadata), left is not None and 0 < left <= 60]

    link.export(about)
    key = peer.start_call("/about/call", _metadata=(("k", "v"),), _timeout=60.0)
    response = peer.answer(key)
    assert response.metadata == (("t", "u"),)
    assert carp_grpc.codecs.lookup("msgpack").decode_result(response.payload) == [
        "/about/call",
        "peer",
        {"k": "v"},
        True,
    ]
    assert peer.call("/about/call")[3] is False


def test_async_function(peer: FakePeer, link: Link) -> None:
    async def twice(n: int) -> int:
        return 2 * n

    link.export(twice)
    assert peer.call("/twice/call", 4) == 8


def test_cancellation_reaches_the_function(peer: FakePeer, link: Link) -> None:
    started, told = threading.Event(), threading.Event()

    def wait() -> None:
        started.set()
        if current().wait_cancelled(30):
            told.set()

    link.export(wait)
    key = peer.start_call("/wait/call")
    assert started.wait(30)
    assert peer.wire is not None
    (call,) = peer.wire.calls.values()
    peer.tell(lambda wire: wire.cancel(call))
    assert told.wait(30)
    peer.answer(key)
    told.clear()
    peer.start_call("/wait/call", _timeout=0.05)
    assert told.wait(30)


def test_cancellation_overtakes_the_function(
    peer: FakePeer, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that comes while the arguments are being decoded is not lost."""
    binding, go = threading.Event(), threading.Event()
    bind = link._core.bind

    def slow_bind(*args: Any) -> Any:
        binding.set()
        assert go.wait(30)
        return bind(*args)

    told: list[bool] = []
    monkeypatch.setattr(link._core, "bind", slow_bind)
    link.export(lambda: told.append(current().cancelled()), "ask")
    key = peer.start_call("/ask/call")
    assert binding.wait(30) and peer.wire is not None
    (call,) = peer.wire.calls.values()
    peer.tell(lambda wire: wire.cancel(call))
    session = link._session
    assert session is not None
    (incoming,) = session.wire.serving.values()
    with link._changed:
        assert link._changed.wait_for(lambda: incoming.cancelled, 30)
    go.set()
    peer.answer(key)
    assert told == [True]


def test_cancel_of_ours(peer: FakePeer, link: Link) -> None:
    peer.handler = lambda call: None
    with pytest.raises(DeadlineExceededError):
        link.a.B.with_options(timeout=0.05)()
    peer.wait_for(lambda: len(peer.cancelled) == 1)
    assert peer.cancelled[0].request.timeout == 0.05


def test_reconnect(peer: FakePeer, link: Link) -> None:
    link.export(add)
    peer.wait_for(lambda: peer.exports)
    peer.handler = lambda call: None
    failures: list[BaseException] = []

    def call() -> None:
        try:
            link.a.B()
        except UnavailableError as error:
            failures.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    peer.wait_for(lambda: peer.wire and peer.wire.serving)
    peer.abort()
    thread.join(30)
    assert "lost after the call was sent" in str(failures[0])

    peer.wait_for(lambda: peer.links == 2 and peer.exports == {"add": ["call"]})
    peer.handler = echo
    assert link.a.B.with_options(wait_for_ready=True)(1) == [[1], {}]
    assert peer.call("/add/call", 1) == 3


def test_host_restarts(peer: FakePeer, link: Link) -> None:
    peer.stop()
    with pytest.raises((UnavailableError, DeadlineExceededError)):
        link.a.B.with_options(timeout=10.0)()
    peer.start()
    assert link.a.B.with_options(wait_for_ready=True, timeout=30.0)(1) == [[1], {}]


def test_no_host(tmp_path: Any) -> None:
    with Link(f"unix://{tmp_path}/none") as link:
        with pytest.raises(UnavailableError, match="none"):
            link.f()
        with pytest.raises(DeadlineExceededError):
            link.f.with_options(wait_for_ready=True, timeout=0.1)()
        with pytest.raises(TimeoutError, match="none"):
            link.wait_ready(0.1)


@pytest.mark.parametrize("code", (Code.FAILED_PRECONDITION, Code.PERMISSION_DENIED))
def test_refused_for_good(peer: FakePeer, code: Code) -> None:
    peer.refuse = code, "go away"
    with Link(peer.target) as link:
        assert link.wait(30)
        for use in (lambda: link.wait_ready(30), link.f):
            with pytest.raises(RemoteExecutionError, match="go away") as caught:
                use()
            assert caught.value.code is code
    assert peer.links == 0


def test_goaway(peer: FakePeer, link: Link) -> None:
    link.f()
    peer.tell(lambda wire: wire.leave("tired"))
    with pytest.raises(UnavailableError, match="tired"):
        for _ in range(1000):
            link.f()


def test_close_lets_functions_end(peer: FakePeer) -> None:
    started, go = threading.Event(), threading.Event()

    def slow() -> str:
        started.set()
        assert go.wait(30)
        return "done"

    link = Link(peer.target)
    link.export(slow)
    peer.wait_for(lambda: peer.exports)
    key = peer.start_call("/slow/call")
    assert started.wait(30)
    closer = threading.Thread(target=link.close, args=(30,))
    closer.start()
    peer.wait_for(lambda: peer.wire is None or peer.wire.left)
    go.set()
    assert peer.answer(key).payload == b"\xa4done"
    closer.join(30)
    assert not closer.is_alive()
    link.close()
    with pytest.raises(ValueError, match="closed"):
        link.f()
    with pytest.raises(ValueError, match="closed"):
        link.wait_ready(1)
    peer.wait_for(lambda: peer.wire is None)


def test_call_back_while_served(peer: FakePeer, link: Link) -> None:
    def back(n: int) -> Any:
        return link.echo(n)

    link.export(back)
    assert peer.call("/back/call", 5) == [[5], {}]


def test_many_at_once(peer: FakePeer, link: Link) -> None:
    link.export(add)
    wrong: list[Any] = []

    def work(n: int) -> None:
        for i in range(50):
            if (got := link.a.B(n, i)) != [[n, i], {}]:
                wrong.append(got)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    keys = [(i, peer.start_call("/add/call", i, i)) for i in range(200)]
    for i, key in keys:
        response = peer.answer(key)
        assert carp_grpc.codecs.lookup("msgpack").decode_result(response.payload) == 2 * i
    for thread in threads:
        thread.join(30)
    assert wrong == []


async def test_inside_a_loop(link: Link) -> None:
    with pytest.raises(RuntimeError, match="AioLink"):
        link.f()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fork(peer: FakePeer, link: Link) -> None:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for use in (link.f, lambda: link.export(add), lambda: link.wait(1)):
                try:
                    use()
                except ForkedError:
                    continue
                break
            else:
                link.close()
                code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert link.f() == [[], {}]


FORGETFUL = """
import sys, threading, carp_grpc
link = carp_grpc.Link(sys.argv[1])
started = threading.Event()
def stuck():
    started.set()
    threading.Event().wait()
link.export(stuck)
link.wait_ready(30)
assert started.wait(30)
client = carp_grpc.Client(sys.argv[1])
"""


def test_forgetting_to_close(peer: FakePeer) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = subprocess.Popen([sys.executable, "-c", FORGETFUL, peer.target], env=env)
    try:
        peer.wait_for(lambda: peer.exports)
        peer.start_call("/stuck/call")
        assert program.wait(30) == 0
    finally:
        program.kill()
        program.wait()
    peer.wait_for(lambda: peer.wire is None)
