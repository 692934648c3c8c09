#!/usr/bin/env python3
"""A Mailroom worker in plain Python for GET /echo/:id and POST /echo: worker.py [SERVICE [HOST:PORT [NAMESPACE]]]"""
import hashlib, json, os, socket, sys

SERVICE, ADDRESS, NS = sys.argv[1:] + ["echo", "127.0.0.1:6379", "mailroom"][len(sys.argv) - 1:]
KEY, WORKER = f"{NS}:{{{SERVICE}}}:", f"{SERVICE}.{os.urandom(10).hex()}"
ACTIONS = {"GET_ECHO": lambda id: {"id": id, "name": "Oska", "email": "oska@example.com"}, "ECHO": lambda body={}: body}
MANIFEST = json.dumps({"service": SERVICE, "version": "1.0.0", "protocol": 1, "actions": [
    {"name": "GET_ECHO", "routes": [f"GET /{SERVICE}/:id"], "safe": True, "args": [{"name": "id", "in": "path", "schema": {"type": "integer"}}]},
    {"name": "ECHO", "routes": [f"POST /{SERVICE}"], "safe": False, "args": [{"name": "body", "in": "body", "schema": {"type": "object"}}]}]})
DIGEST = hashlib.sha256(MANIFEST.encode()).hexdigest()
SETTLE = "".join(open(os.path.join(os.path.dirname(__file__), "../../bus/wire/lua", name)).read() for name in ["lane.lua", "settle.lua"])
connection = socket.create_connection(ADDRESS.rsplit(":", 1)).makefile("rwb")

def redis(*words):  # sends one command as an array of strings, and returns the answer
    words = [str(word).encode() for word in words]
    connection.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
    connection.flush()
    return answer()

def answer():
    kind, rest = (line := connection.readline().decode())[:1], line[1:-2]
    if kind in "$*" and rest == "-1": return None
    if kind == "$": return connection.read(int(rest) + 2)[:-2].decode()
    if kind == "*": return [answer() for _ in range(int(rest))]
    if kind in "-" and not rest.startswith("BUSYGROUP"): raise ConnectionError(rest or "Redis has closed the connection")
    return rest

redis("XGROUP", "CREATE", KEY + "requests", "workers", "0", "MKSTREAM")  # the error BUSYGROUP means that it exists
while True:
    now = int(redis("TIME")[0]) * 1000  # all times on the wire are in Redis time
    redis("SET", KEY + "manifest:" + DIGEST, MANIFEST, "EX", 86400), redis("SADD", NS + ":services", SERVICE)
    redis("ZADD", KEY + "workers", now + 3000, f"{WORKER} {DIGEST}")  # the heartbeat: it is valid for 3 s
    for _, entries in redis("XREADGROUP", "GROUP", "workers", WORKER, "COUNT", 1, "BLOCK", 1000, "STREAMS", KEY + "requests", ">") or []:
        entry, request = entries[0][0], dict(zip(entries[0][1][::2], entries[0][1][1::2]))
        state = "expired" if request["deadline"] and int(redis("TIME")[0]) * 1000 > int(request["deadline"]) else "done"
        try:  # a request past its deadline does not run
            outcome = state == "done" and {"ok": True, "result": ACTIONS[request["action"]](*json.loads(request["args"]))}
        except Exception as error:
            print(request["id"], repr(error), file=sys.stderr)
            outcome = None
        outcome = outcome or {"ok": False, "error": {"code": "INTERNAL", "message": "it failed, or came too late", "status": 500}}
        meta, envelope = f"worker={WORKER}", json.dumps(outcome, separators=(",", ":"))
        if "store" in request:  # unsafe: outcome, acknowledgement and reply in one step, only while this worker owns the entry
            redis("EVAL", SETTLE, 3, KEY + "requests", KEY + "dead", KEY + "req:" + request["id"],
                  WORKER, entry, request["id"], state, meta, envelope, request["store"], "", 1)
            continue
        if state == "done": redis("PUBLISH", request["reply"], f"{request['id']} {meta} {envelope}\n")
        redis("XACK", KEY + "requests", "workers", entry), redis("XDEL", KEY + "requests", entry)
