"""A worker under `mailroom serve`: runs and their final frames."""

import asyncio
import threading
import unittest
from dataclasses import dataclass
from typing import Any

from mailroom import BadRequest, Conflict, MailroomError, NoOutcome, Service

from .fakes import Host, soon


@dataclass
class Pair:
    left: int
    right: int = 2


class Events:
    """What handlers tell the test."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.release = threading.Event()


def service(events: Events) -> Service:
    s = Service("demo", version="1.2.3")
    loop = asyncio.get_running_loop()

    @s.get("/demo/:id")
    async def get(ctx: Any, id: int) -> dict:
        return {"id": id, "request": ctx.id, "caller": ctx.principal and ctx.principal.subject}

    @s.action()
    def sync(value: Any) -> Any:
        return value

    @s.post("/demo")
    async def create(ctx: Any, body: Pair) -> Pair:
        ctx.status(201)
        ctx.location("/demo/7")
        ctx.invalidate("demo:7", "demos")
        return Pair(body.right, body.left)

    @s.action()
    async def fail(ctx: Any, kind: str) -> None:
        ctx.invalidate("demo:1")
        raise {
            "conflict": Conflict("it is taken", {"by": 2}, code="TAKEN"),
            "bad": BadRequest(),
            "outcome": NoOutcome(OSError("no answer")),
            "bug": KeyError("secret"),
            "code": MailroomError("lower", 409),
            "status": MailroomError("FINE", 200),
            "details": MailroomError("FINE", 409, "", object()),
        }[kind]

    @s.action()
    async def result(kind: str) -> Any:
        return {"object": object(), "nan": float("nan"), "surrogate": "\ud800", "large": "x" * (5 << 20)}[kind]

    @s.action()
    async def sleep() -> str:
        events.started.set()
        await asyncio.sleep(3600)
        return "never"

    @s.action()
    async def stubborn() -> str:
        events.started.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return "done all the same"
        return "never"

    @s.action()
    def block(ctx: Any, how: str) -> str:
        loop.call_soon_threadsafe(events.started.set)
        if how == "wait":
            ctx.cancelled.wait()
            ctx.check()
        elif how == "call":
            ctx.call_blocking("items", "GET_ITEM", 1)
        else:
            events.release.wait()
        return "blocked"

    @s.action()
    async def report(ctx: Any) -> str:
        ctx.progress({"percent": 50})
        ctx.extend(5)
        await asyncio.to_thread(ctx.progress, "from a thread")
        assert ctx.remaining() > 4
        return str(await ctx.call("items", "GET_ITEM", 1))

    return s


class WorkerTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.events = Events()
        self.service = service(self.events)

    async def test_the_manifest(self) -> None:
        async with Host.start(self.service, concurrency=3) as host:
            self.assertEqual(host.serve["concurrency"], 3)
            self.assertEqual(host.serve["serve"]["version"], "1.2.3")
            first = host.serve["serve"]["actions"][0]
            self.assertEqual(
                first,
                {
                    "name": "GET", "routes": ["GET /demo/:id"], "safe": True, "result": {"type": "object"},
                    "args": [{"name": "id", "in": "path", "schema": {"type": "integer"}}],
                },
            )  # fmt: skip

    async def test_results(self) -> None:
        async with Host.start(self.service) as host:
            self.assertNotIn("concurrency", host.serve)
            host.run("1", "GET", 7, principal={"subject": "key:a"}, future="ignored")
            self.assertEqual(
                await host.read(), {"run": "1", "ok": True, "result": {"id": 7, "request": "id-1", "caller": "key:a"}}
            )
            host.run("2", "SYNC", {"name": "Зоя"})
            self.assertEqual(await host.read(), {"run": "2", "ok": True, "result": {"name": "Зоя"}})
            host.run("3", "CREATE", {"left": 1})
            self.assertEqual(
                await host.read(),
                {
                    "run": "3", "ok": True, "result": {"left": 2, "right": 1}, "status": 201,
                    "location": "/demo/7", "invalidate": ["demo:7", "demos"],
                },
            )  # fmt: skip

    async def test_failures(self) -> None:
        async with Host.start(self.service) as host:
            host.run("1", "FAIL", "conflict")
            self.assertEqual(
                await host.read(),
                {
                    "run": "1", "ok": False, "invalidate": ["demo:1"],
                    "error": {"code": "TAKEN", "status": 409, "message": "it is taken", "details": {"by": 2}},
                },
            )  # fmt: skip
            host.run("2", "FAIL", "bad")
            self.assertEqual((await host.read())["error"], {"code": "BAD_REQUEST", "status": 400})
            host.run("3", "FAIL", "outcome")
            self.assertEqual(await host.read(), {"run": "3", "retry": True, "reason": "no answer"})
            host.run("4", "GONE")
            self.assertEqual((await host.read())["error"]["status"], 501)
            host.run("5", "SYNC", 1, 2)
            self.assertEqual((await host.read())["error"]["code"], "BAD_REQUEST")

    async def test_unexpected_errors_are_logged_and_hidden(self) -> None:
        async with Host.start(self.service) as host:
            for action, kind, logged in [
                ("FAIL", "bug", "KeyError: 'secret'"),
                ("FAIL", "code", "not upper case"),
                ("FAIL", "status", "not from 400 to 599"),
                ("FAIL", "details", "a object is not JSON"),
                ("RESULT", "object", "a object is not JSON"),
                ("RESULT", "nan", "Out of range float"),
                ("RESULT", "surrogate", "surrogates not allowed"),
                ("RESULT", "large", "at most 5242879 are allowed"),
            ]:
                with self.subTest(kind), self.assertLogs("mailroom", "ERROR") as logs:
                    host.run("1", action, kind)
                    answer = await host.read()
                    error = {"code": "INTERNAL", "status": 500, "message": "the service has failed"}
                    self.assertEqual(answer["error"], error)
                    self.assertIn(logged, logs.output[0])

    async def test_lost_stops_an_async_handler(self) -> None:
        async with Host.start(self.service) as host:
            host.run("1", "SLEEP")
            await soon(self.events.started.wait())
            host.send({"lost": "1", "reason": "cancelled"}, {"lost": "unknown"})
            self.assertEqual(await host.read(), {"run": "1", "stopped": True})
            self.events.started.clear()
            host.run("2", "STUBBORN")
            await soon(self.events.started.wait())
            host.send({"lost": "2", "reason": "deadline"})
            self.assertEqual(await host.read(), {"run": "2", "ok": True, "result": "done all the same"})

    async def test_lost_stops_a_sync_handler(self) -> None:
        async with Host.start(self.service) as host:
            for run, how in [("1", "wait"), ("2", "call")]:
                self.events.started.clear()
                host.run(run, "BLOCK", how)
                await soon(self.events.started.wait())
                if how == "call":
                    self.assertEqual((await host.read())["request"], "GET_ITEM")
                host.send({"lost": run, "reason": "deadline"})
                self.assertEqual(await host.read(), {"run": run, "stopped": True})
            self.events.started.clear()
            host.run("3", "BLOCK", "release")
            await soon(self.events.started.wait())
            host.send({"lost": "3", "reason": "deadline"})
            self.events.release.set()
            self.assertEqual(await host.read(), {"run": "3", "ok": True, "result": "blocked"})

    async def test_progress_extend_and_call(self) -> None:
        async with Host.start(self.service) as host:
            host.run("1", "REPORT")
            self.assertEqual(await host.read(), {"run": "1", "progress": {"percent": 50}})
            self.assertEqual(await host.read(), {"run": "1", "extend": 5000})
            self.assertEqual(await host.read(), {"run": "1", "progress": "from a thread"})
            call = await host.read()
            self.assertEqual(
                call | {"call": ""}, {"call": "", "run": "1", "service": "items", "request": "GET_ITEM", "args": [1]}
            )
            host.send({"call": "unknown", "ok": True}, {"call": call["call"], "ok": True, "result": {"item": 1}})
            self.assertEqual((await host.read())["result"], "{'item': 1}")

            host.run("2", "REPORT")
            call = [await host.read() for _ in range(4)][3]
            error = {"code": "SOLD_OUT", "status": 409, "message": "none left", "service": "items", "action": "GET_ITEM"}
            host.send({"call": call["call"], "ok": False, "error": {**error, "request_id": "r"}})
            self.assertEqual(await host.read(), {"run": "2", "ok": False, "error": error})

    async def test_no_more_calls_are_unanswered_than_allowed(self) -> None:
        many = Service("demo")

        @many.action()
        async def sum_up(ctx: Any, count: int) -> int:
            return sum(await asyncio.gather(*(ctx.call("items", "COUNT", n) for n in range(count))))

        for concurrency, most in [(None, 64), (20, 80)]:
            async with Host.start(many, concurrency=concurrency) as host:
                host.run("1", "SUM_UP", 200)
                calls = [await host.read() for _ in range(most)]
                host.run("2", "GONE")  # its answer is the next frame: there is no call before it
                self.assertEqual((await host.read())["run"], "2")
                for n in range(200):
                    host.send({"call": calls[n]["call"], "ok": True, "result": 1})
                    if len(calls) < 200:
                        calls.append(await host.read())
                self.assertEqual(await host.read(), {"run": "1", "ok": True, "result": 200})

    async def test_a_sync_handler_calls(self) -> None:
        async with Host.start(self.service) as host:
            host.run("1", "BLOCK", "call")
            call = await host.read()
            host.send({"call": call["call"], "ok": True, "result": 1})
            self.assertEqual(await host.read(), {"run": "1", "ok": True, "result": "blocked"})

    async def test_sync_handlers_run_at_the_same_time_up_to_the_limit(self) -> None:
        meeting = threading.Barrier(4)
        counted = Service("demo")

        @counted.action()
        def meet() -> int:
            return meeting.wait(10)

        async with Host.start(counted, concurrency=4) as host:
            for n in range(8):
                host.run(str(n), "MEET")
            answers = await host.read_all(8)
        self.assertEqual(sorted(a["result"] for a in answers.values()), [0, 0, 1, 1, 2, 2, 3, 3])

    async def test_a_handler_that_exits_ends_the_process(self) -> None:
        code = (
            "import sys; from mailroom import Service, serve; s = Service('demo')\n"
            "@s.action()\ndef leave(): sys.exit(3)\n"
            "@s.action()\nasync def go(): sys.exit(4)\n"
            "serve(s)"
        )
        for action, status in [("LEAVE", 3), ("GO", 4)]:
            async with ChildHost(code) as child:
                child.host.run("1", action)
                self.assertEqual(await soon(child.process.wait()), status)


class ChildHost:
    """A worker in a process of its own."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.host = Host()

    async def __aenter__(self) -> "ChildHost":
        import os
        import sys
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        path = os.path.join(self.folder.name, "socket")
        connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.host.reader, self.host.writer = reader, writer
            connected.set_result(None)

        self.server = await asyncio.start_unix_server(accept, path)
        environment = os.environ | {"MAILROOM_SOCKET": path, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", self.code, env=environment, stderr=asyncio.subprocess.PIPE
        )
        await soon(connected)
        self.host.serve = await self.host.read()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.host.writer.close()
        await soon(self.process.communicate())
        self.server.close()
        self.folder.cleanup()


