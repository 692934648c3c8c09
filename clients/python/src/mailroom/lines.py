"""Frames as lines on a stream."""

import asyncio
from collections.abc import Callable
from typing import cast

LIMIT = 5 << 20  # the size of the longest line, in bytes, with its end


class Lines(asyncio.Protocol):
    """A connection that exchanges lines.

    receive: gets each line, without its end.
    closed: its result is set when the connection has ended.
    """

    def __init__(self, receive: Callable[[str | bytes], None]) -> None:
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._rest: list[bytes] = []  # the begin of a line
        self._size = 0
        self._out: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        end = data.rfind(b"\n")
        if end < 0:
            self._keep(data)
            return
        if self._rest:
            whole = b"".join(self._rest) + data[:end]
            self._rest.clear()
        else:
            whole = data[:end]
        self._size = 0
        for line in whole.split(b"\n"):
            self._receive(line)
        if end + 1 < len(data):
            self._keep(data[end + 1 :])

    def send(self, line: bytes) -> None:
        """Send a line. All lines of one round of the loop are one write."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(line)

    def close(self) -> None:
        """Send what is waiting, and close the connection."""
        self._flush()
        if self._transport:
            self._transport.close()

    def _keep(self, data: bytes) -> None:
        self._rest.append(data)
        self._size += len(data)
        if self._size > LIMIT and self._transport:
            self._transport.abort()

    def _flush(self) -> None:
        if self._out and self._transport and not self._transport.is_closing():
            self._out.append(b"")
            self._transport.write(b"\n".join(self._out))
        self._out.clear()
