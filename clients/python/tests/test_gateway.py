"""A worker that serves over the WebSocket of a gateway."""

import asyncio
import os
import unittest
from typing import Any
from unittest import mock

from mailroom import MailroomError, Service, serve, serve_async
from mailroom.channel import Backoff, socket_url

from .fakes import Gateway, Peer, soon


class GatewayWorkerTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.gateway = await self.enterAsyncContext(Gateway.start())
        self.stop = asyncio.Event()
        self.enterContext(mock.patch.object(Backoff, "pause", return_value=0))
        self.enterContext(mock.patch.dict(os.environ, {"MAILROOM_URL": self.gateway.url, "MAILROOM_TOKEN": "mk_1"}))
        self.service = Service("demo")
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()

        @self.service.action()
        async def echo(value: Any) -> Any:
            return value

        @self.service.action()
        async def sleep() -> None:
            self.started.set()
            try:
                await asyncio.sleep(3600)
            finally:
                self.cancelled.set()

    def start(self, **options: Any) -> "asyncio.Task[None]":
        task = asyncio.create_task(serve_async(self.service, stop=self.stop, **{"drain": 0, **options}))
        self.addAsyncCleanup(self.end, task)
        return task

    async def end(self, task: "asyncio.Task[None]") -> None:
        self.stop.set()
        await soon(asyncio.wait([task]))

    async def serving(self) -> Peer:
        peer = await self.gateway.peer()
        self.assertEqual((await peer.read())["serve"]["service"], "demo")
        await peer.send({"serving": "demo", "worker": "demo.x"})
        return peer

    async def test_serve_and_stop(self) -> None:
        task = self.start(drain=10)
        peer = await self.serving()
        self.assertEqual(peer.token, "mk_1")
        await peer.send({"run": "1", "action": "ECHO", "args": ["Зоя"], "deadline": 1000})
        self.assertEqual(await peer.read(), {"run": "1", "ok": True, "result": "Зоя"})
        self.stop.set()
        self.assertEqual(await peer.read(), {"drain": True})
        await peer.send({"drain": True})
        await soon(task)

    async def test_reconnect(self) -> None:
        self.start(concurrency=2)
        peer = await self.serving()
        await peer.send({"run": "1", "action": "SLEEP", "deadline": 1000})
        await soon(self.started.wait())
        with self.assertLogs("mailroom", "WARNING"):
            peer.abort()
            peer = await self.serving()
        await soon(self.cancelled.wait())
        with self.assertLogs("mailroom", "WARNING"):
            await peer.bye(1001, "drain", retry=5)
            peer = await self.serving()
        await peer.send({"run": "1", "action": "ECHO", "args": [1], "deadline": 1000})
        self.assertEqual(await peer.read(), {"run": "1", "ok": True, "result": 1})

    async def test_a_result_over_the_limit_of_the_gateway(self) -> None:
        self.gateway.hello["max"] = 1000
        self.start()
        peer = await self.serving()
        with self.assertLogs("mailroom", "ERROR") as logs:
            await peer.send({"run": "1", "action": "ECHO", "args": ["x" * 1000], "deadline": 1000})
            self.assertEqual((await peer.read())["error"]["code"], "INTERNAL")
        self.assertIn("at most 1000 are allowed", logs.output[0])

    async def test_final_refusals(self) -> None:
        with self.assertRaisesRegex(MailroomError, "UNAUTHENTICATED: the API key is not known"):
            await soon(serve_async(self.service, token="bad"))
        for code, reason, name in [(4403, "forbidden", "FORBIDDEN"), (4400, "invalid", "BAD_REQUEST")]:
            task = asyncio.create_task(serve_async(self.service))
            peer = await self.serving()
            await peer.bye(code, reason, message="why")
            with self.assertRaisesRegex(MailroomError, f"{name}: why"):
                await soon(task)
        self.assertEqual(self.gateway.accepted, 3)

    async def test_a_gateway_that_is_not_there_yet(self) -> None:
        paused = asyncio.Event()

        def pause(*_: object) -> int:
            paused.set()
            return 0

        with mock.patch.object(Backoff, "pause", pause), self.assertLogs("mailroom", "WARNING") as logs:
            task = self.start(url="http://127.0.0.1:9")
            await soon(paused.wait())
            self.stop.set()
            await soon(task)
        self.assertIn("no connection to ws://127.0.0.1:9/socket", logs.output[0])


class AddressTest(unittest.IsolatedAsyncioTestCase):
    async def test_helpful_errors(self) -> None:
        service = Service("demo")
        with mock.patch.dict(os.environ, clear=True):
            with self.assertRaisesRegex(ValueError, "mailroom serve -- CMD.*\n.*MAILROOM_URL.*serve:demo"):
                await serve_async(service)
            with self.assertRaisesRegex(ValueError, "has no actions"):
                await serve_async(service, "http://127.0.0.1:9")
            service.action()(self.test_urls)
            with self.assertRaisesRegex(ValueError, "want http://, https://, ws:// or wss://"):
                await serve_async(service, "redis://127.0.0.1")
            with mock.patch.dict(os.environ, MAILROOM_SOCKET="/nowhere"):
                with self.assertRaisesRegex(OSError, "no connection to the socket /nowhere of MAILROOM_SOCKET"):
                    await serve_async(service)

    @mock.patch("mailroom.serving._log_to_stderr", mock.Mock())
    def test_serve_ends_the_program(self) -> None:
        with mock.patch.dict(os.environ, clear=True), self.assertRaisesRegex(SystemExit, "^mailroom: no Mailroom"):
            serve(Service("demo"))

    def test_urls(self) -> None:
        for url, want in [
            ("http://a", "ws://a/socket"),
            ("https://a:8/", "wss://a:8/socket"),
            ("ws://a/socket", "ws://a/socket"),
            ("wss://a/api", "wss://a/api/socket"),
        ]:
            self.assertEqual(socket_url(url), want)

    def test_backoff(self) -> None:
        backoff = Backoff(1, 4)
        for longest in (1, 2, 4, 4):
            self.assertTrue(longest / 2 <= backoff.pause() <= longest)
        self.assertTrue(60 <= backoff.pause(60) <= 90)
        backoff.reset()
        self.assertLessEqual(backoff.pause(), 1)
