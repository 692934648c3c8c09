"""The declaration of services, and the tester."""

import unittest
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from mailroom import (
    Cache,
    Conflict,
    Context,
    MailroomError,
    NotFound,
    Principal,
    Service,
    Unavailable,
)
from mailroom.errors import BadRequest
from mailroom.testing import Tester


@dataclass
class Patch:
    name: str
    age: int | None = None


class DeclarationTest(unittest.TestCase):
    def setUp(self) -> None:
        self.users = Service("users", version="1.0.0")

    def declared(self) -> dict[str, Any]:
        manifest = self.users.manifest()
        self.assertEqual(
            {k: manifest[k] for k in ("service", "version", "protocol")},
            {"service": "users", "version": "1.0.0", "protocol": 1},
        )
        (action,) = manifest["actions"]
        return dict(action)

    def test_every_option(self) -> None:
        @self.users.put(
            "/users/:id",
            name="SAVE_USER",
            routes="PATCH /users/:id",
            timeout=timedelta(seconds=2),
            invalidates=["user:{id}", "users"],
            lane="user:{0}",
            scopes="users:write",
            deprecated=True,
            result={"type": "string"},
        )
        def update(ctx: Context, id: int, patch: Patch) -> None:
            """Save a user.

            More text.
            """

        patch = {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": ["integer", "null"]}},
            "required": ["name"],
            "additionalProperties": False,
        }
        want = {
            "name": "SAVE_USER",
            "summary": "Save a user.",
            "routes": ["PUT /users/:id", "PATCH /users/:id"],
            "safe": False,
            "timeout_ms": 2000,
            "args": [
                {"name": "id", "in": "path", "schema": {"type": "integer"}},
                {"name": "patch", "in": "body", "schema": patch},
            ],
            "result": {"type": "string"},
            "invalidates": ["user:{0}", "users"],
            "lane": "user:{0}",
            "scopes": ["users:write"],
            "deprecated": True,
        }
        self.assertEqual(self.declared(), want)

    def test_parameters_become_fields_of_the_query(self) -> None:
        @self.users.get("/users/:group", cache=Cache(1.5, ["g:{group}"], public=True, stale_if_error=2), summary="")
        def listUsers(group, limit: int = 20, cursor: str | None = None):  # type: ignore[no-untyped-def]
            """Not the summary."""

        query = {
            "type": "object",
            "properties": {"limit": {"type": "integer", "default": 20}, "cursor": {"type": ["string", "null"]}},
            "additionalProperties": False,
        }
        want = {
            "name": "LIST_USERS",
            "routes": ["GET /users/:group"],
            "safe": True,
            "args": [
                {"name": "group", "in": "path", "schema": {"type": "string"}},
                {"name": "query", "in": "query", "schema": query},
            ],
            "cache": {"ttl_ms": 1500, "tags": ["g:{0}"], "public": True, "stale_if_error_ms": 2000},
        }
        self.assertEqual(self.declared(), want)

    def test_an_action_without_a_route(self) -> None:
        @self.users.action(safe=True, cache=30)
        def sum_of(a: int, b: list[int]) -> int:
            return a + sum(b)

        action = self.declared()
        self.assertEqual([arg.get("in") for arg in action["args"]], [None, None])
        self.assertEqual((action["cache"], action["result"]), ({"ttl_ms": 30000}, {"type": "integer"}))

    def test_faults(self) -> None:
        def none() -> None: ...
        def number(id: int) -> None: ...
        def several(*ids: int) -> None: ...
        def object_of(value: DeclarationTest) -> None: ...

        users = self.users
        for declare, handler, why in [
            (lambda: users.get("/items/:id"), number, "has to begin with /users, the name of the service"),
            (lambda: users.get("/users/{id}"), number, "write a parameter as :name"),
            (lambda: users.action(routes=["HEAD /users"]), none, "want METHOD /path"),
            (lambda: users.get("/users/:name"), number, "first parameters have to be name, as in the route"),
            (lambda: users.post("/users", cache=30), none, "only a safe action can have a cache"),
            (lambda: users.action(lane="user:{name}"), number, "names {name}, the arguments are id"),
            (lambda: users.action(), several, "has to be positional"),
            (lambda: users.action(), object_of, "object_of: value: .* has no JSON schema"),
            (lambda: users.action(color=1), none, "unknown option 'color'"),  # type: ignore[call-arg]
        ]:
            with self.subTest(why), self.assertRaisesRegex((ValueError, TypeError), why):
                declare()(handler)
        users.action()(none)
        with self.assertRaisesRegex(ValueError, "two actions NONE"):
            users.action()(none)
        with self.assertRaisesRegex(ValueError, "want a lower-case letter"):
            Service("Users")


