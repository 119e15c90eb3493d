import sys

from carp_grpc import Client, RemoteExecutionError

with Client(sys.argv[1], wait_for_ready=True, timeout=10) as c:
    print(c.Calculator.Div(7, b=2))
    try:
        c.Calculator.Div(1, 0)
    except RemoteExecutionError as error:
        print(error.code.name, error.name, error.message)
