"""Subscriptions of a socket to cache tags and tickets."""

import asyncio
import collections
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .channel import Backoff
from .errors import MailroomError, from_frame

if TYPE_CHECKING:
    from .client import Socket

_FINAL_STATES = ("done", "dead", "expired", "cancelled")
_LASTING = (400, 401, 403, 404)  # the statuses of errors that another attempt gets again
_MAX_EVENTS = 1000  # the events that wait for a slow reader


@dataclass(frozen=True)
class Event:
    """One event of a subscription.

    name: the tag or the ticket. service: of a tag.
    at: of a tag: the position of the event. Empty: none.
    data: of a ticket: the state of the request, {"state": …, …}.
    progress: of a ticket: a report of its handler.
    recovered: False if events before this one may have been missed: read the data again.
    """

    name: str
    service: str = ""
    at: str = ""
    data: Any = None
    progress: Any = None
    recovered: bool = True


def is_last(data: Any) -> bool:
    """Report whether the data of an event of a ticket is the last state of its request."""
    return isinstance(data, dict) and data.get("state") in _FINAL_STATES


class Topic:
    """A tag or a ticket that a socket is subscribed to, once for all that listen."""

    def __init__(self, number: int, name: str, service: str) -> None:
        self.number = number
        self.name = name
        self.service = service
        self.listeners: weakref.WeakSet[Subscription] = weakref.WeakSet()
        self.ready = asyncio.Event()
        self.error: MailroomError | None = None
        self.ended = False  # with the request of a ticket
        self._at = ""
        self._backoff = Backoff()

    def subscribe_frame(self) -> dict[str, Any]:
        """Return the frame that subscribes, after the last known position."""
        frame: dict[str, Any] = {"id": self.number, "subscribe": self.name}
        if self.service:
            frame["service"] = self.service
        if self._at:
            frame["after"] = self._at
        return frame

    def answer(self, frame: dict[str, Any]) -> float | None:
        """Handle the answer to subscribe_frame.

        Return the time after which to subscribe again, in seconds. None: there is no need. A topic
        that was subscribed before does not end by an error that will pass.
        """
        again = self.ready.is_set()
        if not frame.get("ok"):
            error = from_frame(frame)
            if again and error.status not in _LASTING:
                return self._backoff.pause(error.retry_after)
            self.fail(error)
            return None
        self._backoff.reset()
        self.ready.set()
        self._at = frame.get("at", self._at)
        if again and not frame.get("recovered", False):
            self._publish(Event(self.name, self.service, self._at, recovered=False))
        return None

    def event(self, frame: dict[str, Any]) -> None:
        """Handle an event."""
        self._at = frame.get("at", self._at)
        self.ended = not self.service and is_last(frame.get("data"))
        self._publish(Event(self.name, self.service, self._at, frame.get("data"), frame.get("progress")))

    def fail(self, error: MailroomError) -> None:
        """End the subscription with an error."""
        self.error = error
        self.ready.set()
        for listener in self.listeners:
            listener.wake()

    def _publish(self, event: Event) -> None:
        for listener in self.listeners:
            listener.put(event)


class Subscription:
    """The events of a tag or a ticket, an async iterator."""

    def __init__(self, socket: "Socket", name: str, service: str) -> None:
        self._socket = socket
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._service = service
        self._topic: Topic | None = None
        self._events: collections.deque[Event] = collections.deque()
        self._wake = asyncio.Event()
        self._ended = False

    async def __aenter__(self) -> "Subscription":
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Event:
        topic = await self._start()
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            if topic.error:
                self._check(topic)
                raise StopAsyncIteration  # the socket was closed
            self._wake.clear()
            await self._wake.wait()
        event = self._events.popleft()
        if not self._service and is_last(event.data):
            await self.aclose()
        return event

    async def aclose(self) -> None:
        """End the subscription."""
        self._ended = True
        self._events.clear()
        self._wake.set()
        if self._topic:
            self._topic.listeners.discard(self)
            self._socket.leave(self._topic)

    def __del__(self) -> None:
        if self._topic and not self._ended and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._socket.leave, self._topic)

    def put(self, event: Event) -> None:
        """Add an event. If too many wait, they become one that says so."""
        if len(self._events) >= _MAX_EVENTS:
            self._events.clear()
            event = Event(event.name, event.service, event.at, event.data, event.progress, recovered=False)
        self._events.append(event)
        self._wake.set()

    def wake(self) -> None:
        """Let the reader see that the topic has failed."""
        self._wake.set()

    async def _start(self) -> Topic:
        if self._topic is None:
            self._topic = self._socket.join(self._name, self._service)
            self._topic.listeners.add(self)
            await self._topic.ready.wait()
            self._check(self._topic)
        return self._topic

    def _check(self, topic: Topic) -> None:
        error = topic.error
        if error and error.code != "CLOSED":
            raise MailroomError(error.code, error.status, error.message, error.details)
