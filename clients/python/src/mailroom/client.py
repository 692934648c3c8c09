"""connect opens a socket to a gateway, to call actions and to subscribe."""

import asyncio
import logging
import os
import uuid
from collections.abc import Callable, Generator
from typing import Any

from . import codec
from .channel import Backoff, Channel, Closed
from .errors import MailroomError, from_frame
from .subscription import Subscription, Topic

log = logging.getLogger("mailroom")

_GRACE = 2.0  # how much longer than the gateway the client waits, in seconds


class _Request:
    """A request that is not answered yet."""

    def __init__(self, number: int, frame: dict[str, Any], ends: float | None, loop: asyncio.AbstractEventLoop) -> None:
        self.number = number
        self.future: asyncio.Future[dict[str, Any]] = loop.create_future()
        self.on_progress: Callable[[Any], None] | None = None
        self._frame = {"id": number, **frame}
        self._ends = ends  # in the time of the loop
        self._loop = loop
        self._text = codec.encode(self._frame)

    def text(self) -> bytes:
        """Return the text of the frame, with the time that is left."""
        if self._ends is None:
            return self._text
        left = max(1, round((self._ends - self._loop.time()) * 1000))
        return codec.encode(self._frame | {"timeout": left})

    def receive(self, frame: dict[str, Any]) -> None:
        if self.future.done():
            return
        if "ok" not in frame:
            if self.on_progress:
                self.on_progress(frame.get("progress"))
        elif frame["ok"]:
            self.future.set_result(frame)
        else:
            self.future.set_exception(from_frame(frame))


