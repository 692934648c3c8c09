"""Worker runs the handlers of a service for one connection, whatever its transport."""

import asyncio
import collections
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import codec
from .action import Action
from .context import Context
from .errors import MailroomError, NoOutcome, from_frame
from .service import Service
from .threads import Threads

log = logging.getLogger("mailroom")

_MAX_CALLS = 64  # the calls that a connection may have unanswered, with a small concurrency
_INTERNAL = {"code": "INTERNAL", "status": 500, "message": "the service has failed"}
# From Python 3.12 on, a handler starts without a round of the loop.
_EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


@dataclass(slots=True)
class _Call:
    """A call of another service. It counts until it is answered, also if nobody waits for it."""

    name: str
    ctx: Context
    future: asyncio.Future[Any]
    text: bytes


class Worker:
    """The runs of one connection.

    send: sends one frame, without the line end. It is called on the thread of the loop.
    limit: the size of the largest frame, in bytes.
    """

    def __init__(self, service: Service, send: Callable[[bytes], None], threads: Threads, limit: int) -> None:
        self.service = service
        self.loop = asyncio.get_running_loop()
        self.finished = asyncio.Event()  # no run is unfinished, and none follows
        self.bye: dict[str, Any] = {}
        self.draining = False  # Mailroom sends no more runs
        self._send = send
        self._threads = threads
        self._limit = limit
        self._runs: dict[str, Context] = {}
        self._max_calls = _MAX_CALLS
        self._calls: dict[str, _Call] = {}  # unanswered
        self._waiting: collections.deque[_Call] = collections.deque()  # more than may be unanswered
        self._last_call = 0

    def start(self, concurrency: int | None) -> None:
        """Send the manifest."""
        frame: dict[str, Any] = {"serve": self.service.manifest()}
        if concurrency is not None:
            frame["concurrency"] = concurrency
            self._max_calls = max(_MAX_CALLS, 4 * concurrency)
        self._send(codec.encode(frame))

    def receive(self, text: str | bytes) -> None:
        """Handle the text of one frame. Anything else is logged and ignored."""
        if (frame := codec.decode_frame(text)) is not None:
            self.handle(frame)

    def handle(self, frame: dict[str, Any]) -> None:
        """Handle one frame. Frames and members that are not known are ignored."""
        if "run" in frame:
            self._start(frame)
        elif "call" in frame:
            self._answered(frame)
        elif "lost" in frame:
            if ctx := self._runs.get(frame["lost"]):
                self._lose(ctx, frame.get("reason", ""))
        elif "drain" in frame:
            self.draining = True
            self._check_finished()
        elif "serving" in frame:
            log.info("serving %s as %s", frame["serving"], frame.get("worker"))
        elif "bye" in frame:
            self.bye = frame["bye"]

    def drain(self) -> None:
        """Ask for no more runs. Runs may follow until Mailroom answers."""
        if not self.draining:
            self._send(codec.encode({"drain": True}))

    def end(self, reason: str) -> None:
        """Give up all runs: the connection has ended."""
        self._send = lambda _: None
        for ctx in list(self._runs.values()):
            self._lose(ctx, reason)

    def post(self, ctx: Context, member: str, value: Any) -> None:
        """Send a frame of a run that is not its last one. May be called from any thread."""
        text = self._limited(member, {"run": ctx.run, member: value})
        if asyncio._get_running_loop() is self.loop:
            self._post(ctx, text)
        else:
            self.loop.call_soon_threadsafe(self._post, ctx, text)

    def call(self, ctx: Context, service: str, action: str, args: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Call an action of another service for a run."""
        future = self.loop.create_future()
        if self._runs.get(ctx.run) is not ctx or ctx.cancelled.is_set():
            future.cancel()
            return future
        self._last_call += 1
        name = f"c{self._last_call}"
        frame = {"call": name, "run": ctx.run, "service": service, "request": action, "args": args}
        self._waiting.append(_Call(name, ctx, future, self._limited("call", frame)))
        self._send_calls()
        return future

    def _send_calls(self) -> None:
        while self._waiting and len(self._calls) < self._max_calls:
            call = self._waiting.popleft()
            if not call.future.done():
                self._calls[call.name] = call
                self._send(call.text)

    def _limited(self, kind: str, frame: dict[str, Any]) -> bytes:
        """Return the text of a frame. Raises ValueError if it is too large, or not JSON."""
        text = codec.encode(frame)
        if len(text) > self._limit:
            raise ValueError(f"the {kind} has {len(text)} bytes, and at most {self._limit} are allowed")
        return text

    def _post(self, ctx: Context, text: bytes) -> None:
        if self._runs.get(ctx.run) is ctx:
            self._send(text)

    def _check_finished(self) -> None:
        if self.draining and not self._runs:
            self.finished.set()

    def _start(self, frame: dict[str, Any]) -> None:
        action = self.service.actions.get(frame.get("action", ""))
        if action is None:
            error = {"code": "NOT_SUPPORTED", "status": 501, "message": "this worker does not have the action"}
            self._send(codec.encode({"run": frame["run"], "ok": False, "error": error}))
            return
        ctx = Context(frame, self, asyncio.Event() if action.is_async else threading.Event())
        self._runs[ctx.run] = ctx
        if action.is_async:
            ctx.task = asyncio.Task(self._run_async(action, ctx, frame), loop=self.loop, **_EAGER)
        else:
            self._threads.submit(lambda: self._run_sync(action, ctx, frame))

    async def _run_async(self, action: Action, ctx: Context, frame: dict[str, Any]) -> None:
        try:
            args, named = action.bind(ctx, frame.get("args", []))
            text = self._success(ctx, await action.handler(*args, **named))
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            text = self._failure(action, ctx, error)
        self._finish(ctx, text)

    def _run_sync(self, action: Action, ctx: Context, frame: dict[str, Any]) -> None:
        try:
            ctx.check()
            args, named = action.bind(ctx, frame.get("args", []))
            text = self._success(ctx, action.handler(*args, **named))
        except (SystemExit, KeyboardInterrupt) as error:
            self.loop.call_soon_threadsafe(_raise, error)
            return
        except BaseException as error:
            text = self._failure(action, ctx, error)
        try:
            self.loop.call_soon_threadsafe(self._finish, ctx, text)
        except RuntimeError:
            pass  # the loop is closed: the connection has ended long ago

    def _success(self, ctx: Context, result: Any) -> bytes:
        return self._limited("result", {"run": ctx.run, "ok": True, "result": result, **ctx.answer})

    def _failure(self, action: Action, ctx: Context, error: BaseException) -> bytes:
        if isinstance(error, asyncio.CancelledError) and ctx.cancelled.is_set():
            return codec.encode({"run": ctx.run, "stopped": True})
        if isinstance(error, NoOutcome):
            return codec.encode({"run": ctx.run, "retry": True, "reason": str(error)[:1000]})
        fault = error.fault() if isinstance(error, MailroomError) else ""
        frame = {"run": ctx.run, "ok": False, "error": _INTERNAL}
        if tags := ctx.answer.get("invalidate"):
            frame["invalidate"] = tags
        if isinstance(error, MailroomError) and not fault:
            try:
                return self._limited("failure", frame | {"error": error.frame()})
            except (TypeError, ValueError) as invalid:
                fault = str(invalid)
        fault = f": this failure cannot be sent: {fault}" if fault else ""
        log.error("%s has failed, request %s%s", action.name, ctx.id, fault, exc_info=error)
        return codec.encode(frame)

    def _finish(self, ctx: Context, text: bytes) -> None:
        if self._runs.get(ctx.run) is not ctx:
            return
        del self._runs[ctx.run]
        self._send(text)
        self._check_finished()

    def _lose(self, ctx: Context, reason: str) -> None:
        ctx.reason = reason
        ctx.cancelled.set()
        for call in (*self._calls.values(), *self._waiting):
            if call.ctx is ctx:
                call.future.cancel()
        if ctx.task:
            ctx.task.cancel()

    def _answered(self, frame: dict[str, Any]) -> None:
        call = self._calls.pop(frame["call"], None)
        if call is None:
            return
        self._send_calls()
        if call.future.done():
            return
        if frame.get("ok"):
            call.future.set_result(frame.get("result"))
        else:
            call.future.set_exception(from_frame(frame))


def _raise(error: BaseException) -> None:
    raise error
