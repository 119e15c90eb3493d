import asyncio
import sys

from carp_grpc import AioClient


async def main(target: str) -> None:
    async with AioClient(target, codec="proto") as c:
        print(await asyncio.gather(*(c.Calculator.Div(n, 3) for n in range(3))))


asyncio.run(main(sys.argv[1]))
