import sys

from carp_grpc import Link, current


def shout(text: str) -> str:
    return f"{text.upper()}! (for {current().peer})"


with Link(sys.argv[1], label="worker", wait_for_ready=True, timeout=10) as link:
    link.export(shout)
    print(link.Calculator.Shout("hello"))
