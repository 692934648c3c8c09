"""The client of TestEverythingKilled: it sends unsafe requests at a steady rate, and writes what came of them as JSON.

Its arguments are the file to write, the rate, the duration in seconds, and the URLs of the gateways, which it uses in turn.
"""

import asyncio
import collections
import json
import logging
import sys
import time

from mailroom import MailroomError, connect


async def main(path: str, rate: int, seconds: int, urls: list[str]) -> None:
    runs: dict[str, str] = {}
    at: dict[str, int] = {}
    failed: collections.Counter[str] = collections.Counter()
    slowest = 0.0

    async def request(n: int) -> None:
        nonlocal slowest
        began = time.monotonic()
        try:
            result = await sockets[n % len(sockets)].request("things", "RUN", str(n), {"ms": n % 50}, key=f"key-{n}")
            assert result["n"] == str(n), result
            runs[str(n)], at[str(n)] = result["run"], time.time_ns()
        except MailroomError as error:
            failed[error.code] += 1
            print(f"request {n} after {time.monotonic() - began:.1f} s: {error!r}", file=sys.stderr)
        slowest = max(slowest, time.monotonic() - began)

    sockets = [await connect(url) for url in urls]
    began = time.monotonic()
    async with asyncio.TaskGroup() as requests:
        for n in range(1, rate * seconds + 1):
            await asyncio.sleep(max(0, began + n / rate - time.monotonic()))
            requests.create_task(request(n))
    for socket in sockets:
        await socket.close()
    with open(path, "w") as file:
        json.dump({"sent": rate * seconds, "runs": runs, "at": at, "failed": failed, "slowest": slowest}, file)


logging.basicConfig(format="%(name)s: %(message)s")
logging.getLogger("mailroom").setLevel(logging.INFO)
asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]))
