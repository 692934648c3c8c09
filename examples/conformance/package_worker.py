"""The service "conformance" with the package for Python, under mailroom serve or on a socket of a gateway:

PYTHONPATH=clients/python/src mailroom conformance -- python3 examples/conformance/package_worker.py
"""

import asyncio
import collections
import time
from typing import Any

from mailroom import Cache, MailroomError, NoOutcome, Service, serve

TAG = "conformance:{id}"
lists: dict[str, list[Any]] = collections.defaultdict(list)
active: collections.Counter[str] = collections.Counter()
runs: collections.Counter[int] = collections.Counter()

it = Service("conformance", version="1.0.0")


@it.post("/conformance/echo")
async def echo(body: dict[str, Any]) -> Any:
    return body


@it.get("/conformance/:id")
async def get(id: int) -> Any:
    return {"id": id}


@it.post("/conformance/fail")
async def fail(code: str, status: int, message: str, details: Any = None) -> Any:
    raise MailroomError(code, status, message, details)


@it.post("/conformance/sleep")
async def sleep(ctx: Any, ms: int, extend: int = 0) -> Any:
    if extend:
        ctx.extend(extend / 1000)
    await asyncio.sleep(ms / 1000)
    return {"slept": ms}


@it.post("/conformance/block")
async def block(ms: int) -> Any:
    time.sleep(ms / 1000)  # on the thread of the event loop
    return {"slept": ms}


@it.post("/conformance/panic")
async def panic() -> Any:
    raise RuntimeError("internal-text")


@it.post("/conformance/big")
async def big(bytes: int) -> Any:
    return "x" * bytes


@it.post("/conformance/nooutcome", name="NOOUTCOME")
async def no_outcome(ctx: Any, times: int) -> Any:
    if ctx.attempt <= times:
        raise NoOutcome("told to have none")
    return {"attempt": ctx.attempt}


@it.post("/conformance/:key/append", lane="conformance:{key}")
async def append(key: str, value: Any, ms: int = 0) -> Any:
    lists[key].append(value)
    active[key] += 1
    overlap = active[key] > 1
    try:
        await asyncio.sleep(ms / 1000)
    finally:
        overlap = overlap or active[key] > 1
        active[key] -= 1
    return {"values": lists[key], "overlap": overlap}


@it.get("/conformance/:id/cached", cache=Cache(30, [TAG]))
async def cached(id: int) -> Any:
    runs[id] += 1
    return {"id": id, "runs": runs[id]}


@it.post("/conformance/:id/touch", invalidates=TAG)
async def touch(id: int) -> Any:
    return {"id": id}


@it.post("/conformance/call")
async def call(ctx: Any, action: str, args: list[Any]) -> Any:
    return await ctx.call("conformance", action, *args)


@it.post("/conformance/report")
async def report(ctx: Any, values: list[Any], ms: int = 0) -> Any:
    for value in values:
        ctx.progress(value)
    await asyncio.sleep(ms / 1000)
    return {"reported": len(values)}


serve(it)
