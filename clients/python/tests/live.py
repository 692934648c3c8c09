"""A client of a gateway that stops in between: clients/live_test.go starts it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mailroom import MailroomError, connect


async def eventually(call: Callable[[], Awaitable[Any]]) -> Any:
    """Repeat a call while its service is not there."""
    while True:
        try:
            return await call()
        except MailroomError as error:
            if error.status not in (404, 503):
                raise
            await asyncio.sleep(0.02)


async def main() -> None:
    async with connect() as socket:
        assert await eventually(lambda: socket.request("live", "GET", 1)) == 1

        async with socket.subscribe("item:1", service="live") as events:
            await socket.request("live", "TOUCH", 1)
            assert (await anext(events)).recovered

        holding = asyncio.Event()
        held = asyncio.create_task(socket.request("live", "HOLD", on_progress=lambda _: holding.set()))
        await holding.wait()
        held.cancel()
        await asyncio.wait([held])
        assert held.cancelled()

        ticket = await socket.send("live", "TOUCH", 7)
        states = [event.data async for event in socket.subscribe(ticket) if event.data]
        assert states[-1]["outcome"]["result"] == 7, states

        ids = range(3000)
        assert await asyncio.gather(*(socket.request("live", "GET", n) for n in ids)) == list(ids)
        await eventually(lambda: socket.request("conformance", "ECHO", {"a": 1}))

        counted = [asyncio.create_task(socket.request("live", "COUNT", {"key": str(n)})) for n in range(20)]
        await socket.request("live", "GET", 5000)  # the others are sent
        print("drain", flush=True)
        assert await asyncio.gather(*counted) == [1] * 20
        assert await eventually(lambda: socket.request("conformance", "ECHO", {"a": 2})) == {"a": 2}


asyncio.run(main())