class Socket:
    """A connection to a gateway. Use connect to open one.

    If the connection ends, the socket connects again and sends what is unanswered once more, under
    the same keys.
    """

    def __init__(self, url: str, token: str | None, retries: int) -> None:
        self._url = url
        self._token = token
        self._retries = retries
        self._loop = asyncio.get_running_loop()
        self._channel: Channel | None = None
        self._error: MailroomError | None = None  # why the socket is closed
        self._task: asyncio.Task[None] | None = None
        self._last_id = 0
        self._requests: dict[int, _Request] = {}
        self._waiting: dict[int, _Request] = {}  # the ones of _requests that are not sent
        self._topics: dict[tuple[str, str], Topic] = {}

    @property
    def principal(self) -> str:
        """The subject of the caller. Empty: anonymous, or not connected."""
        return str(self._channel.hello.get("principal", "")) if self._channel else ""

    @property
    def waiting(self) -> int:
        """The number of requests that wait until fewer are in flight, or for a connection."""
        return len(self._waiting)

    async def request(
        self,
        service: str,
        action: str,
        *args: Any,
        key: str | None = None,
        safe: bool = False,
        timeout: float | None = None,
        version: str | None = None,
        on_progress: Callable[[Any], None] | None = None,
        retries: int | None = None,
    ) -> Any:
        """Call an action and return its result. Raises MailroomError.

        key: an unsafe request with the same key runs once. Defaults to a new UUID.
        safe: True sends no key: for actions that may run twice.
        timeout: how long to wait, in seconds. Defaults to the timeout of the action.
        version: the version of the API, such as v2. Defaults to none.
        on_progress: gets what the handler reports before the answer.
        retries: how often to send the request again, under the same key, if the answer has the
            status 503. Defaults to the retries of the socket.

        If the task is cancelled, the request is cancelled too.
        """
        options = {"key": key or (None if safe else str(uuid.uuid4())), "version": version}
        frame: dict[str, Any] = {"service": service, "request": action, "args": args}
        frame |= {member: value for member, value in options.items() if value}
        if on_progress:
            frame["progress"] = True
        ends = None if timeout is None else self._loop.time() + timeout
        backoff = Backoff()
        for left in reversed(range(1 + (self._retries if retries is None else retries))):
            try:
                return (await self._exchange(frame, ends, on_progress)).get("result")
            except MailroomError as error:
                if error.status != 503 or not left or self._error:
                    raise
                pause = backoff.pause(error.retry_after)
                if ends is not None and self._loop.time() + pause >= ends:
                    raise
            await asyncio.sleep(pause)

    async def send(
        self, service: str, action: str, *args: Any, key: str | None = None, version: str | None = None
    ) -> str:
        """Send an unsafe request without waiting for its outcome, and return its ticket.

        Subscribe to the ticket for the outcome. Raises MailroomError, and ValueError if the action
        is safe.
        """
        frame = {"service": service, "request": action, "args": args, "key": key or str(uuid.uuid4()), "async": True}
        answer = await self._exchange(frame | ({"version": version} if version else {}), None, None)
        if "ticket" not in answer:
            raise ValueError(f"the action {action} is safe, and has no ticket: use request")
        return str(answer["ticket"])

    def subscribe(self, name: str, *, service: str = "") -> Subscription:
        """Return the events of a cache tag of a service, or of a ticket (without service).

            async with socket.subscribe("user:1", service="users") as events:
                async for event in events: ...

        An event with `recovered` False says that events may have been missed: read the data again.
        After a new connection the subscription goes on, and is tried again until the gateway accepts
        it or answers 400, 401, 403 or 404, which is raised.
        The events of a ticket end after its last state.
        """
        return Subscription(self, name, service)

    async def close(self) -> None:
        """Close the connection. Unanswered requests fail, and subscriptions end."""
        self._fail(MailroomError("CLOSED", 499, "the socket was closed"))
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._disconnect()

    async def open(self) -> None:
        """Connect. Raises MailroomError, or ConnectionError if the gateway cannot be reached."""
        try:
            self._connected(await Channel.open(self._url, self._token))
        except Closed as closed:
            raise closed.final or ConnectionError(str(closed)) from closed.__cause__
        self._task = asyncio.create_task(self._run())

    def join(self, name: str, service: str) -> Topic:
        """Return the topic of a subscription. It is subscribed if it was not."""
        if self._error:
            raise _again(self._error)
        topic = self._topics.get((service, name))
        if topic is None:
            self._last_id += 1
            topic = self._topics[service, name] = Topic(self._last_id, name, service)
            self._send(topic.subscribe_frame())
        return topic

    def leave(self, topic: Topic) -> None:
        """End the subscription of a topic that nobody listens to."""
        if self._topics.get((topic.service, topic.name)) is topic and not topic.listeners:
            del self._topics[topic.service, topic.name]
            self._send({"id": topic.number, "unsubscribe": True})

    def _send(self, frame: dict[str, Any]) -> None:
        if self._channel:
            self._channel.send(codec.encode(frame))

    async def _exchange(
        self, frame: dict[str, Any], ends: float | None, on_progress: Callable[[Any], None] | None
    ) -> dict[str, Any]:
        """Send a request and return its answer. Raises MailroomError."""
        if self._error:
            raise _again(self._error)
        self._last_id += 1
        request = _Request(self._last_id, frame, ends, self._loop)
        request.on_progress = on_progress
        self._requests[request.number] = self._waiting[request.number] = request
        self._pump()
        try:
            async with asyncio.timeout_at(None if ends is None else ends + _GRACE) as limit:
                return await request.future
        except TimeoutError:
            if not limit.expired():
                raise
            raise MailroomError("TIMEOUT", 504, "there was no answer within the timeout") from None
        finally:
            if request.future.cancelled():
                self._cancel(request)

    def _cancel(self, request: _Request) -> None:
        """Cancel a request. It counts as in flight until it is answered."""
        if self._waiting.pop(request.number, None):
            del self._requests[request.number]
        elif request.number in self._requests:
            self._send({"id": request.number, "cancel": True})

    def _pump(self) -> None:
        """Send waiting requests, as many as may be in flight."""
        if not self._channel:
            return
        free = self._channel.hello.get("inflight", 64) - len(self._requests) + len(self._waiting)
        while self._waiting and free > 0:
            number = next(iter(self._waiting))
            request = self._waiting.pop(number)
            text = request.text()
            if len(text) > self._channel.limit:
                del self._requests[number]
                message = f"the request has {len(text)} bytes, and at most {self._channel.limit} are allowed"
                request.future.set_exception(MailroomError("PAYLOAD_TOO_LARGE", 413, message))
                continue
            self._channel.send(text)
            free -= 1

    def _connected(self, channel: Channel) -> None:
        self._channel = channel
        for topic in self._topics.values():
            self._send(topic.subscribe_frame())
        self._pump()

    async def _disconnect(self) -> None:
        """Drop the connection. Unanswered requests wait for the next one."""
        channel, self._channel = self._channel, None
        self._requests = {n: request for n, request in self._requests.items() if not request.future.done()}
        self._waiting = dict(self._requests)
        if channel:
            await channel.close()

    async def _run(self) -> None:
        """Read frames, and connect again when the connection ends."""
        backoff = Backoff()
        while True:
            try:
                if not self._channel:
                    self._connected(await Channel.open(self._url, self._token))
                assert self._channel
                async for frame in self._channel.frames():
                    self._receive(frame)
            except Closed as closed:
                if closed.proven:
                    backoff.reset()
                await self._disconnect()
                if closed.final:
                    self._fail(closed.final)
                    return
                pause = backoff.pause(closed.retry)
                log.info("%s; connecting again in %.1f s", closed, pause)
                await asyncio.sleep(pause)

    def _receive(self, frame: dict[str, Any]) -> None:
        number = frame.get("id")
        if request := self._requests.get(number) if isinstance(number, int) else None:
            if "ok" in frame:
                del self._requests[request.number]
            request.receive(frame)
            self._pump()
        elif "event" in frame:
            if topic := self._topics.get((frame.get("service", ""), frame["event"])):
                topic.event(frame)
                if topic.ended:
                    del self._topics[topic.service, topic.name]
        elif topic := next((t for t in self._topics.values() if t.number == number), None):
            pause = topic.answer(frame)
            if pause is not None:
                self._loop.call_later(pause, self._resubscribe, topic, self._channel)
            if topic.error and self._topics.get((topic.service, topic.name)) is topic:
                del self._topics[topic.service, topic.name]

    def _resubscribe(self, topic: Topic, channel: Channel | None) -> None:
        """Subscribe again on the same connection; a new one does so by itself."""
        if channel is self._channel and self._topics.get((topic.service, topic.name)) is topic:
            self._send(topic.subscribe_frame())

    def _fail(self, error: MailroomError) -> None:
        """Close the socket for good."""
        self._error = self._error or error
        for request in self._requests.values():
            if not request.future.done():
                request.future.set_exception(_again(self._error))
        self._requests, self._waiting = {}, {}
        for topic in self._topics.values():
            topic.fail(self._error)
        self._topics.clear()


