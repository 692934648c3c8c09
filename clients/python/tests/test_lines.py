"""Lines: chunks and frames do not end at the same bytes."""

import asyncio
import json
import unittest
from typing import Any
from unittest import mock

from mailroom import Service
from mailroom.lines import LIMIT, Lines

from .fakes import Host


class LinesTest(unittest.IsolatedAsyncioTestCase):
    async def test_chunks(self) -> None:
        text = '{"a":"Зоя 🐈"}\n{"b":1}\n\n{"c":"' + "ж" * 1000 + '"}\n'
        data = text.encode()
        for size in (1, 2, 3, 7, 100, len(data)):
            with self.subTest(size):
                got: list[Any] = []
                lines = Lines(got.append)
                for i in range(0, len(data), size):
                    lines.data_received(data[i : i + size])
                self.assertEqual(got, data.split(b"\n")[:-1])

    async def test_a_line_without_end_closes_the_connection(self) -> None:
        got: list[Any] = []
        lines, transport = Lines(got.append), mock.Mock()
        lines.connection_made(transport)
        lines.data_received(b"x" * LIMIT)
        transport.abort.assert_not_called()
        lines.data_received(b"x")
        transport.abort.assert_called_once()

    async def test_one_write_for_a_round_of_the_loop(self) -> None:
        lines, transport = Lines(lambda _: None), mock.Mock()
        transport.is_closing.return_value = False
        lines.connection_made(transport)
        for line in (b"1", b"2", b"3"):
            lines.send(line)
        await asyncio.sleep(0)
        transport.write.assert_called_once_with(b"1\n2\n3\n")
        lines.send(b"4")
        lines.close()
        transport.write.assert_called_with(b"4\n")


class HostTest(unittest.IsolatedAsyncioTestCase):
    async def test_frames_over_a_socket(self) -> None:
        service = Service("demo")

        @service.action()
        async def echo(value: Any) -> Any:
            return value

        async with Host.start(service) as host:
            large = "ж" * ((LIMIT - 200) // 2)
            host.run("large", "ECHO", large)
            with self.assertLogs("mailroom", "WARNING") as logs:
                host.writer.write(b'no json\n[1]\n"text"\n\xff\n\n{"unknown":1}\n')
                await host.writer.drain()
                self.assertEqual((await host.read())["result"], large)
                host.run("after", "ECHO", 1)
                self.assertEqual((await host.read())["result"], 1)
            self.assertEqual(len(logs.output), 5)

    async def test_a_thousand_in_flight(self) -> None:
        service, gate = Service("demo"), asyncio.Event()

        @service.action()
        async def echo(value: int) -> int:
            await gate.wait()
            return value

        async with Host.start(service, concurrency=1000) as host:
            text = b"".join(
                json.dumps({"run": str(n), "action": "ECHO", "args": [n], "deadline": 9000}).encode() + b"\n"
                for n in range(1000)
            )
            for i in range(0, len(text), 999):
                host.writer.write(text[i : i + 999])
            gate.set()
            answers = await host.read_all(1000)
        self.assertEqual({run: answer["result"] for run, answer in answers.items()}, {str(n): n for n in range(1000)})
