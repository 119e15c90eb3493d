"""Protobuf messages made at run time, so that no generated code ties us to one protobuf major.

All types live in a pool of our own: a program that has generated code for the same files keeps
it, whatever version of them it was made from.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from google.protobuf.message import Message

from .errors import DecodeError

if TYPE_CHECKING:
    from typing import Any

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.descriptor_pool import DescriptorPool

_Field = descriptor_pb2.FieldDescriptorProto

# One line per field: number, name, type; a type that starts with a dot is a message, and a
# leading * makes it repeated. The files are small and have not changed in years.
_STATUS = {
    "Status": "1 code int32, 2 message string, 3 details *.google.protobuf.Any",
}
_REFLECTION = {
    "ServerReflectionRequest": "1 host string, 3 file_by_filename string,"
    " 4 file_containing_symbol string, 7 list_services string",
    "ServerReflectionResponse": "1 valid_host string,"
    " 4 file_descriptor_response .{p}.FileDescriptorResponse,"
    " 6 list_services_response .{p}.ListServiceResponse,"
    " 7 error_response .{p}.ErrorResponse",
    "FileDescriptorResponse": "1 file_descriptor_proto *bytes",
    "ListServiceResponse": "1 service *.{p}.ServiceResponse",
    "ServiceResponse": "1 name string",
    "ErrorResponse": "1 error_code int32, 2 error_message string",
}
# Requests and responses of reflection are a choice among their fields from 3 and 4 on.
_REFLECTION_ONEOFS = {
    "ServerReflectionRequest": "message_request",
    "ServerReflectionResponse": "message_response",
}


def class_of(descriptor: Descriptor) -> type[Message]:
    """The message class of `descriptor`, with protobuf 4 as with later ones."""
    get = getattr(message_factory, "GetMessageClass", None)
    if get is None:  # before 4.22
        factory: Any = message_factory.MessageFactory(descriptor.file.pool)
        return cast("type[Message]", factory.GetPrototype(descriptor))
    return cast("type[Message]", get(descriptor))


def message_class(full_name: str) -> Any:
    """The class of one of the messages this package speaks, as in "carp.v1.Args"."""
    found = _classes.get(full_name)
    if found is None:
        found = _classes[full_name] = class_of(_pool.FindMessageTypeByName(full_name))
    return found


def pool_with(files: Iterable[descriptor_pb2.FileDescriptorProto]) -> DescriptorPool:
    """A pool of its own with the given files, each of which comes after those that it imports.

    Raises:
        DecodeError: the files do not fit together.
    """
    pool = descriptor_pool.DescriptorPool()
    try:
        for file in files:
            pool.AddSerializedFile(file.SerializeToString())
    except TypeError as error:
        raise DecodeError(f"the protobuf files do not fit together: {error}") from error
    return pool


def _files() -> Iterable[bytes]:
    yield any_pb2.DESCRIPTOR.serialized_pb
    yield timestamp_pb2.DESCRIPTOR.serialized_pb
    yield _carp_v1()


def _carp_v1() -> bytes:
    """carpgo/v1/carp.proto, compiled; a test compares it with what a Go host has."""
    return importlib.resources.files(__package__).joinpath("carp_v1.binpb").read_bytes()


def _build(package: str, name: str, messages: dict[str, str], oneofs: dict[str, str]) -> bytes:
    file = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3")
    file.dependency.append("google/protobuf/any.proto")
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        if message_name in oneofs:
            message.oneof_decl.add(name=oneofs[message_name])
        for line in fields.format(p=package).split(","):
            number, field_name, kind = line.split()
            field = message.field.add(name=field_name, number=int(number))
            field.label = _Field.LABEL_REPEATED if kind[0] == "*" else _Field.LABEL_OPTIONAL
            kind = kind.lstrip("*")
            if kind.startswith("."):
                field.type, field.type_name = _Field.TYPE_MESSAGE, kind
            else:
                field.type = _Field.Type.Value("TYPE_" + kind.upper())
            if message.oneof_decl and field.number >= 3:
                field.oneof_index = 0
    return file.SerializeToString()


def _private_pool() -> DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in _files():
        pool.AddSerializedFile(file)
    pool.AddSerializedFile(_build("google.rpc", "google/rpc/status.proto", _STATUS, {}))
    for version in ("v1", "v1alpha"):
        package = f"grpc.reflection.{version}"
        name = f"grpc/reflection/{version}/reflection.proto"
        pool.AddSerializedFile(_build(package, name, _REFLECTION, _REFLECTION_ONEOFS))
    return pool


_pool = _private_pool()
_classes: dict[str, type[Message]] = {}
