"""The client half: requests and subscriptions over a WebSocket."""

import asyncio
import os
import unittest
from typing import Any
from unittest import mock

from mailroom import MailroomError, NotFound, Socket, connect
from mailroom.channel import Backoff

from .fakes import Gateway, Peer, soon


class SocketTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.gateway = await self.enterAsyncContext(Gateway.start())
        self.enterContext(mock.patch.object(Backoff, "pause", return_value=0))

    async def connect(self, **options: Any) -> tuple[Socket, Peer]:
        socket = await self.enterAsyncContext(connect(self.gateway.url, **options))
        return socket, await self.gateway.peer()


class ClientTest(SocketTest):
    async def test_requests_are_answered_in_any_order(self) -> None:
        self.gateway.hello["principal"] = "key:a"
        socket, peer = await self.connect(token="mk_1")
        self.assertEqual((peer.token, socket.principal), ("mk_1", "key:a"))
        first = asyncio.create_task(socket.request("users", "GET_USER", 1, safe=True))
        frame = await peer.read()
        self.assertEqual(frame, {"id": frame["id"], "service": "users", "request": "GET_USER", "args": [1]})
        second = asyncio.create_task(
            socket.request("users", "UPDATE_USER", 1, {"name": "Зоя"}, key="k", timeout=5, version="v2")
        )
        frame2 = await peer.read()
        self.assertTrue(4000 <= frame2.pop("timeout") <= 5000)
        want = {"service": "users", "request": "UPDATE_USER", "args": [1, {"name": "Зоя"}], "key": "k", "version": "v2"}
        self.assertEqual(frame2, {"id": frame2["id"], **want})
        await peer.send({"id": frame2["id"], "ok": True, "result": 2}, {"id": 99, "ok": True}, {"new": 1})
        self.assertEqual(await soon(second), 2)
        await peer.send({"id": frame["id"], "ok": True, "result": {"id": 1}})
        self.assertEqual(await soon(first), {"id": 1})

    async def test_failures(self) -> None:
        socket, peer = await self.connect(retries=0)
        for error, kind in [
            ({"code": "NOT_FOUND", "status": 404, "message": "no user 1", "details": [1]}, NotFound),
            ({"code": "USER_GONE", "status": 404}, MailroomError),
            ({"code": "TIMEOUT", "status": 504, "message": "too late"}, MailroomError),
        ]:
            request = asyncio.create_task(socket.request("users", "GET_USER", 1))
            frame = await peer.read()
            await peer.send({"id": frame["id"], "ok": False, "error": error, "ticket": "users.1", "retry_after": 1500})
            with self.assertRaises(MailroomError) as raised:
                await soon(request)
            failure = raised.exception
            self.assertIs(type(failure), kind)
            self.assertEqual(failure.frame(), error)
            self.assertEqual((failure.ticket, failure.retry_after), ("users.1", 1.5))
        with self.assertRaises(TypeError):
            await socket.request("users", "GET_USER", object())

    async def test_progress_and_tickets(self) -> None:
        socket, peer = await self.connect()
        progress: list[Any] = []
        request = asyncio.create_task(socket.request("users", "EXPORT", on_progress=progress.append))
        frame = await peer.read()
        self.assertIs(frame["progress"], True)
        await peer.send({"id": frame["id"], "progress": 1}, {"id": frame["id"], "progress": {"two": 2}})
        await peer.send({"id": frame["id"], "ok": True})
        self.assertIsNone(await soon(request))
        self.assertEqual(progress, [1, {"two": 2}])
        sending = asyncio.create_task(socket.send("users", "EXPORT"))
        frame = await peer.read()
        self.assertTrue(frame["async"] and frame["key"])
        await peer.send({"id": frame["id"], "ok": True, "ticket": "users.0190", "status": 202})
        self.assertEqual(await soon(sending), "users.0190")
        sending = asyncio.create_task(socket.send("users", "GET_USER", 1))
        await peer.send({"id": (await peer.read())["id"], "ok": True, "result": {}})
        with self.assertRaisesRegex(ValueError, "is safe, and has no ticket"):
            await soon(sending)

    async def test_retries_under_the_same_key(self) -> None:
        socket, peer = await self.connect(retries=1)
        request = asyncio.create_task(socket.request("users", "UPDATE_USER", 1))
        busy = {"ok": False, "error": {"code": "UNAVAILABLE", "status": 503}}
        first = await peer.read()
        await peer.send({"id": first["id"], **busy})
        second = await peer.read()
        self.assertEqual(second, first | {"id": second["id"]})
        self.assertNotEqual(second["id"], first["id"])
        await peer.send({"id": second["id"], **busy})
        with self.assertRaisesRegex(MailroomError, "UNAVAILABLE"):
            await soon(request)

    async def test_unanswered_requests_are_sent_again_under_the_same_keys(self) -> None:
        socket, peer = await self.connect()
        requests = [asyncio.create_task(socket.request("users", "UPDATE_USER", n)) for n in range(3)]
        frames = [await peer.read() for _ in range(3)]
        self.assertEqual(len({frame["key"] for frame in frames}), 3)
        await peer.send({"id": frames[1]["id"], "ok": True, "result": 1})
        await soon(requests[1])
        peer.abort()
        peer = await self.gateway.peer()
        self.assertEqual([await peer.read() for _ in range(2)], [frames[0], frames[2]])
        await peer.bye(1001, "drain", retry=10)
        peer = await self.gateway.peer()
        for frame in [await peer.read() for _ in range(2)]:
            await peer.send({"id": frame["id"], "ok": True, "result": frame["args"]})
        self.assertEqual(await soon(asyncio.gather(*requests)), [[0], 1, [2]])

    async def test_no_more_than_the_gateway_allows_are_in_flight(self) -> None:
        self.gateway.hello["inflight"] = 100
        socket, peer = await self.connect()
        requests = [asyncio.create_task(socket.request("users", "GET_USER", n, safe=True)) for n in range(1000)]
        in_flight = [await peer.read() for _ in range(100)]
        self.assertEqual(socket.waiting, 900)
        for _ in range(900):
            frame = in_flight.pop()
            await peer.send({"id": frame["id"], "ok": True, "result": frame["args"][0]})
            in_flight.append(await peer.read())
        for frame in in_flight:
            await peer.send({"id": frame["id"], "ok": True, "result": frame["args"][0]})
        self.assertEqual(await soon(asyncio.gather(*requests)), list(range(1000)))

    async def test_a_cancelled_task_cancels_its_request(self) -> None:
        self.gateway.hello["inflight"] = 1
        socket, peer = await self.connect()
        sent = asyncio.create_task(socket.request("users", "EXPORT"))
        frame = await peer.read()
        waiting = asyncio.create_task(socket.request("users", "EXPORT"))
        await asyncio.sleep(0)
        for task in (waiting, sent):
            task.cancel()
            await asyncio.wait([task])
        self.assertEqual(await peer.read(), {"id": frame["id"], "cancel": True})
        error = {"code": "CONFLICT", "status": 409, "details": {"state": "cancelled"}}
        await peer.send({"id": frame["id"], "ok": False, "error": error})
        after = asyncio.create_task(socket.request("users", "GET_USER", 1))
        frame = await peer.read()
        self.assertEqual(frame["request"], "GET_USER")
        await peer.send({"id": frame["id"], "ok": True})
        await soon(after)

    async def test_timeout(self) -> None:
        socket, peer = await self.connect()
        with mock.patch("mailroom.client._GRACE", 0), self.assertRaisesRegex(MailroomError, "TIMEOUT"):
            await socket.request("users", "EXPORT", timeout=0.01)
        frame = await peer.read()
        self.assertEqual(await peer.read(), {"id": frame["id"], "cancel": True})

    async def test_a_request_over_the_limit_of_the_gateway(self) -> None:
        self.gateway.hello["max"] = 1000
        socket, _ = await self.connect()
        with self.assertRaisesRegex(MailroomError, "PAYLOAD_TOO_LARGE: .*at most 1000"):
            await soon(socket.request("users", "SAVE", "x" * 1000))

    async def test_no_attempt_after_a_refusal(self) -> None:
        with self.assertRaisesRegex(MailroomError, "UNAUTHENTICATED: the API key is not known"):
            await soon(connect(self.gateway.url, token="bad"))
        for code, reason, name in [(4401, "unauthenticated", "UNAUTHENTICATED"), (4400, "invalid", "BAD_REQUEST")]:
            socket, peer = await self.connect(token="expires")
            request = asyncio.create_task(socket.request("users", "GET_USER", 1))
            events = socket.subscribe("user:1", service="users")
            event = asyncio.create_task(events.__anext__())
            await peer.read()
            await peer.read()
            await peer.bye(code, reason)
            for task in (request, event):
                with self.assertRaisesRegex(MailroomError, name):
                    await soon(task)
            with self.assertRaisesRegex(MailroomError, name):
                await soon(socket.request("users", "GET_USER", 1))
        self.assertEqual(self.gateway.accepted, 3)

    async def test_close(self) -> None:
        socket, peer = await self.connect()
        request = asyncio.create_task(socket.request("users", "GET_USER", 1))
        await peer.read()
        await soon(socket.close())
        with self.assertRaisesRegex(MailroomError, "CLOSED"):
            await soon(request)
        with self.assertRaisesRegex(MailroomError, "CLOSED"):
            await socket.request("users", "GET_USER", 1)

    async def test_helpful_errors(self) -> None:
        with mock.patch.dict(os.environ, clear=True), self.assertRaisesRegex(ValueError, "set MAILROOM_URL"):
            connect()
        with self.assertRaisesRegex(ConnectionError, "no connection to ws://127.0.0.1:9/socket"):
            await soon(connect("http://127.0.0.1:9"))


