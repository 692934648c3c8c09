"""Channel is an authenticated WebSocket to a gateway."""

import asyncio
import contextlib
import random
import urllib.parse
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from . import codec
from .errors import MailroomError

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

LIMIT = 1 << 20  # the size of the largest message that a gateway accepts, unless it says otherwise
_OPEN_TIMEOUT = 10.0
# After these close codes the same attempt fails again.
_FINAL = {4400: ("BAD_REQUEST", 400), 4401: ("UNAUTHENTICATED", 401), 4403: ("FORBIDDEN", 403)}
_CODES = {"invalid": 4400, "unauthenticated": 4401, "forbidden": 4403, "slow": 4408, "flood": 4409}


class Closed(Exception):
    """The connection could not be opened, or has ended.

    final: the error, if there is no use in another attempt.
    retry: the time in seconds after which to connect again; None: the client chooses.
    proven: the gateway can be used: the next pause is a short one.
    """

    def __init__(
        self, message: str, final: MailroomError | None = None, retry: float | None = None, proven: bool = False
    ) -> None:
        super().__init__(message)
        self.final = final
        self.retry = retry
        self.proven = proven


class Channel:
    """An open connection. `hello` is the greeting of the gateway."""

    def __init__(self, connection: "ClientConnection") -> None:
        self.hello: dict[str, Any] = {}
        self.bye: dict[str, Any] = {}
        self._connection = connection
        self._out: list[bytes] = []
        self._wake = asyncio.Event()
        self._writer = asyncio.create_task(self._write())

    @classmethod
    async def open(cls, url: str, token: str | None) -> "Channel":
        """Connect and authenticate. Raises Closed."""
        import websockets  # here, since services under `mailroom serve` do without
        from websockets.asyncio.client import connect

        address = socket_url(url)
        try:
            connection = await connect(
                address,
                subprotocols=[websockets.Subprotocol("mailroom.v1")],
                compression=None,
                max_size=None,
                open_timeout=_OPEN_TIMEOUT,
            )
        except websockets.InvalidStatus as error:
            raise _refused(address, error.response.status_code) from error
        except (OSError, TimeoutError, websockets.InvalidHandshake, EOFError) as error:
            raise Closed(f"no connection to {address}: {str(error) or type(error).__name__}") from error
        channel = cls(connection)
        try:
            channel.send(codec.encode({"auth": token}))
            async with asyncio.timeout(_OPEN_TIMEOUT):
                async for frame in channel.frames():
                    if "hello" in frame:
                        channel.hello = frame["hello"]
                        return channel
            raise AssertionError("frames ends by Closed")
        except TimeoutError:
            await channel.close()
            raise Closed(f"no hello from {address} within {_OPEN_TIMEOUT:g} s") from None
        except BaseException:
            await channel.close()
            raise

    @property
    def limit(self) -> int:
        """The size of the largest message that the gateway accepts, in bytes."""
        return int(self.hello.get("max", LIMIT))

    def send(self, text: bytes) -> None:
        """Send a frame."""
        self._out.append(text)
        self._wake.set()

    async def frames(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the frames of the gateway. Ends by raising Closed."""
        import websockets

        while True:
            try:
                text = await self._connection.recv()
            except websockets.ConnectionClosed:
                raise self._closed() from None
            if (frame := codec.decode_frame(text)) is not None:
                self.bye = frame.get("bye", self.bye)
                yield frame

    async def close(self) -> None:
        """Send what is waiting, and close the connection."""
        import websockets

        self._writer.cancel()
        with contextlib.suppress(websockets.ConnectionClosed):
            await self._send_all()
        await self._connection.close()

    async def _write(self) -> None:
        import websockets

        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._send_all()

    async def _send_all(self) -> None:
        batch, self._out = self._out, []
        for text in batch:
            await self._connection.send(text, text=True)

    def _closed(self) -> Closed:
        code = self._connection.close_code or 1006
        code = _CODES.get(self.bye.get("reason", ""), code)
        message = self.bye.get("message") or self._connection.close_reason or ""
        if code in _FINAL:
            name, status = _FINAL[code]
            return Closed(message, final=MailroomError(name, status, message or "the gateway refused the connection"))
        retry = self.bye.get("retry")
        text = f"the connection has ended ({code}) {message}".rstrip()
        return Closed(text, retry=retry and retry / 1000, proven=bool(self.hello) and code not in (4408, 4409))


class Backoff:
    """The time between two attempts to connect: it doubles, and is random."""

    def __init__(self, first: float = 0.1, longest: float = 10.0) -> None:
        self._first, self._longest, self._next = first, longest, first

    def reset(self) -> None:
        """Start again with the shortest time."""
        self._next = self._first

    def pause(self, at_least: float | None = None) -> float:
        """Return the time before the next attempt, in seconds."""
        pause = random.uniform(self._next / 2, self._next)
        self._next = min(self._next * 2, self._longest)
        return max(pause, (at_least or 0) * random.uniform(1, 1.5))


def socket_url(url: str) -> str:
    """Return the WebSocket URL of a gateway. Raises ValueError."""
    parts = urllib.parse.urlsplit(url)
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise ValueError(f"{url!r} is no URL of a gateway: want http://, https://, ws:// or wss:// and a host")
    path = parts.path.rstrip("/")
    if not path.endswith("/socket"):
        path += "/socket"
    return urllib.parse.urlunsplit((scheme, parts.netloc, path, parts.query, ""))


def _refused(address: str, status: int) -> Closed:
    message = f"{address} answered {status} in place of opening a WebSocket"
    if status in (401, 403):
        name = "UNAUTHENTICATED" if status == 401 else "FORBIDDEN"
        return Closed(message, final=MailroomError(name, status, message))
    return Closed(message)
