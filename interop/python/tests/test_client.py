"""The clients against a server that can be made to answer anything."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import grpc
import pytest
from fakehost import fake_host
from google.protobuf import any_pb2, wrappers_pb2

import carp_grpc
from carp_grpc import (
    AioClient,
    Client,
    DeadlineExceededError,
    EncodeError,
    ForkedError,
    RemoteExecutionError,
    UnavailableError,
    codecs,
    protos,
)


def seen(body: bytes, context: grpc.ServicerContext) -> bytes:
    """Answer with the metadata that arrived, and the body."""
    metadata = {key: value for key, value in context.invocation_metadata()}
    metadata.pop("user-agent")
    codec = codecs.lookup(str(metadata["carp-codec"]))
    return codec.encode_result([metadata, codec.decode_arguments(body)])


@pytest.mark.parametrize("codec", ("msgpack", "json", "carp"))
def test_what_is_sent(codec: str) -> None:
    with fake_host(a__B=seen) as target, Client(target, codec=codec) as c:
        assert c.a.B() == [{"carp-codec": codec}, [[], {}]]
        assert c.a.B(1, [2], {"x": 3}) == [{"carp-codec": codec}, [[1, [2], {"x": 3}], {}]]
        assert c.a.B(a=1) == [{"carp-codec": codec}, [[], {"a": 1}]]
        assert c.a.B(1, b=2) == [{"carp-codec": codec}, [[1], {"b": 2}]]
        call = c.a.B.with_options(metadata=[("k", "v"), ("k-bin", b"\0\xff")])
        assert call() == [{"carp-codec": codec, "k": "v", "k-bin": b"\0\xff"}, [[], {}]]
        other = c.a.B.with_options(codec="json" if codec != "json" else "carp")
        assert other(self=1)[1] == [[], {"self": 1}]


def test_names() -> None:
    handlers = {"f__call": seen, "a.b.C__D": seen, "close__call": seen, "C___x": seen}
    with fake_host(**handlers) as target, Client(target) as c:
        assert c.f(1)[1] == [[1], {}]
        assert c.a.b.C.D(2)[1] == [[2], {}]
        assert c["a.b.C.D"](3)[1] == [[3], {}]
        assert c["a"]["b.C"].D(4)[1] == [[4], {}]
        assert c["close"](5)[1] == [[5], {}]
        with pytest.raises(ValueError, match="identifiers"):
            c["a b"]()
        with pytest.raises(AttributeError):
            c._private  # noqa: B018
        with pytest.raises(AttributeError):
            copy.copy(c.f)._x  # noqa: B018
        assert repr(c.a.b) == f"<a.b at Client('{target}')>"


def test_one_way() -> None:
    def check(body: bytes, context: grpc.ServicerContext) -> bytes:
        assert ("carp-oneway", "1") in list(context.invocation_metadata())
        return b""

    with fake_host(a__B=check) as target, Client(target, one_way=True) as c:
        assert c.a.B(1) is None


@pytest.mark.parametrize("name", ("carp-codec", "Carp-X", "grpc-timeout"))
def test_metadata_that_is_taken(name: str) -> None:
    with Client("unix:/nowhere") as c, pytest.raises(ValueError, match="are taken"):
        c.f.with_options(metadata=[(name, "x")])


def failing(code: grpc.StatusCode, text: str, *trailers: tuple[str, Any]) -> Any:
    def handler(body: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata(trailers)
        context.abort(code, text)

    return handler


def status_with(*messages: Any) -> bytes:
    status = protos.message_class("google.rpc.Status")(code=5, message="gone")
    for message in messages:
        packed = any_pb2.Any()
        packed.Pack(message)
        status.details.add(type_url=packed.type_url, value=packed.value)
    return bytes(status.SerializeToString())


def test_error() -> None:
    details = status_with(wrappers_pb2.StringValue(value="why"))
    unknown = protos.message_class("google.rpc.Status")()
    unknown.details.add(type_url="t/no.Such", value=b"\1")
    handlers = {
        "a__B": failing(
            grpc.StatusCode.NOT_FOUND,
            "gone",
            ("carp-exception", "fs.PathError"),
            ("grpc-status-details-bin", details),
            ("other", "x"),
        ),
        "a__C": failing(
            grpc.StatusCode.NOT_FOUND,
            "gone",
            ("grpc-status-details-bin", unknown.SerializeToString()),
        ),
        "a__D": failing(grpc.StatusCode.INTERNAL, "x", ("grpc-status-details-bin", b"\xff")),
    }
    with fake_host(**handlers) as target, Client(target) as c:
        with pytest.raises(RemoteExecutionError) as caught:
            c.a.B()
        error = caught.value
        assert error.name == "fs.PathError" and error.remote
        assert error.code is grpc.StatusCode.NOT_FOUND
        assert error.details == (wrappers_pb2.StringValue(value="why"),)
        assert error.message == "gone"
        assert str(error) == f"/a/B at {target}: NOT_FOUND fs.PathError: gone"
        assert ("other", "x") in error.trailers
        assert error.__cause__ is None and error.__suppress_context__
        again = pickle.loads(pickle.dumps(error))
        assert (str(again), again.details, again.code) == (str(error), error.details, error.code)

        with pytest.raises(RemoteExecutionError) as caught:
            c.a.C()
        assert caught.value.details == (any_pb2.Any(type_url="t/no.Such", value=b"\1"),)
        assert not caught.value.remote
        with pytest.raises(RemoteExecutionError) as caught:
            c.a.D()
        assert caught.value.details == ()


class Gone(Exception):
    pass


def test_registered_error() -> None:
    carp_grpc.register_error("test.Gone", Gone)
    handler = failing(grpc.StatusCode.UNKNOWN, "it is", ("carp-exception", "test.Gone"))
    with fake_host(a__B=handler) as target, Client(target) as c:
        with pytest.raises(Gone, match="^it is$") as caught:
            c.a.B()
        cause = caught.value.__cause__
        assert isinstance(cause, RemoteExecutionError) and cause.name == "test.Gone"
        with pytest.raises(Gone):
            c.a.B.future().result()
    with pytest.raises(TypeError):
        carp_grpc.register_error("x", object)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        carp_grpc.register_error("é", Gone)


class Blocking:
    """A handler that reports its start and waits to be let go."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.cancelled = threading.Event()
        self.release = threading.Event()

    def __call__(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        if not context.add_callback(self._ended):
            self._ended()  # the call was over before its handler began
        self.started.set()
        self.release.wait(30)
        return b""

    def _ended(self) -> None:
        if not self.release.is_set():
            self.cancelled.set()
            self.release.set()


def test_timeout() -> None:
    block = Blocking()
    with fake_host(a__B=block) as target, Client(target) as c:
        for timeout in (0.05, 1, 20):  # a busy machine may not send the call in time
            with pytest.raises(DeadlineExceededError) as caught:
                c.a.B.with_options(timeout=timeout)()
            assert isinstance(caught.value, TimeoutError)
            if block.cancelled.wait(5):
                return
    pytest.fail("the handler was not told")


def test_deadline_that_the_host_sees_first() -> None:
    """A cancellation by the other end is a deadline only if it comes at the deadline."""

    def reset(body: bytes, context: grpc.ServicerContext) -> bytes:
        if body:
            threading.Event().wait(0.98 * (context.time_remaining() or 0))
        context.abort(grpc.StatusCode.CANCELLED, "reset")
        raise AssertionError

    with fake_host(a__B=reset) as target, Client(target, timeout=1.0) as c:
        for _ in range(30):  # on a busy machine the client may be the first to see it
            with pytest.raises(DeadlineExceededError) as late:
                c.a.B("late")
            if "at its deadline: reset" in str(late.value):
                break
        else:
            pytest.fail("the host was never the first to see the deadline")
        with pytest.raises(RemoteExecutionError) as caught:
            c.a.B.with_options(timeout=60)()
        assert caught.value.code is grpc.StatusCode.CANCELLED


def test_unavailable(tmp_path: Any) -> None:
    with Client(f"unix://{tmp_path}/none") as c:
        with pytest.raises(UnavailableError, match="none") as caught:
            c.f()
        assert isinstance(caught.value, ConnectionError)
        assert isinstance(caught.value.__cause__, grpc.RpcError)
        with pytest.raises(DeadlineExceededError):
            c.f.with_options(wait_for_ready=True, timeout=0.05)()


def test_future() -> None:
    block = Blocking()
    with fake_host(a__B=seen, a__C=block) as target, Client(target) as c:
        assert c.a.B.future(1).result(60)[1] == [[1], {}]
        pending = c.a.C.future()
        assert block.started.wait(60)
        assert not pending.done()
        with pytest.raises(TimeoutError):
            pending.result(0.01)
        pending.cancel()
        with pytest.raises(RemoteExecutionError) as caught:
            pending.result(60)
        assert caught.value.code is grpc.StatusCode.CANCELLED
        assert block.cancelled.wait(60)


def test_bad_answer() -> None:
    with (
        fake_host(a__B=lambda body, context: b"\xc1") as target,
        Client(target) as c,
        pytest.raises(carp_grpc.DecodeError),
    ):
        c.a.B()


def test_bad_argument() -> None:
    with Client("unix:/nowhere") as c, pytest.raises(EncodeError, match="set"):
        c.f({1})


def test_closed() -> None:
    with fake_host(a__B=seen) as target:
        c = Client(target)
        c.a.B()
        c.close()
        c.close()
        uses = (c.a.B, c.a.B.future, c.a.B.stream, c.typed("a.B"), lambda: c.a.B(print))
        for use in uses:
            with pytest.raises(ValueError, match="is closed: open another one"):
                use()
        assert c._session is None


async def test_closed_aio() -> None:
    with fake_host(a__B=seen) as target:
        c = AioClient(target)
        await c.a.B()
        await c.close()
        await c.close()
        uses = (c.a.B, c.a.B.stream, c.typed("a.B"), lambda: c.a.B(print))
        for use in uses:
            with pytest.raises(ValueError, match="is closed: open another one"):
                await use()
        assert c._session is None


@pytest.mark.parametrize("target", ("", "shm:///run/x", "shm-abstract:x"))
def test_refused_target(target: str) -> None:
    with pytest.raises(ValueError):
        Client(target)


def test_unknown_codec() -> None:
    with pytest.raises(ValueError, match="xml"):
        Client("unix:/x", codec="xml")
    with pytest.raises(TypeError):
        Client("unix:/x", timout=3)  # type: ignore[call-arg]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fork() -> None:
    with fake_host(a__B=seen) as target, Client(target) as c:
        c.a.B()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                c.a.B()
            except ForkedError:
                c.close()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        c.a.B()


def add_in_child(target: str) -> Any:
    with Client(target) as c:
        return c.a.B(1)[1]


def test_spawn() -> None:
    """What is open in the parent does not hinder a spawned child."""
    with fake_host(a__B=seen) as target, Client(target) as c:
        c.a.B()
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            assert pool.submit(add_in_child, target).result(60) == [[1], {}]


def test_many_threads() -> None:
    with fake_host(a__B=seen) as target, Client(target) as c:
        failures: list[object] = []

        def work(number: int) -> None:
            for i in range(20):
                got = c.a.B(number, i)[1]
                if got != [[number, i], {}]:
                    failures.append(got)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []


async def test_aio() -> None:
    handlers = {
        "a__B": seen,
        "a__E": failing(grpc.StatusCode.NOT_FOUND, "gone", ("carp-exception", "E")),
    }
    with fake_host(**handlers) as target:
        async with AioClient(target, codec="json") as c:
            assert (await c.a.B(1, b=2))[1] == [[1], {"b": 2}]
            results = await asyncio.gather(*(c.a.B(i) for i in range(50)))
            assert [r[1] for r in results] == [[[i], {}] for i in range(50)]
            with pytest.raises(RemoteExecutionError) as caught:
                await c.a.E()
            assert (caught.value.name, caught.value.message) == ("E", "gone")


async def test_aio_cancel() -> None:
    block = Blocking()
    with fake_host(a__B=block) as target:
        async with AioClient(target) as c:
            task = asyncio.ensure_future(c.a.B())
            await asyncio.to_thread(block.started.wait, 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(block.cancelled.wait, 60)


async def test_aio_timeout() -> None:
    block = Blocking()
    with fake_host(a__B=block) as target:
        async with AioClient(target) as c:
            for timeout in (0.05, 1, 20):  # a busy machine may not send the call in time
                with pytest.raises(DeadlineExceededError):
                    await c.a.B.with_options(timeout=timeout)()
                if await asyncio.to_thread(block.cancelled.wait, 5):
                    return
    pytest.fail("the handler was not told")


def test_aio_needs_a_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        AioClient("unix:/x")
