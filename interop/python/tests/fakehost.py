"""A gRPC server of a few lines that answers as the wire contract says: for what a real host does
not do on demand, such as answering badly."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

Handler = Callable[[bytes, grpc.ServicerContext], bytes]


class _Everything(grpc.GenericRpcHandler):
    def __init__(self, handlers: dict[str, Handler]) -> None:
        self.handlers = handlers

    def service(self, details: Any) -> Any:
        handler = self.handlers.get(details.method)
        return handler and grpc.unary_unary_rpc_method_handler(handler)


@contextlib.contextmanager
def fake_host(**handlers: Handler) -> Iterator[str]:
    """Serve `handlers`, named `Service__Method`, and give the target."""
    paths = {"/" + name.replace("__", "/"): handler for name, handler in handlers.items()}
    with tempfile.TemporaryDirectory(prefix="carp") as folder, ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool, handlers=[_Everything(paths)])
        target = "unix://" + os.path.join(folder, "s")
        server.add_insecure_port(target)
        server.start()
        try:
            yield target
        finally:
            server.stop(None).wait()
