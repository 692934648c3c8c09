#!/usr/bin/env python3
"""The service "conformance" as a worker that speaks the protocol in Redis (docs/reference/protocol.md), with nothing but the standard library:

python3 worker.py [HOST:PORT [NAMESPACE]]
"""
import hashlib, json, os, re, signal, socket, sys, threading, time

ADDRESS, NS = sys.argv[1:] + ["127.0.0.1:6379", "mailroom"][len(sys.argv) - 1:]
SERVICE, SLOTS = "conformance", 16
KEY, WORKER = f"{NS}:{{{SERVICE}}}:", f"{SERVICE}.{os.urandom(10).hex()}"
MAILBOX = KEY + "requests"
LUA = os.path.join(os.path.dirname(__file__), "../../bus/wire/lua")


class Failure(Exception):
    def __init__(self, code, status, message, details=None):
        self.error = {"code": code, "message": message, "status": status, **({} if details is None else {"details": details})}


class Invalid(Failure):
    """The entry is not a valid request."""


class Expired(Exception):
    pass


class NoOutcome(Exception):
    pass


class Redis:
    """One connection."""

    def __init__(self):
        self.stream, self.lock = socket.create_connection(ADDRESS.rsplit(":", 1)).makefile("rwb"), threading.Lock()

    def __call__(self, *words):
        words = [str(word).encode() for word in words]
        with self.lock:
            self.stream.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
            self.stream.flush()
            return self.answer()

    def answer(self):
        kind, rest = (line := self.stream.readline().decode())[:1], line[1:-2]
        if kind in "$*" and rest == "-1": return None
        if kind == "$": return self.stream.read(int(rest) + 2)[:-2].decode()
        if kind == "*": return [self.answer() for _ in range(int(rest))]
        if kind in "-": raise RuntimeError(rest or "Redis has closed the connection")
        return rest

    def script(self, name, *args):
        text = "".join(open(os.path.join(LUA, file)).read() for file in (["account.lua", "lane.lua"] if name == "settle.lua" else []) + [name])
        digest = hashlib.sha1(text.encode()).hexdigest()
        try:
            return self("FCALL", f"mailroom_{name[:-4]}_{digest[:8]}", *args)
        except RuntimeError as error:
            if "Function not found" not in str(error) and "unknown command" not in str(error): raise
        try:
            return self("EVALSHA", digest, *args)
        except RuntimeError as error:
            if not str(error).startswith("NOSCRIPT"): raise
            return self("EVAL", text, *args)


lists, active, runs = {}, {}, {}
memory = threading.Lock()


def nap(attempt, body):
    time.sleep(body["ms"] / 1000)
    return {"slept": body["ms"]}


def fail(attempt, body):
    raise Failure(body["code"], body["status"], body["message"], body.get("details"))


def panic(attempt):
    raise RuntimeError("internal-text")


def no_outcome(attempt, body):
    if attempt <= body["times"]: raise NoOutcome
    return {"attempt": attempt}


def append(attempt, key, body):
    with memory:
        lists.setdefault(key, []).append(body["value"])
        active[key] = active.get(key, 0) + 1
        overlap = active[key] > 1
    time.sleep(body.get("ms", 0) / 1000)
    with memory:
        overlap, values = overlap or active[key] > 1, list(lists[key])
        active[key] -= 1
    return {"values": values, "overlap": overlap}


def cached(attempt, id):
    with memory:
        runs[id] = runs.get(id, 0) + 1
        return {"id": id, "runs": runs[id]}


def get(attempt, id):
    return {"id": id}


INTEGER, STRING, OBJECT = ({"type": name} for name in ("integer", "string", "object"))
ID, BODY = {"name": "id", "in": "path", "schema": INTEGER}, {"name": "body", "in": "body", "schema": OBJECT}
TAG, TYPES = SERVICE + ":{0}", {"integer": int, "string": str, "object": dict}
ACTIONS = {  # the route, the arguments, the handler, and more members of the manifest
    "ECHO": ("POST /echo", [BODY], lambda attempt, body: body, {}), "GET": ("GET /:id", [ID], get, {}),
    "FAIL": ("POST /fail", [BODY], fail, {}), "SLEEP": ("POST /sleep", [BODY], nap, {}), "BLOCK": ("POST /block", [BODY], nap, {}),
    "PANIC": ("POST /panic", [], panic, {}), "BIG": ("POST /big", [BODY], lambda attempt, body: "x" * body["bytes"], {}),
    "NOOUTCOME": ("POST /nooutcome", [BODY], no_outcome, {}),
    "APPEND": ("POST /:key/append", [{"name": "key", "in": "path", "schema": STRING}, BODY], append, {"lane": TAG}),
    "CACHED": ("GET /:id/cached", [ID], cached, {"cache": {"ttl_ms": 30000, "tags": [TAG]}}),
    "TOUCH": ("POST /:id/touch", [ID], get, {"invalidates": [TAG]}),
}
MANIFEST = json.dumps({"service": SERVICE, "version": "1.0.0", "protocol": 1, "actions": [
    {"name": name, "routes": [route.replace(" ", f" /{SERVICE}")], "safe": route.startswith("GET"), "timeout_ms": 10000, "args": args, **more}
    for name, (route, args, _, more) in ACTIONS.items()]}, separators=(",", ":"))
