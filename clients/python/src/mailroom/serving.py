"""serve runs a service until it is told to stop."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from .errors import MailroomError
from .lines import LIMIT, Lines
from .service import Service
from .threads import Threads
from .worker import Worker

T = TypeVar("T")

log = logging.getLogger("mailroom")

_CONCURRENCY = 64
_MAX_THREADS = 256
_NO_ADDRESS = """no Mailroom to serve {service} at. Do one of:
  start this program with `mailroom serve -- CMD…`, beside a Redis;
  set MAILROOM_URL (such as https://api.example.com) and MAILROOM_TOKEN (an API key with the scope serve:{service});
  call serve(service, url=…, token=…)"""


def serve(
    service: Service,
    url: str | None = None,
    token: str | None = None,
    *,
    concurrency: int | None = None,
    drain: float = 20,
) -> None:
    """Run a service until SIGTERM or SIGINT. The program ends with status 1 on an error.

    The arguments are those of serve_async.
    """
    _log_to_stderr()

    async def run() -> None:
        stop = asyncio.Event()
        with _signals(stop):
            await serve_async(service, url, token, concurrency=concurrency, drain=drain, stop=stop)

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        sys.exit(130)
    except (MailroomError, OSError, ValueError) as error:
        sys.exit(f"mailroom: {error}")


async def serve_async(
    service: Service,
    url: str | None = None,
    token: str | None = None,
    *,
    concurrency: int | None = None,
    drain: float = 20,
    stop: asyncio.Event | None = None,
) -> None:
    """Run a service until the event stop is set, or the host of the connection ends it.

    Without url the service connects to the socket in MAILROOM_SOCKET, which `mailroom serve` sets,
    else to the gateway in MAILROOM_URL.

    token: an API key or a JWT, for a gateway. Defaults to MAILROOM_TOKEN.
    concurrency: the number of requests that may run at the same time. Defaults to 64.
    drain: how long, in seconds, unfinished requests may run after stop is set. Defaults to 20.

    Raises MailroomError if Mailroom does not accept the service.
    """
    stop = stop or asyncio.Event()
    path = "" if url else os.environ.get("MAILROOM_SOCKET", "")
    url = url or os.environ.get("MAILROOM_URL", "")
    if not path and not url:
        raise ValueError(_NO_ADDRESS.format(service=service.name))
    if not service.actions:
        raise ValueError(f"the service {service.name} has no actions: declare one with @{service.name}.get(…)")
    threads = Threads(min(concurrency or _CONCURRENCY, _MAX_THREADS))
    try:
        if path:
            await _serve_unix(service, path, concurrency, threads, stop, drain)
        else:
            token = token or os.environ.get("MAILROOM_TOKEN") or None
            await _serve_gateway(service, url, token, concurrency, threads, stop, drain)
    finally:
        threads.close()


async def _serve_unix(
    service: Service, path: str, concurrency: int | None, threads: Threads, stop: asyncio.Event, drain: float
) -> None:
    """Serve on the unix socket of `mailroom serve`. The process ends when the connection ends."""
    loop = asyncio.get_running_loop()
    lines = Lines(lambda line: worker.receive(line))
    worker = Worker(service, lines.send, threads, LIMIT - 1)
    try:
        await loop.create_unix_connection(lambda: lines, path)
    except OSError as error:
        raise OSError(f"no connection to the socket {path} of MAILROOM_SOCKET: {error}") from error
    worker.start(concurrency)
    try:
        await _until_stopped(worker, lines.closed, stop, drain)
    finally:
        worker.end("connection")
        lines.close()
    if worker.bye.get("reason", "drain") != "drain":
        message = worker.bye.get("message", "")
        raise MailroomError("BAD_REQUEST", 400, f"Mailroom ended the connection: {worker.bye['reason']}: {message}")
    if not worker.draining and not stop.is_set():
        log.warning("the connection to mailroom serve has ended")


async def _serve_gateway(
    service: Service,
    url: str,
    token: str | None,
    concurrency: int | None,
    threads: Threads,
    stop: asyncio.Event,
    drain: float,
) -> None:
    """Serve over a WebSocket. If it ends, connect again."""
    from .channel import Backoff, Channel, Closed

    backoff = Backoff()

    async def one_connection(channel: Channel) -> None:
        worker = Worker(service, channel.send, threads, channel.limit)

        async def read() -> None:
            async for frame in channel.frames():
                worker.handle(frame)

        reading = asyncio.ensure_future(read())
        try:
            worker.start(concurrency)
            await _until_stopped(worker, reading, stop, drain)
        finally:
            reading.cancel()
            worker.end("connection")
            await channel.close()

    while not stop.is_set():
        try:
            if channel := await _unless(stop, Channel.open(url, token)):
                await one_connection(channel)
        except Closed as closed:
            if closed.final:
                raise closed.final from None
            if closed.proven:
                backoff.reset()
            log.warning("%s; connecting again", closed)
            await _unless(stop, asyncio.sleep(backoff.pause(closed.retry)))


async def _until_stopped(worker: Worker, ended: asyncio.Future[None], stop: asyncio.Event, drain: float) -> None:
    """Wait until the connection has ended, or stop is set and the runs are finished."""
    await _unless(stop, asyncio.shield(ended))
    if not ended.done():
        worker.drain()
        waiting = asyncio.create_task(worker.finished.wait())
        both: list[asyncio.Future[Any]] = [ended, waiting]
        await asyncio.wait(both, timeout=drain, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if ended.done():
            ended.exception()  # that the connection has ended does not matter any more


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T] | asyncio.Future[T]) -> T | None:
    """Return the result of work. Return None, and cancel work, if stop is set before."""
    task, waiting = asyncio.ensure_future(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        waiting.cancel()


def _log_to_stderr() -> None:
    """Print the messages of this package, unless the program has set up logging."""
    if not log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """Set the event on SIGTERM and SIGINT. The second signal ends the process."""
    loop = asyncio.get_running_loop()
    names = (signal.SIGTERM, signal.SIGINT)

    def stopped() -> None:
        stop.set()
        for name in names:
            loop.remove_signal_handler(name)

    for name in names:
        loop.add_signal_handler(name, stopped)
    try:
        yield
    finally:
        for name in names:
            loop.remove_signal_handler(name)
