"""A worker for hosts and gateways: it appends its runs to the ledger."""

import asyncio
import os
import time

from mailroom import Service, serve

things = Service("things")
ledger = os.open(os.environ["MAILROOM_FAULTS_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(what: str, n: str, ctx) -> None:
    """Write one line by one write, so that lines of other processes do not mix with it."""
    os.write(ledger, f"{time.time_ns()} {what} {n} {ctx.id} {ctx.attempt} {os.getpid()}\n".encode())


@things.post("/things/run/:n", timeout=30)
async def run(ctx, n: str, work: dict) -> dict:
    note("run", n, ctx)
    if work.get("do") == "die":
        os._exit(1)
    await asyncio.sleep(work.get("ms", 0) / 1000)
    note("end", n, ctx)
    return {"n": n, "run": f"{os.getpid()}.{ctx.attempt}"}


@things.get("/things/read/:n", timeout=30)
async def read(ctx, n: str, work: dict) -> dict:
    return await run(ctx, n, {"ms": int(work.get("ms", 0))})


serve(things)