class SubscriptionTest(SocketTest):
    async def test_events(self) -> None:
        socket, peer = await self.connect()
        async with asyncio.TaskGroup() as group:
            entered = group.create_task(self.enter(socket))
            frame = await peer.read()
            self.assertEqual(frame, {"id": frame["id"], "subscribe": "user:1", "service": "users"})
            await peer.send({"id": frame["id"], "ok": True, "at": "1", "recovered": True})
        first, second = entered.result()
        await peer.send({"event": "user:1", "service": "users", "at": "2"}, {"event": "user:2", "service": "users"})
        for events in (first, second):
            event = await soon(events.__anext__())
            self.assertEqual((event.name, event.service, event.at, event.recovered), ("user:1", "users", "2", True))
        await first.aclose()
        with self.assertRaises(StopAsyncIteration):
            await first.__anext__()
        del events, second, entered, group  # nothing else refers to the subscription
        self.assertEqual(await peer.read(), {"id": frame["id"], "unsubscribe": True})

    async def enter(self, socket: Socket) -> tuple[Any, Any]:
        first, second = (socket.subscribe("user:1", service="users") for _ in range(2))
        await asyncio.gather(first.__aenter__(), second.__aenter__())
        return first, second

    async def test_recovery(self) -> None:
        socket, peer = await self.connect()
        events = socket.subscribe("user:1", service="users")
        for at, recovered in [("5", None), ("7", True), ("9", False)]:
            reading = asyncio.create_task(events.__anext__())
            frame = await peer.read()
            self.assertEqual(frame.get("after"), None if recovered is None else str(int(at) - 1))
            await peer.send({"id": frame["id"], "ok": True, "at": at, "recovered": bool(recovered)})
            if recovered is False:
                event = await soon(reading)
                self.assertEqual((event.recovered, event.at), (False, "9"))
                reading = asyncio.create_task(events.__anext__())
            await peer.send({"event": "user:1", "service": "users", "at": str(int(at) + 1)})
            event = await soon(reading)
            self.assertEqual((event.recovered, event.at), (True, str(int(at) + 1)))
            peer.abort()
            peer = await self.gateway.peer()

    async def test_a_subscription_is_tried_again_after_a_new_connection(self) -> None:
        socket, peer = await self.connect()
        events = socket.subscribe("user:1", service="users")
        reading = asyncio.create_task(events.__anext__())
        frame = await peer.read()
        await peer.send({"id": frame["id"], "ok": True, "at": "4"})
        peer.abort()
        peer = await self.gateway.peer()
        for status in (503, 504, 500, 429):
            self.assertEqual((frame := await peer.read())["after"], "4")
            await peer.send({"id": frame["id"], "ok": False, "error": {"code": "OTHER", "status": status}})
        self.assertEqual((await peer.read())["id"], frame["id"])
        peer.abort()  # it is subscribed once on the next connection
        peer = await self.gateway.peer()
        await peer.send({"id": (await peer.read())["id"], "ok": True, "at": "4", "recovered": True})
        await peer.send({"event": "user:1", "service": "users", "at": "5"})
        self.assertEqual((await soon(reading)).at, "5")
        request = asyncio.create_task(socket.request("users", "GET_USER", 1))
        self.assertEqual((frame := await peer.read())["request"], "GET_USER")
        await peer.send({"id": frame["id"], "ok": True})
        await soon(request)

    async def test_a_subscription_that_is_tried_again_may_be_left(self) -> None:
        socket, peer = await self.connect()
        events = socket.subscribe("user:1", service="users")
        entered = asyncio.create_task(events.__aenter__())
        await peer.send({"id": (await peer.read())["id"], "ok": True})
        await soon(entered)
        peer.abort()
        peer = await self.gateway.peer()
        with mock.patch.object(Backoff, "pause", return_value=3600):
            frame = await peer.read()
            await peer.send({"id": frame["id"], "ok": False, "error": {"code": "UNAVAILABLE", "status": 503}})
            await peer.send({"event": "other", "at": "1"})
            request = asyncio.create_task(socket.request("users", "GET_USER", 1))
            await peer.send({"id": (await peer.read())["id"], "ok": True})
            await soon(request)
        await events.aclose()
        self.assertEqual(await peer.read(), {"id": frame["id"], "unsubscribe": True})

    async def test_a_subscription_ends_by_an_error_that_stays(self) -> None:
        for status in (400, 401, 403, 404):
            socket, peer = await self.connect()
            events = socket.subscribe("users.0190")
            reading = asyncio.create_task(events.__anext__())
            await peer.send({"id": (await peer.read())["id"], "ok": True})
            peer.abort()
            peer = await self.gateway.peer()
            frame = await peer.read()
            await peer.send({"id": frame["id"], "ok": False, "error": {"code": "STAYS", "status": status}})
            with self.assertRaisesRegex(MailroomError, "STAYS"):
                await soon(reading)

    async def test_a_slow_reader_learns_that_it_has_missed_events(self) -> None:
        socket, peer = await self.connect()
        events = socket.subscribe("user:1", service="users")
        entered = asyncio.create_task(events.__aenter__())
        frame = await peer.read()
        await peer.send({"id": frame["id"], "ok": True, "at": "0"})
        await soon(entered)
        with mock.patch("mailroom.subscription._MAX_EVENTS", 3):
            await peer.send(*({"event": "user:1", "service": "users", "at": str(n)} for n in range(4)))
            request = asyncio.create_task(socket.request("users", "GET_USER", 1))
            await peer.send({"id": (await peer.read())["id"], "ok": True})
            await soon(request)
        event = await soon(events.__anext__())
        self.assertEqual((event.at, event.recovered), ("3", False))

    async def test_a_ticket_ends_with_its_last_state(self) -> None:
        socket, peer = await self.connect()
        states: list[str] = []

        async def read() -> None:
            async for event in socket.subscribe("users.0190"):
                states.append(event.data["state"] if event.data else event.progress)

        reading = asyncio.create_task(read())
        frame = await peer.read()
        self.assertEqual(frame, {"id": frame["id"], "subscribe": "users.0190"})
        await peer.send({"id": frame["id"], "ok": True, "recovered": True})
        await peer.send({"event": "users.0190", "data": {"state": "running"}}, {"event": "users.0190", "progress": 3})
        await peer.send({"event": "users.0190", "data": {"state": "done"}})
        await soon(reading)
        self.assertEqual(states, ["running", 3, "done"])
        request = asyncio.create_task(socket.request("users", "GET_USER", 1))
        frame = await peer.read()  # there is no unsubscribe before it
        self.assertEqual(frame["request"], "GET_USER")
        await peer.send({"id": frame["id"], "ok": True})
        await soon(request)

    async def test_pauses_grow_while_the_client_is_too_much_for_the_gateway(self) -> None:
        with mock.patch.object(Backoff, "reset") as reset:
            _, peer = await self.connect()
            for code, reason, resets in [(4408, "slow", 0), (4409, "flood", 0), (1013, "unavailable", 1), (1006, "", 2)]:
                await peer.bye(code, reason) if reason else peer.abort()
                peer = await self.gateway.peer()
                self.assertEqual(reset.call_count, resets, reason)

    async def test_a_refused_subscription(self) -> None:
        socket, peer = await self.connect()
        entered = asyncio.create_task(socket.subscribe("user:1", service="users").__aenter__())
        frame = await peer.read()
        await peer.send({"id": frame["id"], "ok": False, "error": {"code": "FORBIDDEN", "status": 403}})
        with self.assertRaisesRegex(MailroomError, "FORBIDDEN"):
            await soon(entered)
        again = asyncio.create_task(socket.subscribe("user:1", service="users").__aenter__())
        self.assertNotEqual((await peer.read())["id"], frame["id"])
        await soon(socket.close())
        await soon(again)


if __name__ == "__main__":
    unittest.main()