class TesterTest(unittest.IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        self.users = users = Service("users")

        @users.get("/users/:id")
        async def get_user(ctx: Context, id: int) -> dict[str, Any]:
            if id == 0:
                raise NotFound("no user 0")
            return {"id": id, "by": ctx.principal and ctx.principal.subject, "attempt": ctx.attempt, "v": ctx.version}

        @users.post("/users")
        def create_user(ctx: Context, name: str, age: int = 1) -> Patch:
            ctx.status(201)
            ctx.location("/users/7")
            ctx.invalidate("users")
            ctx.progress({"half": True})
            ctx.extend(1.5)
            return Patch(name, age)

        @users.get("/users")
        async def list_users(limit: int = 20) -> int:
            return limit

        @users.action()
        async def buy(ctx: Context, item: int) -> Any:
            return await ctx.call("items", "GET_ITEM", item)

        @users.action()
        def buy_now(ctx: Context, item: int) -> Any:
            return ctx.call_blocking("items", "GET_ITEM", item)

        @users.action()
        async def wrong(ctx: Context, status: int) -> None:
            if status < 300:
                ctx.status(status)
            raise MailroomError("WRONG", status)

        self.tester = Tester(users)

    async def test_calls(self) -> None:
        call = self.tester.call
        self.assertEqual(await call("GET_USER", 1), {"id": 1, "by": None, "attempt": 1, "v": ""})
        principal = Principal("key:a", scopes=("x",))
        got = await call("GET_USER", 1, principal=principal, attempt=2, version="v2")
        self.assertEqual(got, {"id": 1, "by": "key:a", "attempt": 2, "v": "v2"})
        with self.assertRaisesRegex(NotFound, "no user 0"):
            await call("GET_USER", 0)
        self.assertEqual(await call("CREATE_USER", {"name": "Oska"}), {"name": "Oska", "age": 1})
        t = self.tester
        self.assertEqual((t.status, t.location, t.invalidated), (201, "/users/7", ["users"]))
        self.assertEqual((t.progress, t.extended), ([{"half": True}], [1.5]))
        self.assertEqual(await call("LIST_USERS"), 20)
        self.assertEqual(await call("LIST_USERS", {"limit": 5}), 5)
        self.assertEqual((t.status, t.progress), (200, []))

    async def test_arguments_that_do_not_fit(self) -> None:
        for args, why in [
            (("GET_USER", "1"), "id: want integer"),
            (("GET_USER",), "takes 1 arguments, got 0"),
            (("CREATE_USER", {"name": "a", "x": 1}), "body.x: is not a field"),
            (("CREATE_USER",), "body.name: is missing"),
        ]:
            with self.subTest(args), self.assertRaisesRegex(BadRequest, why):
                await self.tester.call(*args)
        with self.assertRaisesRegex(ValueError, "has no action NOTHING: it has GET_USER"):
            await self.tester.call("NOTHING")

    async def test_calls_of_other_services(self) -> None:
        for action in ("BUY", "BUY_NOW"):
            with self.assertRaises(Unavailable):
                await self.tester.call(action, 1)
            self.tester.calls["items", "GET_ITEM"] = lambda item: {"item": item}
            self.assertEqual(await self.tester.call(action, 1), {"item": 1})
            self.assertEqual(self.tester.called, [("items", "GET_ITEM", (1,))])
            self.tester.calls["items", "GET_ITEM"] = Conflict("sold out")
            with self.assertRaisesRegex(Conflict, "sold out"):
                await self.tester.call(action, 1)
            del self.tester.calls["items", "GET_ITEM"]

    async def test_faults_that_a_worker_would_log(self) -> None:
        for status, why in [(204, "is 204 or 205"), (300, "not from 400 to 599")]:
            with self.assertRaisesRegex(ValueError, why):
                await self.tester.call("WRONG", status)
