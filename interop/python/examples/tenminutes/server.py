import sys
from concurrent import futures

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from carp_grpc import Client


def greet(request: StringValue, context: grpc.ServicerContext) -> StringValue:
    return StringValue(value=f"Hello, {request.value}!")


# What greeter_pb2_grpc would do, with a message that looks the same on the wire.
handler = grpc.unary_unary_rpc_method_handler(
    greet, StringValue.FromString, StringValue.SerializeToString
)
service = "carp.examples.greeter.v1.Greeter"
server = grpc.server(futures.ThreadPoolExecutor())
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Greet": handler}),))
server.add_insecure_port(sys.argv[2])
server.start()
with Client(sys.argv[1], wait_for_ready=True, timeout=10) as c:
    print(c.Calculator.Greet(sys.argv[2], "Ann"))
server.stop(None).wait()
