"""What a Python process exports: names, the callables behind them, and how peers are told."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections import abc
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .. import names
from ..typed import MessageCodec, streams
from . import frames

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor


@dataclasses.dataclass(frozen=True)
class Function:
    """What is behind a path."""

    call: Callable[..., Any]
    signature: inspect.Signature | None
    is_async: bool
    codec: MessageCodec | None = None  # the only one of a generated service's method
    takes_stream: bool = False  # its argument is an iterator of request messages
    gives_stream: bool = False  # what it returns is an iterator of reply messages
    instance: bool = False  # it is a method, and its object comes with the call
    values: str = ""  # the parameter that takes a stream of plain values
    positional: range = range(0)  # how many arguments by position, and no others, surely fit

    def __post_init__(self) -> None:
        if self.signature is not None:
            object.__setattr__(self, "positional", _positional(self.signature))

    @classmethod
    def of(cls, call: Callable[..., Any]) -> Function:
        """The function of a callable, examined once.

        A generator function gives a stream; a last parameter annotated as Iterator or AsyncIterator
        takes one.
        """
        is_async = inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)
        gives = inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call)
        signature = _signature(call)
        return cls(call, signature, is_async, gives_stream=gives, values=_values(signature))

    @classmethod
    def of_service(cls, call: Callable[..., Any], method: MethodDescriptor) -> Function:
        """The function of a generated service's method.

        Raises:
            TypeError: the method gives a stream, which a coroutine function cannot.
        """
        takes, gives = streams(method)
        if gives and inspect.iscoroutinefunction(call):
            raise TypeError(
                f"export {method.full_name}: it gives a stream, which is an asynchronous "
                "generator's to do; this is a coroutine function"
            )
        is_async = inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)
        return cls(call, _signature(call), is_async, MessageCodec(method), takes, gives)

    def of_object(self, thing: object) -> Function:
        """The function for one object, of a method of its class."""
        return Function.of(getattr(thing, self.call.__name__))

    def check(self, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Raise TypeError if the function cannot take the arguments.

        Python would say so too, but then a TypeError from within would look the same.
        """
        if self.signature is None or (not kwargs and len(args) in self.positional):
            return
        self.signature.bind(*args, **kwargs)


@dataclasses.dataclass(frozen=True)
class Exported:
    """One exported name.

    Attributes:
        name: as given to `export`.
        methods: the callables by path.
        skipped: the public attributes of an object that are not exported, and why.
    """

    name: str
    methods: Mapping[str, Function]
    skipped: Mapping[str, str]
    metadata: Mapping[str, str]
    version: str
    kind: str  # as in carp.v1.Export.Kind
    cls: type | None = None  # the class, if it is one


class Registry:
    """What is exported. Its owner serializes all access."""

    def __init__(self) -> None:
        self._by_name: dict[str, Exported] = {}
        self._paths: dict[str, Function] = {}
        self.generation = 0

    def add(self, exported: Exported) -> None:
        """Export it. Raises ValueError if its name or one of its paths is taken."""
        if exported.name in self._by_name:
            raise ValueError(f"export {exported.name!r}: the name is taken on this link")
        for path in exported.methods:
            if path in self._paths:
                raise ValueError(f"export {exported.name!r}: the path {path} is taken on this link")
        self._by_name[exported.name] = exported
        self._paths.update(exported.methods)

    def remove(self, name: str) -> Exported:
        """Take an export back. Raises KeyError if there is none of that name."""
        exported = self._by_name.pop(name)
        for path in exported.methods:
            del self._paths[path]
        return exported

    def find(self, path: str) -> Function | None:
        """The callable behind a path."""
        return self._paths.get(path)

    def announcement(self) -> Any:
        """All that is exported, as peers are told."""
        self.generation += 1
        exports = frames.Exports(generation=self.generation, full=True)
        exports.added.extend(self._services().values())
        return exports

    def difference(self, changed: Iterable[str]) -> Any:
        """What has become of the services behind the paths `changed`, as peers are told."""
        base, self.generation = self.generation, self.generation + 1
        exports = frames.Exports(generation=self.generation, base=base)
        services = self._services()
        for service in sorted({_service(path) for path in changed}):
            if service in services:
                exports.added.append(services[service])
            else:
                exports.removed.append(service)
        return exports

    def _services(self) -> dict[str, Any]:
        """An Export message for each service: names that share one are announced as one."""
        services: dict[str, Any] = {}
        for exported in self._by_name.values():
            for path, function in exported.methods.items():
                service = _service(path)
                export = services.get(service)
                if export is None:
                    export = services[service] = frames.Export(
                        name=service,
                        kind=exported.kind,
                        version=exported.version,
                        metadata=exported.metadata,
                    )
                export.methods.add(
                    name=path.rpartition("/")[2],
                    client_streaming=function.takes_stream or bool(function.values),
                    server_streaming=function.gives_stream,
                    instance=function.instance,
                )
        return services


def _service(path: str) -> str:
    return path[1:].rpartition("/")[0]


