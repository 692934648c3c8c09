#!/usr/bin/env python3
"""The service "conformance" as a worker that speaks frames: mailroom conformance --frames -- python3 worker.py"""
import itertools, json, queue, signal, sys, threading, time

CONCURRENCY = 16


def action(name, path, method="POST", args=None, **more):
    return {"name": name, "routes": [f"{method} /conformance{path}"], **({} if args is None else {"args": args}), **more}


INTEGER = {"type": "integer"}
ID = [{"name": "id", "schema": INTEGER}]
MS = [{"name": "body", "schema": {"type": "object", "properties": {"ms": INTEGER, "extend": INTEGER}, "required": ["ms"]}}]
MANIFEST = {"service": "conformance", "version": "1.0.0", "actions": [
    action("ECHO", "/echo"), action("GET", "/:id", "GET", ID), action("FAIL", "/fail"), action("SLEEP", "/sleep", args=MS),
    action("BLOCK", "/block", args=MS), action("PANIC", "/panic", args=[]), action("BIG", "/big"), action("NOOUTCOME", "/nooutcome"),
    action("CALL", "/call"), action("REPORT", "/report"), action("APPEND", "/:key/append", lane="conformance:{0}"),
    action("CACHED", "/:id/cached", "GET", ID, cache={"ttl_ms": 30000, "tags": ["conformance:{0}"]}),
    action("TOUCH", "/:id/touch", args=ID, invalidates=["conformance:{0}"])]}


class Failure(Exception):
    pass


class Stopped(Exception):
    pass


class NoOutcome(Exception):
    pass


lock = threading.Lock()
lost = {}  # the event of each run that has not ended
calls, names = {}, itertools.count()  # the queue of each call that is not answered
lists, active, runs = {}, {}, {}


def send(frame):
    line = json.dumps(frame, ensure_ascii=False, separators=(",", ":")) + "\n"
    with lock:
        sys.stdout.buffer.write(line.encode())
        sys.stdout.buffer.flush()


def sleep(run, ms):
    if lost[run["run"]].wait(ms / 1000):
        raise Stopped


def append(run, key, entry):
    with lock:
        lists.setdefault(key, []).append(entry["value"])
        active[key] = active.get(key, 0) + 1
        overlap = active[key] > 1
    try:
        sleep(run, entry.get("ms", 0))
    finally:
        with lock:
            overlap, values = overlap or active[key] > 1, list(lists[key])
            active[key] -= 1
    return {"values": values, "overlap": overlap}


def nap(run, body):
    if body.get("extend"):
        send({"run": run["run"], "extend": body["extend"]})
    sleep(run, body["ms"])
    return {"slept": body["ms"]}


def block(run, body):
    time.sleep(body["ms"] / 1000)
    return {"slept": body["ms"]}


def fail(run, error):
    raise Failure(error)


def panic(run):
    raise RuntimeError("internal-text")


def no_outcome(run, body):
    if run["attempt"] <= body["times"]:
        raise NoOutcome
    return {"attempt": run["attempt"]}


def call(run, body):
    name, answer = f"c{next(names)}", queue.SimpleQueue()
    calls[name] = answer
    send({"call": name, "run": run["run"], "service": "conformance", "request": body["action"], "args": body["args"]})
    frame = answer.get()
    if not frame["ok"]:
        raise Failure(frame["error"])
    return frame["result"]


def report(run, body):
    for value in body["values"]:
        send({"run": run["run"], "progress": value})
    sleep(run, body.get("ms", 0))
    return {"reported": len(body["values"])}


def cached(run, id):
    with lock:
        runs[id] = runs.get(id, 0) + 1
        return {"id": id, "runs": runs[id]}


HANDLERS = {
    "ECHO": lambda run, body: body, "GET": lambda run, id: {"id": id}, "TOUCH": lambda run, id, *_: {"id": id},
    "BIG": lambda run, body: "x" * body["bytes"], "FAIL": fail, "SLEEP": nap, "BLOCK": block, "PANIC": panic,
    "CALL": call, "REPORT": report, "NOOUTCOME": no_outcome, "APPEND": append, "CACHED": cached}


def handle(run):
    try:
        final = {"ok": True, "result": HANDLERS[run["action"]](run, *run["args"])}
    except Failure as failure:
        final = {"ok": False, "error": failure.args[0]}
    except Stopped:
        final = {"stopped": True}
    except NoOutcome:
        final = {"retry": True, "reason": "told to have none"}
    except Exception as error:
        print(run["id"], repr(error), file=sys.stderr, flush=True)
        final = {"ok": False, "error": {"code": "INTERNAL", "message": "internal error", "status": 500}}
    del lost[run["run"]]
    send({"run": run["run"], **final})


# Python runs a signal handler between two steps of the main thread, which may hold the lock.
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=send, args=[{"drain": True}]).start())
send({"serve": MANIFEST, "concurrency": CONCURRENCY})
for line in sys.stdin.buffer:
    frame = json.loads(line)
    if "run" in frame:
        lost[frame["run"]] = threading.Event()
        if frame["action"] == "BLOCK":  # on the thread that reads
            handle(frame)
        else:
            threading.Thread(target=handle, args=[frame], daemon=True).start()
    elif frame.get("lost") in lost:
        lost[frame["lost"]].set()
    elif frame.get("call") in calls:
        calls.pop(frame["call"]).put(frame)
    elif "drain" in frame:
        pass  # runs end by themselves, and the connection ends after them