class EndTest(unittest.IsolatedAsyncioTestCase):
    """The end of a worker."""

    async def asyncSetUp(self) -> None:
        self.events = Events()
        self.service = service(self.events)

    async def test_drain_of_the_host(self) -> None:
        async with Host.start(self.service) as host:
            host.run("1", "BLOCK", "release")
            await soon(self.events.started.wait())
            host.send({"drain": True})
            self.events.release.set()
            self.assertTrue((await host.read())["ok"])
            host.writer.close()
            await soon(host.worker)

    async def test_stop_asks_for_no_more_runs_and_finishes_those_that_came(self) -> None:
        async with Host.start(self.service) as host:
            host.run("1", "BLOCK", "release")
            await soon(self.events.started.wait())
            host.stop.set()
            self.assertEqual(await host.read(), {"drain": True})
            host.run("2", "SYNC", 2)  # was on its way
            self.assertEqual((await host.read())["run"], "2")
            self.events.release.set()
            self.assertEqual((await host.read())["run"], "1")
            host.run("3", "SYNC", 3)  # was on its way too: the worker waits for the answer
            self.assertEqual((await host.read())["run"], "3")
            host.send({"drain": True})
            self.assertEqual(await host.read(), {})
            await soon(host.worker)

    async def test_stop_waits_for_the_drain_limit_at_most(self) -> None:
        async with Host.start(self.service, drain=0.01) as host:
            host.run("1", "BLOCK", "wait")
            await soon(self.events.started.wait())
            host.stop.set()
            await soon(host.worker)

    async def test_end_of_file_gives_up_the_runs(self) -> None:
        async with Host.start(self.service) as host:
            host.run("1", "SLEEP")
            host.run("2", "BLOCK", "wait")
            await soon(self.events.started.wait())
            with self.assertLogs("mailroom", "WARNING") as logs:
                host.writer.close()
                await soon(host.worker)
            self.assertIn("has ended", logs.output[-1])

    async def test_bye_is_an_error(self) -> None:
        with self.assertRaisesRegex(MailroomError, "invalid: the action GET has no name"):
            async with Host.start(self.service) as host:
                host.send({"bye": {"reason": "invalid", "message": "the action GET has no name"}})

    async def test_signals_and_the_end_of_the_connection_end_a_process(self) -> None:
        import signal

        code = (
            "import time; from mailroom import Service, serve; s = Service('demo')\n"
            "@s.action()\ndef block(ctx, value):\n  ctx.progress('started')\n  time.sleep(value)\n"
            "serve(s)"
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            async with ChildHost(code) as child:
                child.host.run("1", "BLOCK", 0.3)
                self.assertEqual(await child.host.read(), {"run": "1", "progress": "started"})
                child.process.send_signal(number)
                self.assertEqual(await child.host.read(), {"drain": True})
                child.host.send({"drain": True})
                self.assertEqual(await child.host.read(), {"run": "1", "ok": True, "result": None})
                self.assertEqual(await soon(child.process.wait()), 0)
        async with ChildHost(code) as child:
            child.host.run("1", "BLOCK", 3600)
            await child.host.read()
            child.host.writer.close()
            self.assertEqual(await soon(child.process.wait()), 0)


if __name__ == "__main__":
    unittest.main()
