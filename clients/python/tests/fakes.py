"""A fake host of `mailroom serve` and a fake gateway."""

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator
from typing import Any
from unittest import mock

from websockets.asyncio.server import ServerConnection, serve

from mailroom import Service, serve_async

WAIT = 10  # seconds after which a test gives up


async def soon(awaitable: Any) -> Any:
    """Return a result that has to come soon."""
    return await asyncio.wait_for(awaitable, WAIT)


class Host:
    """The other end of a worker's unix socket."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.serve: dict[str, Any] = {}
        self.worker: asyncio.Task[None]
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    @classmethod
    @contextlib.asynccontextmanager
    async def start(cls, service: Service, **options: Any) -> AsyncIterator["Host"]:
        """Start a worker with a service, and yield its host after the frame `serve`."""
        host = cls()
        connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            host.reader, host.writer = reader, writer
            connected.set_result(None)

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "socket")
            server = await asyncio.start_unix_server(accept, path, limit=8 << 20)
            with mock.patch.dict(os.environ, {"MAILROOM_SOCKET": path}):
                host.worker = asyncio.create_task(serve_async(service, stop=host.stop, **options))
                await soon(connected)
                host.serve = await host.read()
                host.send({"serving": service.name, "worker": f"{service.name}.x"})
                try:
                    yield host
                finally:
                    host.send({"drain": True})
                    host.writer.close()
                    await soon(asyncio.wait([host.worker]))
                    server.close()
        if not host.worker.cancelled() and (error := host.worker.exception()):
            raise error

    def send(self, *frames: dict[str, Any]) -> None:
        self.writer.write(b"".join(json.dumps(frame, ensure_ascii=False).encode() + b"\n" for frame in frames))

    def run(self, name: str, action: str, *args: Any, **members: Any) -> None:
        self.send(
            {
                "run": name,
                "action": action,
                "args": args,
                "deadline": 10_000,
                "attempt": 1,
                "id": f"id-{name}",
                **members,
            }
        )

    async def read(self) -> dict[str, Any]:
        """Return the next frame of the worker. {}: the connection has ended."""
        line = await soon(self.reader.readline())
        return json.loads(line) if line else {}

    async def read_all(self, count: int) -> dict[str, dict[str, Any]]:
        """Return the next frames of the worker, by their runs."""
        return {frame["run"]: frame for frame in [await self.read() for _ in range(count)]}


class Peer:
    """A connection that the fake gateway has accepted, after `auth`."""

    def __init__(self, connection: ServerConnection, token: str | None) -> None:
        self.connection = connection
        self.token = token

    async def send(self, *frames: dict[str, Any]) -> None:
        for frame in frames:
            await self.connection.send(json.dumps(frame))

    async def read(self) -> dict[str, Any]:
        """Return the next frame of the client."""
        frame: dict[str, Any] = json.loads(await soon(self.connection.recv()))
        return frame

    async def bye(self, code: int, reason: str, **members: Any) -> None:
        await self.send({"bye": {"reason": reason, **members}})
        await self.connection.close(code)

    def abort(self) -> None:
        """Cut the connection."""
        self.connection.transport.abort()


class Gateway:
    """A fake gateway: a test speaks for it, connection by connection."""

    def __init__(self) -> None:
        self.peers: asyncio.Queue[Peer] = asyncio.Queue()
        self.hello: dict[str, Any] = {"session": "s", "ping": 25000, "inflight": 64, "max": 1 << 20}
        self.url = ""
        self.accepted = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def start(cls) -> AsyncIterator["Gateway"]:
        gateway = cls()
        async with serve(gateway._accept, "127.0.0.1", 0, subprotocols=["mailroom.v1"], max_size=None) as server:  # type: ignore[list-item]
            port = server.sockets[0].getsockname()[1]
            gateway.url = f"http://127.0.0.1:{port}"
            yield gateway

    async def peer(self) -> Peer:
        """Return the next connection."""
        peer: Peer = await soon(self.peers.get())
        return peer

    async def _accept(self, connection: ServerConnection) -> None:
        assert connection.request and connection.request.path == "/socket", connection.request
        assert connection.subprotocol == "mailroom.v1"
        peer = Peer(connection, (await Peer(connection, None).read())["auth"])
        self.accepted += 1
        if peer.token == "bad":
            await peer.bye(4401, "unauthenticated", message="the API key is not known")
            return
        await peer.send({"hello": self.hello})
        self.peers.put_nowait(peer)
        await connection.wait_closed()
