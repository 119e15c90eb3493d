"""What a host says about its methods: gRPC server reflection, v1 and v1alpha.

The code that asks differs between the clients, so what is here takes a function that sends one
question and brings the answer, and otherwise only thinks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import descriptor_pb2

from . import protos
from .errors import DecodeError, RemoteExecutionError
from .typed import TypedCodec

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor

Ask = Callable[[str, bytes], bytes]
# A conversation yields the path and the bytes to ask and is sent the answer's bytes or error.
Conversation = Generator[tuple[str, bytes], bytes, TypedCodec]

_VERSIONS = ("v1", "v1alpha")


class Reflection:
    """The method descriptions of one host, asked for once and kept. Safe for concurrent use."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._codecs: dict[str, TypedCodec] = {}

    def codec(self, path: str, ask: Ask) -> TypedCodec:
        """The codec of a method's typed calls. Raises RemoteExecutionError."""
        conversation = self.conversation(path)
        try:
            question = next(conversation)
            while True:
                try:
                    answer = ask(*question)
                except RemoteExecutionError as error:
                    question = conversation.throw(error)
                else:
                    question = conversation.send(answer)
        except StopIteration as stop:
            return self.keep(path, stop.value)

    def known(self, path: str) -> TypedCodec | None:
        """The codec of a method that was asked about before."""
        return self._codecs.get(path)

    def keep(self, path: str, codec: TypedCodec) -> TypedCodec:
        """Remember a method's codec."""
        self._codecs[path] = codec
        return codec

    def forget(self, path: str) -> None:
        """Ask again the next time."""
        self._codecs.pop(path, None)

    def conversation(self, path: str) -> Conversation:
        """The questions that lead to a method's codec."""
        service, _, method = path[1:].rpartition("/")
        for version in _VERSIONS:
            try:
                files = yield from self._files(version, service)
            except RemoteExecutionError as error:
                if error.code is grpc.StatusCode.UNIMPLEMENTED and version != _VERSIONS[-1]:
                    continue
                raise
            return TypedCodec(self._method(files, service, method, path))
        raise AssertionError("unreachable: the last version returns or raises")

    def _files(
        self, version: str, service: str
    ) -> Generator[tuple[str, bytes], bytes, list[descriptor_pb2.FileDescriptorProto]]:
        """The file of a service and all that it imports, each after its own imports."""
        package = f"grpc.reflection.{version}"
        path = f"/{package}.ServerReflection/ServerReflectionInfo"
        request = protos.message_class(f"{package}.ServerReflectionRequest")
        response = protos.message_class(f"{package}.ServerReflectionResponse")
        found: dict[str, descriptor_pb2.FileDescriptorProto] = {}
        missing: list[dict[str, str]] = [{"file_containing_symbol": service}]
        while missing:
            asked = missing.pop()
            name = asked.get("file_by_filename")
            if name in found:
                continue
            answer = response.FromString((yield path, request(**asked).SerializeToString()))
            if answer.HasField("error_response"):
                raise self._unknown(service, answer.error_response)
            for data in answer.file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(data)
                found[file.name] = file
                missing += [{"file_by_filename": d} for d in file.dependency if d not in found]
            if name is not None and name not in found:
                raise DecodeError(f"{self._target}: reflection gave no file {name}")
        return _in_order(found)

    def _unknown(self, service: str, response: Any) -> RemoteExecutionError:
        return RemoteExecutionError(
            f"the host's reflection does not describe {service}: {response.error_message}",
            code=grpc.StatusCode.UNIMPLEMENTED,
            target=self._target,
            method=f"/{service}",
        )

    def _method(
        self,
        files: list[descriptor_pb2.FileDescriptorProto],
        service: str,
        method: str,
        path: str,
    ) -> MethodDescriptor:
        # A pool for each method's files: a service that is exported anew may use old names anew.
        pool = protos.pool_with(files)
        try:
            return pool.FindServiceByName(service).methods_by_name[method]
        except KeyError:
            raise RemoteExecutionError(
                f"the host's reflection describes {service}, but no method {method} of it",
                code=grpc.StatusCode.UNIMPLEMENTED,
                target=self._target,
                method=path,
            ) from None


def _in_order(
    files: dict[str, descriptor_pb2.FileDescriptorProto],
) -> list[descriptor_pb2.FileDescriptorProto]:
    """The files so that each comes after those that it imports."""
    ordered: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    entered: set[str] = set()

    def visit(name: str) -> None:
        if name in entered:  # also breaks a circle, which the pool then refuses
            return
        entered.add(name)
        for dependency in files[name].dependency:
            if dependency in files:
                visit(dependency)
        ordered[name] = files[name]

    for name in files:
        visit(name)
    return list(ordered.values())
