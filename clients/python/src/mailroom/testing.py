"""Tester runs the actions of a service in a test, without a connection."""

import asyncio
import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

from . import codec, validate
from .context import Context, Principal
from .errors import BadRequest, MailroomError, Unavailable
from .service import Service


class Tester:
    """Runs actions as Mailroom would: it checks the arguments, and converts them.

        tester = Tester(users)
        assert await tester.call("GET_USER", 1) == {"id": 1, "name": "Oska"}

    calls: the answers to ctx.call, by (service, action): a value, an exception or a function of the
        arguments. A call without an answer fails with UNAVAILABLE.

    The other attributes are about the last call:

    status, location, invalidated: what the handler has set.
    progress: all values that it has reported.
    extended: the times in seconds for which it has extended the run.
    called: its calls, as (service, action, args).
    """

    def __init__(self, service: Service, *, calls: dict[tuple[str, str], Any] | None = None) -> None:
        self.service = service
        self.calls = calls or {}
        self._reset()

    def _reset(self) -> None:
        self.status = 200
        self.location = ""
        self.invalidated: list[str] = []
        self.progress: list[Any] = []
        self.extended: list[float] = []
        self.called: list[tuple[str, str, tuple[Any, ...]]] = []

    async def call(
        self,
        action: str,
        *args: Any,
        principal: Principal | str | None = None,
        attempt: int = 1,
        id: str | None = None,
        version: str = "",
        request_id: str = "",
        timeout: float = 10,
    ) -> Any:
        """Run an action and return its result, as a caller gets it.

        Raises what the handler raises, BadRequest if the arguments do not fit their schemas.
        """
        self._reset()
        declared = self.service.actions.get(action)
        if declared is None:
            raise ValueError(
                f"the service {self.service.name} has no action {action}: it has {', '.join(self.service.actions)}"
            )
        values = json.loads(codec.encode(args))
        if len(values) == len(declared.arguments) - 1 and declared.arguments[-1].source in ("query", "body"):
            values.append({})
        for argument, value in zip(declared.arguments, values, strict=False):
            if fault := validate.fault(argument.schema, value):
                raise BadRequest(f"{argument.name}{fault}")
        frame: dict[str, Any] = {"run": "1", "action": action, "id": id or str(uuid.uuid4()), "attempt": attempt}
        frame |= {"deadline": round(timeout * 1000), "version": version, "request_id": request_id}
        if principal is not None:
            caller = Principal(principal) if isinstance(principal, str) else principal
            frame["principal"] = {"subject": caller.subject, "tenant": caller.tenant, "scopes": list(caller.scopes)}
        ctx = Context(frame, _Port(self), asyncio.Event() if declared.is_async else threading.Event())
        positional, named = declared.bind(ctx, values)
        try:
            if declared.is_async:
                result = await declared.handler(*positional, **named)
            else:
                result = await asyncio.to_thread(declared.handler, *positional, **named)
        except MailroomError as error:
            if fault := error.fault():
                raise ValueError(f"this failure cannot be sent: {fault}") from error
            raise
        finally:
            self.status = ctx.answer.get("status", 200)
            self.location = ctx.answer.get("location", "")
            self.invalidated = ctx.answer.get("invalidate", [])
        return json.loads(codec.encode(result))


class _Port:
    """The connection of a context in a test."""

    def __init__(self, tester: Tester) -> None:
        self._tester = tester
        self.loop = asyncio.get_running_loop()

    def post(self, ctx: Context, member: str, value: Any) -> None:
        value = json.loads(codec.encode(value))
        if member == "extend":
            self._tester.extended.append(value / 1000)
        else:
            self._tester.progress.append(value)

    def call(self, ctx: Context, service: str, action: str, args: tuple[Any, ...]) -> asyncio.Future[Any]:
        self._tester.called.append((service, action, args))
        missing = Unavailable(f"the test has no answer for {service} {action}: Tester(…, calls={{…}})")
        answer = self._tester.calls.get((service, action), missing)
        future: asyncio.Future[Any] = self.loop.create_future()
        try:
            if isinstance(answer, Callable) and not isinstance(answer, type):  # type: ignore[arg-type]
                answer = answer(*args)
        except MailroomError as error:
            answer = error
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return future