MEMBER = f"{WORKER} {hashlib.sha256(MANIFEST.encode()).hexdigest()}"


def now():  # all times are those of Redis
    seconds, micros = redis("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


def run(request, attempt=1):
    """Return the result of a request."""
    if request.get("v") != "1": raise Invalid("NOT_SUPPORTED", 501, "another version of the protocol")
    try:
        action, args, deadline = request["action"], json.loads(request["args"]), int(request.get("deadline") or 0)
    except (KeyError, ValueError):
        raise Invalid("BAD_REQUEST", 400, "not a request")
    if not isinstance(args, list): raise Invalid("BAD_REQUEST", 400, "args is no array")
    if deadline and now() > deadline: raise Expired
    if action not in ACTIONS: raise Failure("NOT_SUPPORTED", 501, "no such action")
    _, declared, handler, _ = ACTIONS[action]
    if len(args) == len(declared) - 1 and declared[-1] is BODY: args.append({})
    if len(args) != len(declared) or any(type(arg) is not TYPES[d["schema"]["type"]] for arg, d in zip(args, declared)):
        raise Failure("BAD_REQUEST", 400, "the arguments do not fit")
    return handler(attempt, *args)


def handle(entry, request):
    """Run a request and end it."""
    id, state, why = request.get("id", ""), "done", ""
    known = re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", id)
    meta = f"worker={WORKER},attempt=1"
    try:
        if not known: raise Invalid("BAD_REQUEST", 400, "no UUID")
        envelope = {"ok": True, "result": run(request)}
    except NoOutcome:
        return  # nothing is settled: another worker takes the request over
    except Exception as error:
        if isinstance(error, Expired): state = "expired"
        if isinstance(error, Invalid) and not (known and request.get("reply")): state, why = "dead", error.error["message"]
        if not isinstance(error, (Failure, Expired)): print(id, repr(error), file=sys.stderr, flush=True)
        failure = error.error if isinstance(error, Failure) else {"code": "INTERNAL", "message": "internal error", "status": 500}
        caller = json.loads(request.get("meta") or "{}").get("request_id") or id
        meta += f",status={failure['status']}"
        envelope = {"ok": False, "error": {**failure, "request_id": caller, **({"correlation_id": id} if caller != id else {})}}
    store, envelope = request.get("store", ""), json.dumps(envelope, separators=(",", ":"))
    if store or state == "dead":  # outcome, acknowledgement and reply in one step, only while this worker owns the entry
        redis.script("settle.lua", 3, MAILBOX, KEY + "dead", KEY + "req:" + id, WORKER, entry, id if known else "", state, meta, envelope, store, why, 1)
        return
    if state == "done" and re.fullmatch(re.escape(NS) + r":replies:.+:\{" + SERVICE + r"\}", request.get("reply", "")):
        redis("PUBLISH", request["reply"], f"{id} {meta} {envelope}\n")
    redis("XACK", MAILBOX, "workers", entry), redis("XDEL", MAILBOX, entry)


running, ended, stop = set(), threading.Condition(), threading.Event()


def work(entry, request):
    try:
        handle(entry, request)
    finally:
        with ended:
            running.discard(entry)
            ended.notify()


def beat():
    """Register, and keep what runs, once a second."""
    while True:
        redis("SET", KEY + "manifest:" + MEMBER.split()[1], MANIFEST, "EX", 86400), redis("SADD", NS + ":services", SERVICE)
        if redis("ZADD", KEY + "workers", now() + 3000, MEMBER) == "1": redis("PUBLISH", NS + ":registry", SERVICE)
        keep()
        if stop.wait(1): return


def keep():
    if entries := list(running): redis.script("keep.lua", 1, MAILBOX, WORKER, *entries)


signal.signal(signal.SIGTERM, lambda *_: stop.set())
redis, reader = Redis(), Redis()  # a read blocks its connection
try:
    redis("XGROUP", "CREATE", MAILBOX, "workers", "0", "MKSTREAM")
except RuntimeError as error:
    if not str(error).startswith("BUSYGROUP"): raise
beats = threading.Thread(target=beat, daemon=True)
beats.start()
while not stop.is_set() and beats.is_alive():
    with ended:
        ended.wait_for(lambda: len(running) < SLOTS, 0.2)
        free = SLOTS - len(running)
    if free:
        for _, entries in reader("XREADGROUP", "GROUP", "workers", WORKER, "COUNT", free, "BLOCK", 200, "STREAMS", MAILBOX, ">") or []:
            for entry, fields in entries:
                running.add(entry)
                threading.Thread(target=work, args=[entry, dict(zip(fields[::2], fields[1::2]))], daemon=True).start()
beats.join()
redis("ZREM", KEY + "workers", MEMBER), redis("PUBLISH", NS + ":registry", SERVICE)
with ended:
    while running:
        ended.wait(1)
        keep()
redis.script("retire.lua", 1, MAILBOX, 0, WORKER)
