import sys

from carp_grpc import Client

with Client(sys.argv[1], wait_for_ready=True, timeout=10) as c:
    tally = c.Tally()
    tally.Add(40)
    print(tally.Add(2))
    print(c.Calculator.Map(lambda n: n * n, [1, 2, 3]))
