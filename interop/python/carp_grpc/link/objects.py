"""Objects and functions that calls on a link pass by reference.

What a program passes or returns and what cannot travel itself, a function or an object of an
exported class, stays here, and a `Ref` goes in its place. What it is passed as a `Ref` it gets as a
`RemoteObject` or `RemoteFunction`, whose end gives the reference back.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import queue
import secrets
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import EncodeError
from ..values import Ref, refs_seen

if TYPE_CHECKING:
    from ..codecs import Codec
    from ..options import Options

CALLBACK = "/carp.v1.Callback/call"

Give = Callable[[str], None]


class Holding:
    """Something of this process that the peer may refer to."""

    __slots__ = ("cls", "count", "id", "thing")

    def __init__(self, id: str, cls: str, thing: Any) -> None:
        self.id = id
        self.cls = cls  # empty for a function
        self.thing = thing
        self.count = 1  # references that the peer has


class Holdings:
    """What the peer of a link holds of this process. Safe for use by several threads at once."""

    def __init__(self, most: int = 65536) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._by_id: dict[str, Holding] = {}
        self._of_object: dict[int, Holding] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def give(self, thing: Any, cls: str) -> Ref:
        """One more reference to an object. Raises EncodeError."""
        with self._lock:
            held = self._of_object.get(id(thing))
            if held is not None:
                held.count += 1
            else:
                held = self._of_object[id(thing)] = self._add(cls, thing)
            return Ref(cls, held.id)

    def lend(self, thing: Any) -> Ref:
        """A reference to a function, for the time of one call. Raises EncodeError."""
        with self._lock:
            return Ref("", self._add("", thing).id)

    def _add(self, cls: str, thing: Any) -> Holding:
        if len(self._by_id) >= self._most:
            raise EncodeError(f"the host holds {self._most} objects of this link, more it does not")
        held = Holding(secrets.token_hex(16), cls, thing)
        self._by_id[held.id] = held
        return held

    def find(self, id: str) -> Holding | None:
        """What an id stands for."""
        return self._by_id.get(id)

    # What is let go of may run code of the user's, its `__del__`. So it is returned, for the caller
    # to drop where that may run.

    def take(self, id: str, count: int = 1) -> Holding | None:
        """Give references back, and return what is let go of; None if there are some left."""
        with self._lock:
            held = self._by_id.get(id)
            if held is None:
                return None
            held.count -= count
            if held.count > 0:
                return None
            del self._by_id[id]
            self._of_object.pop(_key(held), None)
            return held

    def clear(self) -> list[Holding]:
        """Forget everything, and return it: the link has ended."""
        with self._lock:
            held = list(self._by_id.values())
            self._by_id.clear()
            self._of_object.clear()
            return held


def _key(held: Holding) -> int:
    return id(held.thing) if held.cls else 0


class Returner:
    """Hands the ids of collected references, and other things to do then, to a thread.

    Python collects wherever it likes, also in a thread that holds the link's lock half way through
    something; all that may be done there is to put something into a SimpleQueue.
    """

    def __init__(self, give_back: Give) -> None:
        self._ids: queue.SimpleQueue[str | Callable[[], None] | None] = queue.SimpleQueue()
        self._give_back = give_back

    def start(self) -> None:
        """Run the thread."""
        threading.Thread(target=self._run, name="carp-link-release", daemon=True).start()

    def put(self, id: str | Callable[[], None]) -> None:
        """Give a reference back, or do something else, soon."""
        self._ids.put(id)

    def close(self) -> None:
        """Let the thread end."""
        self._ids.put(None)

    def _run(self) -> None:
        while (id := self._ids.get()) is not None:
            if isinstance(id, str):
                self._give_back(id)
            else:
                id()


class RemoteObject:
    """An object that lives in the host: its methods are called as those of a name.

        counter = link.Counter(5)
        counter.Add(1)

    It is valid until the link is lost; then calls fail with NOT_FOUND or UnavailableError. The
    host lets the object go when all its references are given back: by `carp_grpc.release`, or when
    Python collects them.
    """

    def __init__(self, call: Callable[..., Any], give_back: Give, ref: Ref, options: Options):
        self._call = call
        self._ref = ref
        self._options = options
        self._finalizer = weakref.finalize(self, give_back, ref.id)
        self._finalizer.atexit = False

    def __getattr__(self, name: str) -> RemoteMethod:
        if name.startswith("_"):  # copy, pickle and debuggers ask for many of these
            raise AttributeError(name)
        return RemoteMethod(self, name, self._options)

    def __repr__(self) -> str:
        return f"<remote {self._ref.cls}>"


class RemoteMethod:
    """A method of a `RemoteObject`. On an AioLink, calling it gives what is to be awaited."""

    __slots__ = ("_name", "_options", "_target")

    def __init__(self, target: RemoteObject, name: str, options: Options) -> None:
        self._target = target
        self._name = name
        self._options = options

    def with_options(self, **changes: Any) -> RemoteMethod:
        """The same method with other options for its calls."""
        return RemoteMethod(self._target, self._name, self._options.changed(changes))  # type: ignore[arg-type]

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call it as a `LinkFunction`."""
        ref = self._target._ref
        if not self._target._finalizer.alive:
            raise ValueError(f"{self._target!r} was released")
        path = f"/{ref.cls}/{self._name}"
        return self._target._call(path, self._options, args, kwargs, ref.id)


