"""Codec "proto": the protobuf messages of a method, made from plain arguments and back.

Arguments fill the request's fields, by number when positional and by name otherwise. A value for
a field is what protobuf takes, and for a message field also a dict or dataclass; an aware
datetime or `Timestamp` for a google.protobuf.Timestamp, a timedelta for a Duration, any value
that travels for a carp.v1.Value, and what `carp_grpc.values` lists for the other messages of
carp.v1. Positional arguments that are left over go into the last field, if it is repeated. A
request message itself may be the only argument. A method that takes a stream has one argument,
an iterable whose elements are request messages, dicts of fields, or the value of the only field; a
plain function that takes one has it as its last argument, an iterable of values.

A reply that a host synthesized for a plain function becomes its result, with dicts for messages.
A reply of any other type is returned as the message that it is.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Error as ProtobufError
from google.protobuf.message import Message

from . import values
from .codecs import carp_codec
from .errors import DecodeError, EncodeError
from .protos import class_of

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, MethodDescriptor
    from google.protobuf.descriptor_pool import DescriptorPool

_SYNTHESIZED = "carp.gen."


class TypedCodec:
    """The codec of one method. Safe for concurrent use."""

    def __init__(self, method: MethodDescriptor) -> None:
        self._method = method
        self._request = class_of(method.input_type)
        self._reply = class_of(method.output_type)
        self._parameters = sorted(method.input_type.fields, key=lambda field: field.number)
        self._results = sorted(method.output_type.fields, key=lambda field: field.number)

        self.takes_stream, self.gives_stream = streams(method)

    @property
    def pool(self) -> DescriptorPool:
        """The descriptors of the method's file, and of all that it imports."""
        return self._method.containing_service.file.pool

    @property
    def kind(self) -> str:
        """Which of grpcio's four kinds of calls the method is, as in "unary_stream"."""
        return (
            f"{'stream' if self.takes_stream else 'unary'}_"
            f"{'stream' if self.gives_stream else 'unary'}"
        )

    def requests(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What grpcio is given: the body of a request, or an argument that is the stream.

        Raises EncodeError, and TypeError as Python does for calls.
        """
        if not self.takes_stream:
            return self.encode_arguments(args, kwargs)
        if self._method.input_type.full_name.startswith(_SYNTHESIZED):
            return self._plain_requests(args, kwargs)
        if len(args) != 1 or kwargs:
            raise TypeError(f"{self._method.full_name} takes one argument, a stream of requests")
        return args[0]

    def _plain_requests(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The requests of a plain function: one with the arguments, and one for each value."""
        values: Any = args[-1] if args else None
        if not hasattr(values, "__iter__") and not hasattr(values, "__aiter__"):
            raise TypeError(f"the last argument of {self._method.full_name} is a stream of values")
        first, name = self._message(args[:-1], kwargs), self._parameters[-1].name
        if hasattr(values, "__aiter__"):
            return _following(first, name, values)
        return itertools.chain((first,), ({name: value} for value in values))

    def encode_item(self, item: Any) -> bytes:
        """The body of one request of a stream: a message, a dict, or else its only argument."""
        if isinstance(item, dict):
            return self.encode_arguments((), item)
        return self.encode_arguments((item,), {})

    def encode_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """The body of a request. Raises EncodeError, and TypeError as Python does for calls."""
        if len(args) == 1 and not kwargs and _is_a(args[0], self._method.input_type):
            return bytes(args[0].SerializeToString())
        return bytes(self._message(args, kwargs).SerializeToString())

    def _message(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Message:
        message = self._request()
        for name, value in self._bind(args, kwargs).items():
            _set(message, self._method.input_type.fields_by_name[name], value)
        return message

    def decode_result(self, body: bytes) -> Any:
        """The result in the body of a reply. Raises DecodeError."""
        message = _parsed(self._reply, body)
        if not self._method.output_type.full_name.startswith(_SYNTHESIZED):
            return message
        results = [_get(message, field) for field in self._results]
        return (results[0] if results else None) if len(results) < 2 else results

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        where = self._method.full_name
        args = self._gathered(args)
        if len(args) > len(self._parameters):
            raise TypeError(f"{where} takes {len(self._parameters)} arguments, {len(args)} given")
        bound = {field.name: value for field, value in zip(self._parameters, args)}
        known = {field.name for field in self._parameters}
        for name, value in kwargs.items():
            if name not in known:
                raise TypeError(f"{where} has no parameter {name!r}; it has {sorted(known)}")
            if name in bound:
                raise TypeError(f"{where} was given {name!r} twice")
            bound[name] = value
        return bound

    def _gathered(self, args: Sequence[Any]) -> Sequence[Any]:
        """The arguments, with those of a variadic function in one list.

        The description of a method does not tell a variadic parameter from one that is a list.
        """
        count = len(self._parameters)
        if not count or len(args) < count:
            return args
        last = self._parameters[-1]
        if not repeated(last) or _is_map(last):
            return args
        if len(args) == count and isinstance(args[-1], (list, tuple)):
            return args
        return [*args[: count - 1], list(args[count - 1 :])]


async def _following(first: Message, name: str, values: Any) -> AsyncIterator[Any]:
    yield first
    async for value in values:
        yield {name: value}


def streams(method: MethodDescriptor) -> tuple[bool, bool]:
    """Whether a method takes a stream of requests, and gives one of replies."""
    service = descriptor_pb2.ServiceDescriptorProto()
    method.containing_service.CopyToProto(service)
    described = service.method[method.index]
    return bool(described.client_streaming), bool(described.server_streaming)


class MessageCodec:
    """Codec "proto" where a generated service is served: one request message, one reply message.

    Safe for concurrent use.
    """

    name = "proto"

    def __init__(self, method: MethodDescriptor) -> None:
        self._reply_type = method.output_type
        self._request = class_of(method.input_type)
        self._reply = class_of(method.output_type)

    def encode_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """The body of a request. Raises EncodeError."""
        raise EncodeError("a service is served with this codec, and not called")

    def decode_arguments(self, body: bytes) -> tuple[list[Any], dict[str, Any]]:
        """The request message as the only argument. Raises DecodeError."""
        return [_parsed(self._request, body)], {}

    def encode_result(self, value: Any) -> bytes:
        """The body of a reply that is a message of the right type. Raises EncodeError."""
        if not _is_a(value, self._reply_type):
            name = self._reply_type.full_name
            raise EncodeError(f"want a {name}, got {values.shown(value)}")
        return bytes(value.SerializeToString())

    def decode_result(self, body: bytes) -> Any:
        """The reply message. Raises DecodeError."""
        return _parsed(self._reply, body)

    encode_item = encode_result
    decode_item = decode_result


def _parsed(cls: type[Message], body: bytes) -> Message:
    try:
        return cls.FromString(body)
    except (ProtobufError, ValueError) as error:
        raise DecodeError(f"not a {cls.DESCRIPTOR.full_name}: {error}") from error


def _is_a(value: object, descriptor: Descriptor) -> bool:
    return isinstance(value, Message) and value.DESCRIPTOR.full_name == descriptor.full_name


def repeated(field: FieldDescriptor) -> bool:
    """Whether a field is repeated; protobuf 7 has no labels any more."""
    old: Any = field
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(old.label == FieldDescriptor.LABEL_REPEATED)


def _is_map(field: Any) -> bool:
    message = field.message_type
    return message is not None and bool(message.GetOptions().map_entry)


def _set(message: Any, field: Any, value: Any) -> None:
    """Set a field of any kind. Raises EncodeError."""
    message_type = field.message_type
    if value is None and (message_type is None or message_type.full_name != "carp.v1.Value"):
        return  # absent, as protobuf says it
    try:
        if _is_map(field):
            _set_map(getattr(message, field.name), field, value)
        elif repeated(field):
            _set_list(getattr(message, field.name), field, value)
        elif field.message_type is not None:
            target = getattr(message, field.name)
            target.SetInParent()
            _fill(target, value)
        else:
            setattr(message, field.name, _scalar(field, value))
    except EncodeError as error:
        raise EncodeError(f"{field.name}: {error}") from None
    except (TypeError, ValueError) as error:
        raise EncodeError(
            f"{field.name}: protobuf refuses {values.shown(value)}: {error}"
        ) from error


def _set_map(into: Any, field: Any, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise EncodeError(f"want a dict, got {values.shown(value)}")
    entry = field.message_type.fields_by_name
    for name, item in value.items():
        key = _scalar(entry["key"], name)
        if entry["value"].message_type is None:
            into[key] = _scalar(entry["value"], item)
        else:
            _fill(into[key], item)


def _set_list(into: Any, field: FieldDescriptor, value: Any) -> None:
    if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__iter__"):
        raise EncodeError(f"want a list, got {values.shown(value)}")
    for item in value:
        if field.message_type is None:
            into.append(_scalar(field, item))
        else:
            _fill(into.add(), item)


def _fill(message: Any, value: Any) -> None:
    """Make a message out of what may stand for it."""
    descriptor = message.DESCRIPTOR
    if _is_a(value, descriptor):
        message.ParseFromString(value.SerializeToString())
        return
    name = descriptor.full_name
    if name == "carp.v1.Value":
        carp_codec.write(value, message)
    elif name in carp_codec.FIELD_OF:
        _fill_carp(message, name, value)
    elif name == "google.protobuf.Timestamp":
        _fill_time(message, value)
    elif name == "google.protobuf.Duration":
        _fill_duration(message, value)
    else:
        _fill_fields(message, descriptor, value)


def _fill_carp(message: Any, name: str, value: Any) -> None:
    """Set one of the messages that a carp.v1.Value is made of."""
    wrapper = carp_codec.new_value()
    carp_codec.write(value, wrapper)
    field = carp_codec.FIELD_OF[name]
    if wrapper.WhichOneof("kind") != field:
        raise EncodeError(f"want what becomes a {name}, got {values.shown(value)}")
    message.ParseFromString(getattr(wrapper, field).SerializeToString())


def _fill_time(message: Any, value: Any) -> None:
    stamp = values.plain(value)
    if not isinstance(stamp, values.Timestamp):
        raise EncodeError(f"want a datetime with a zone, or a Timestamp, got {values.shown(value)}")
    message.seconds, message.nanos = stamp.seconds, stamp.nanoseconds


def _fill_duration(message: Any, value: Any) -> None:
    if not isinstance(value, dt.timedelta):
        raise EncodeError(f"want a timedelta, got {values.shown(value)}")
    micros = value // dt.timedelta(microseconds=1)
    # protobuf wants both parts of one sign, where Python's // rounds down
    seconds, rest = divmod(abs(micros), 1_000_000)
    sign = -1 if micros < 0 else 1
    message.seconds, message.nanos = sign * seconds, sign * rest * 1000


def _fill_fields(message: Any, descriptor: Descriptor, value: Any) -> None:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = values.plain(value)
    if not isinstance(value, Mapping):
        raise EncodeError(f"want a dict for a {descriptor.full_name}, got {values.shown(value)}")
    for name, item in value.items():
        field = descriptor.fields_by_name.get(name)
        if field is None:
            known = sorted(descriptor.fields_by_name)
            raise EncodeError(f"{descriptor.full_name} has no field {name!r}; it has {known}")
        _set(message, field, item)


_INTEGERS = frozenset(
    (
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    )
)
_FLOATS = frozenset((FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE))


def _scalar(field: Any, value: Any) -> Any:
    """The value, if it is of the field's kind: protobuf itself would convert some others."""
    kind = field.cpp_type
    if kind in _INTEGERS:
        wanted, fits = "an int", isinstance(value, int) and not isinstance(value, bool)
    elif kind in _FLOATS:
        wanted, fits = "a float", _floats(value)
    elif kind == FieldDescriptor.CPPTYPE_BOOL:
        wanted, fits = "a bool", isinstance(value, bool)
    elif kind == FieldDescriptor.CPPTYPE_ENUM:
        wanted, fits = "a name or number of the enum", isinstance(value, (int, str))
        if isinstance(value, str) and value in field.enum_type.values_by_name:
            value = field.enum_type.values_by_name[value].number
    elif field.type == FieldDescriptor.TYPE_BYTES:
        wanted, fits = "bytes", isinstance(value, (bytes, bytearray, memoryview))
        value = bytes(value) if fits else value
    else:
        wanted, fits = "a str", isinstance(value, str)
    if not fits:
        raise EncodeError(f"want {wanted}, got {values.shown(value)}")
    return value


def _floats(value: Any) -> bool:
    if isinstance(value, float):
        return True
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return abs(value) <= 2**53 or (abs(value) < 2**1023 and int(float(value)) == value)


def _get(message: Any, field: Any) -> Any:
    """The Python value of a field of any kind."""
    content = getattr(message, field.name)
    if _is_map(field):
        item = field.message_type.fields_by_name["value"]
        return {name: _value(item, content[name]) for name in content}
    if repeated(field):
        return [_value(field, item) for item in content]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _value(field, content)


def _value(field: FieldDescriptor, content: Any) -> Any:
    if field.message_type is None:
        return content
    name = field.message_type.full_name
    try:
        if name == "carp.v1.Value":
            return carp_codec.read(content)
        if name in carp_codec.FIELD_OF:
            wrapper = carp_codec.new_value()
            inner = getattr(wrapper, carp_codec.FIELD_OF[name])
            inner.ParseFromString(content.SerializeToString())
            inner.SetInParent()
            return carp_codec.read(wrapper)
        if name == "google.protobuf.Timestamp":
            return values.instant(content.seconds, content.nanos)
    except ValueError as error:
        raise DecodeError(f"{field.name}: {error}") from error
    if name == "google.protobuf.Duration" and content.nanos % 1000 == 0:
        return dt.timedelta(seconds=content.seconds, microseconds=content.nanos // 1000)
    if name.startswith(_SYNTHESIZED):
        return {inner.name: _get(content, inner) for inner in field.message_type.fields}
    return content
