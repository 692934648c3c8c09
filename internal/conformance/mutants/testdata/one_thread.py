"""A worker with one thread that speaks frames. BLOCK blocks it, unless the argument is "asleep"."""
import asyncio, json, sys, time

ACTIONS = [{"name": name, "routes": ["POST /conformance/" + name.lower()]} for name in ("ECHO", "BLOCK")]


def send(frame):
    sys.stdout.write(json.dumps(frame) + "\n")
    sys.stdout.flush()


async def handle(frame):
    body = frame["args"][0]
    if frame["action"] == "BLOCK":
        if "asleep" in sys.argv:
            await asyncio.sleep(body["ms"] / 1000)
        else:
            time.sleep(body["ms"] / 1000)
        body = {"slept": body["ms"]}
    send({"run": frame["run"], "ok": True, "result": body})


async def main():
    lines, running = asyncio.StreamReader(), set()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    send({"serve": {"service": "conformance", "version": "1.0.0", "actions": ACTIONS}, "concurrency": 8})
    while line := await lines.readline():
        frame = json.loads(line)
        if "run" in frame:
            running.add(asyncio.ensure_future(handle(frame)))


asyncio.run(main())