def _again(error: MailroomError) -> MailroomError:
    """Return a copy of an error, to raise it once more."""
    return MailroomError(error.code, error.status, error.message, error.details)


class connect:
    """Open a socket to a gateway.

        async with connect("https://api.example.com", token="mk_…") as socket:
            user = await socket.request("users", "GET_USER", 1)

    url: http://, https://, ws:// or wss://. Defaults to MAILROOM_URL.
    token: an API key or a JWT. Defaults to MAILROOM_TOKEN; without one the client is anonymous.
    retries: how often to send a request again, under its key, if the answer has the status 503.
        Defaults to 2.

    `socket = await connect(…)` is the same without the block; close it with `await socket.close()`.
    Raises MailroomError if the gateway refuses the token, ConnectionError if it cannot be reached.
    """

    def __init__(self, url: str | None = None, *, token: str | None = None, retries: int = 2) -> None:
        self._url = url or os.environ.get("MAILROOM_URL", "")
        self._token = token or os.environ.get("MAILROOM_TOKEN") or None
        self._retries = retries
        self._socket: Socket | None = None
        if not self._url:
            raise ValueError('no gateway to connect to: call connect("https://…") or set MAILROOM_URL')

    async def _open(self) -> Socket:
        self._socket = Socket(self._url, self._token, self._retries)
        await self._socket.open()
        return self._socket

    def __await__(self) -> Generator[Any, None, Socket]:
        return self._open().__await__()

    async def __aenter__(self) -> Socket:
        return await self._open()

    async def __aexit__(self, *_: object) -> None:
        if self._socket:
            await self._socket.close()