def examine(thing: object, name: str | None, version: str, metadata: Mapping[str, str]) -> Exported:
    """How `thing` would be exported.

    Raises:
        TypeError: there is nothing to call in it.
        ValueError: the name is none.
    """
    if isinstance(thing, type):
        return _examine_class(thing, name or thing.__name__, version, metadata)
    if callable(thing) and _is_function(thing):
        name = name or str(getattr(thing, "__name__", ""))
        functions = {names.path(name): Function.of(thing)}
        kind = "KIND_SERVICE" if "." in name else "KIND_FUNCTION"
        return Exported(name, functions, {}, metadata, version, kind)
    name = name or type(thing).__name__
    names.path(name)
    methods, skipped = _methods(thing, name)
    if not methods:
        raise TypeError(
            f"export {name!r}: {type(thing).__name__} has no public method; "
            "export a function, a class, or an object with methods"
        )
    return Exported(name, methods, skipped, metadata, version, "KIND_SERVICE")


def _examine_class(cls: type, name: str, version: str, metadata: Mapping[str, str]) -> Exported:
    constructor = names.path(name).rpartition("/")[0] + "/call"
    if "." in name:
        raise ValueError(f"export {name!r}: the name of a class is one identifier")
    methods: dict[str, Function] = {}
    skipped: dict[str, str] = {}
    for attribute in dir(cls):
        if attribute.startswith("_"):
            continue
        declared = inspect.getattr_static(cls, attribute)
        path = f"/{name}/{attribute}"
        if path == constructor:
            skipped[attribute] = "it has the name of the constructor"
        elif isinstance(declared, types.FunctionType):
            function = Function.of(declared)
            methods[path] = dataclasses.replace(function, instance=True)
        elif isinstance(declared, (staticmethod, classmethod)):
            methods[path] = Function.of(getattr(cls, attribute))
        else:
            skipped[attribute] = "it is not a method"
    methods[constructor] = Function.of(cls)
    return Exported(name, methods, skipped, metadata, version, "KIND_CLASS", cls)


def examine_service(
    servicer: object, service: ServiceDescriptor, version: str, metadata: Mapping[str, str]
) -> Exported:
    """How a service that is described in a .proto file would be exported.

    Raises:
        TypeError: `servicer` has none of its methods.
    """
    methods: dict[str, Function] = {}
    skipped: dict[str, str] = {}
    for method in service.methods:
        call = getattr(servicer, method.name, None)
        if not callable(call):
            skipped[method.name] = "there is no method of this name"
        else:
            methods[f"/{service.full_name}/{method.name}"] = Function.of_service(call, method)
    if not methods:
        raise TypeError(
            f"export {service.full_name}: {type(servicer).__name__} has none of its methods"
        )
    return Exported(service.full_name, methods, skipped, metadata, version, "KIND_GRPC")


def _is_function(thing: object) -> bool:
    """Whether a callable is called itself, rather than being an object with methods."""
    return (
        inspect.isroutine(thing)
        or isinstance(thing, types.MethodType)
        or not any(not attribute.startswith("_") for attribute in dir(type(thing)))
    )


def _methods(thing: object, name: str) -> tuple[dict[str, Function], dict[str, str]]:
    methods: dict[str, Function] = {}
    skipped: dict[str, str] = {}
    for attribute in dir(type(thing)):
        if attribute.startswith("_"):
            continue
        # Looked up without running properties.
        declared = inspect.getattr_static(type(thing), attribute)
        if not isinstance(declared, (types.FunctionType, staticmethod, classmethod)):
            skipped[attribute] = "it is not a method"
        else:
            methods[f"/{name}/{attribute}"] = Function.of(getattr(thing, attribute))
    return methods, skipped


_ITERATOR = re.compile(r"([\w.]+\.)?(Async)?Iterator(\[.*)?")


def _values(signature: inspect.Signature | None) -> str:
    """The parameter of a function that is an iterator of values, or ""."""
    parameters = list(signature.parameters.values()) if signature else []
    if not parameters or parameters[-1].kind in (
        inspect.Parameter.VAR_POSITIONAL,
        inspect.Parameter.VAR_KEYWORD,
        inspect.Parameter.POSITIONAL_ONLY,
    ):
        return ""
    annotation: Any = parameters[-1].annotation
    if isinstance(annotation, str):
        found = _ITERATOR.fullmatch(annotation) is not None
    else:
        iterators = (abc.Iterator, abc.AsyncIterator)
        found = annotation in iterators or typing.get_origin(annotation) in iterators
    return parameters[-1].name if found else ""


def _positional(signature: inspect.Signature) -> range:
    """How many arguments a function takes if all of them go by position."""
    least = most = 0
    for parameter in signature.parameters.values():
        needed = parameter.default is parameter.empty
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            most += 1
            least += needed
        elif parameter.kind is parameter.KEYWORD_ONLY and needed:
            return range(0)
    return range(least, most + 1)


def _signature(call: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(call)
    except ValueError:  # some built-in functions have none
        return None