class RemoteFunction:
    """A function that the host has passed as an argument. Valid until the call has ended.

    On an AioLink, calling it gives what is to be awaited.
    """

    def __init__(self, call: Callable[..., Any], ref: Ref, options: Options) -> None:
        self._call = call
        self._ref = ref
        self._options = options

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call it as a `LinkFunction`."""
        return self._call(CALLBACK, self._options, args, kwargs, self._ref.id)


def release(remote: RemoteObject) -> None:
    """Give a reference back now, rather than when Python collects it. Twice does nothing more."""
    remote._finalizer()


class Passing:
    """How values with references in them are encoded and decoded on one link.

    Args:
        call: makes a call with an instance: path, options, args, kwargs, id.
        give_back: gives a reference to an object of the host back; may be called at any time.
    """

    def __init__(
        self, call: Callable[..., Any], give_back: Give, host_id: str, options: Options
    ) -> None:
        self.holdings = Holdings()
        self._call = call
        self._give_back = give_back
        self._host_id = host_id
        self._options = options
        self.peer_id = ""
        self.classes: dict[type, str] = {}  # those that are exported
        self._eager = False  # some of their objects could travel by value too

    def add_class(self, cls: type, name: str) -> None:
        """Pass objects of a class by reference from now on. Raises ValueError."""
        if cls in self.classes:
            raise ValueError(f"export {cls.__name__}: it is the class {self.classes[cls]!r} already")
        self.classes[cls] = name
        self._eager = self._eager or dataclasses.is_dataclass(cls)

    def encode_arguments(
        self, codec: Codec, args: Any, kwargs: Mapping[str, Any]
    ) -> tuple[bytes, tuple[str, ...]]:
        """The body of a call, and the ids of the functions lent for it. Raises EncodeError."""
        if not self._eager:
            try:
                return codec.encode_arguments(args, kwargs), ()
            except EncodeError:  # there may be something in it that goes by reference
                pass
        lent: list[str] = []
        away = functools.partial(self._away, lent)
        try:
            args = [_mapped(value, away) for value in args]
            body = codec.encode_arguments(args, {k: _mapped(v, away) for k, v in kwargs.items()})
        except BaseException:
            self.end(lent, ())
            raise
        return body, tuple(lent)

    def encode_result(self, encode: Callable[[Any], bytes], value: Any) -> bytes:
        """The body of a reply. Raises EncodeError."""
        if not self._eager:
            try:
                return encode(value)
            except EncodeError:  # there may be something in it that goes by reference
                pass
        return encode(_mapped(value, functools.partial(self._away, None)))

    def decode(self, decode: Callable[[bytes], Any], body: bytes) -> Any:
        """What `decode` makes of a body, with objects in the place of references."""
        before = refs_seen()
        value = decode(body)
        return value if refs_seen() == before else _mapped(value, self._arrived)

    def end(self, lent: Iterable[str], metadata: Iterable[tuple[str, str | bytes]]) -> None:
        """Take back the functions that were lent for a call, but for those that are retained."""
        if not lent:
            return
        kept = {value for key, value in metadata if key == "carp-retained"}
        for id in lent:
            if id not in kept:
                self.holdings.take(id)

    def _away(self, lent: list[str] | None, value: Any) -> Any:
        if isinstance(value, RemoteObject) or (isinstance(value, RemoteFunction) and lent is not None):
            return value._ref
        cls = self.classes.get(type(value))
        if cls is not None:
            return self.holdings.give(value, cls)
        if lent is not None and (inspect.isroutine(value) or isinstance(value, functools.partial)):
            ref = self.holdings.lend(value)
            lent.append(ref.id)
            return ref
        return value

    def _arrived(self, value: Any) -> Any:
        if not isinstance(value, Ref):
            return value
        if self._host_id and value.host == self._host_id:
            held = self.holdings.find(value.id)
            return value if held is None else held.thing
        if value.host not in ("", self.peer_id):
            return value  # of a third host, to which this link does not lead
        value = dataclasses.replace(value, host=self.peer_id)  # whose it is, should it go back
        if not value.cls:
            return RemoteFunction(self._call, value, self._options)
        return RemoteObject(self._call, self._give_back, value, self._options)


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """A value with what is in it changed, however deep."""
    if isinstance(value, (list, tuple)):
        return [_mapped(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _mapped(item, change) for key, item in value.items()}
    return change(value)
