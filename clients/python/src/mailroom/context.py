"""Context is what a handler knows about its request, and can do beside returning a result."""

import asyncio
import concurrent.futures
import time
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Principal:
    """The caller of a request."""

    subject: str
    tenant: str = ""
    scopes: tuple[str, ...] = ()


class Event(Protocol):
    """What asyncio.Event and threading.Event have in common."""

    def is_set(self) -> bool: ...
    def set(self) -> None: ...


class Port(Protocol):
    """The connection of a context. Its methods may be called from any thread."""

    def post(self, ctx: "Context", member: str, value: Any) -> None:
        """Send the frame {"run":…, member: value}."""

    def call(self, ctx: "Context", service: str, action: str, args: tuple[Any, ...]) -> "asyncio.Future[Any]":
        """Call an action. Only on the thread of the loop."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...


class Context:
    """The request that a handler runs.

    cancelled: set when the run is lost. In an async handler it is an asyncio.Event, in a sync
    handler a threading.Event. The task of an async handler is also cancelled.
    """

    __slots__ = ("_ends", "_frame", "_port", "answer", "cancelled", "reason", "task")

    def __init__(self, frame: dict[str, Any], port: Port, cancelled: Event) -> None:
        self._frame = frame
        self._port = port
        self._ends: float = time.monotonic() + frame.get("deadline", 10_000) / 1000
        self.answer: dict[str, Any] = {}
        self.cancelled = cancelled
        self.reason = ""  # why the run was lost: deadline, cancelled, taken, drain or connection
        self.task: asyncio.Task[None] | None = None

    @property
    def run(self) -> str:
        """The name of the run on its connection."""
        run: str = self._frame["run"]
        return run

    @property
    def id(self) -> str:
        """The UUID of the request: the same on every attempt.

        Store it with an effect to make the effect once.
        """
        return str(self._frame.get("id", ""))

    @property
    def attempt(self) -> int:
        """The number of the delivery, from 1."""
        return int(self._frame.get("attempt", 1))

    @property
    def request_id(self) -> str:
        """The X-Request-Id of the caller. Empty: none."""
        return str(self._frame.get("request_id", ""))

    @property
    def version(self) -> str:
        """The version of the API that was called, such as v2. Empty: none."""
        return str(self._frame.get("version", ""))

    @property
    def traceparent(self) -> str:
        """The W3C trace context. Empty: none."""
        return str(self._frame.get("traceparent", ""))

    @property
    def principal(self) -> Principal | None:
        """The caller. None: anonymous."""
        caller = self._frame.get("principal")
        if caller is None:
            return None
        return Principal(caller.get("subject", ""), caller.get("tenant", ""), tuple(caller.get("scopes", ())))

    def remaining(self) -> float:
        """Return the time until the deadline, in seconds. Never below 0."""
        return max(0.0, self._ends - time.monotonic())

    def check(self) -> None:
        """Raise asyncio.CancelledError if the run is lost: for sync handlers, in long loops."""
        if self.cancelled.is_set():
            raise asyncio.CancelledError(self.reason)

    def status(self, status: int) -> None:
        """Set the HTTP status of the result: 200 to 299, not 204 and not 205."""
        if type(status) is not int or not 200 <= status <= 299 or status in (204, 205):
            raise ValueError(f"the status {status!r} is not from 200 to 299, or is 204 or 205")
        self.answer["status"] = status

    def location(self, url: str) -> None:
        """Set the header Location of the result."""
        self.answer["location"] = url

    def invalidate(self, *tags: str) -> None:
        """Make cached results with these tags stale, before the caller gets the answer."""
        self.answer.setdefault("invalidate", []).extend(tags)

    def progress(self, value: Any) -> None:
        """Report progress, any JSON value, to callers that wait for events."""
        self._port.post(self, "progress", value)

    def extend(self, seconds: float) -> None:
        """Say that the run needs this time from now, although its deadline is earlier."""
        self._port.post(self, "extend", round(seconds * 1000))
        self._ends = max(self._ends, time.monotonic() + seconds)

    async def call(self, service: str, action: str, *args: Any) -> Any:
        """Call an action of another service, and return its result.

        The call inherits deadline, trace and principal. Raises MailroomError.
        """
        return await self._port.call(self, service, action, args)

    def call_blocking(self, service: str, action: str, *args: Any) -> Any:
        """Do the same as call, for sync handlers: block the thread until the answer."""
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("call_blocking would block the event loop: use await ctx.call(…) in an async handler")
        future = asyncio.run_coroutine_threadsafe(self.call(service, action, *args), self._port.loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise asyncio.CancelledError(self.reason) from None
