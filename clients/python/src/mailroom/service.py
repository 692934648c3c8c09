"""Service declares the actions of a service."""

import re
from collections.abc import Callable, Iterable
from typing import Any, TypedDict, TypeVar, Unpack

from .action import Action, Cache, Seconds, milliseconds

Handler = TypeVar("Handler", bound=Callable[..., Any])

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Options(TypedDict, total=False):
    """The options of an action, all optional.

    name: the name of the action. Defaults to the name of the function in upper case.
    routes: more routes, such as "PATCH /users/:id".
    timeout: how long a request may take. Defaults to 10 s.
    cache: a Cache, or the time in seconds for which a result is fresh.
    invalidates: the cache tags that the action makes stale, such as "user:{id}".
    lane: the key whose requests run one at a time, such as "user:{id}".
    scopes: the scopes that a caller needs, all of them.
    safe: True if the action may run twice. Defaults to True if all routes are GET.
    summary: one line. Defaults to the first line of the docstring.
    deprecated: True if callers should not use the action any more.
    result: the JSON schema of the result. Defaults to the one of the return annotation.
    """

    name: str
    routes: str | Iterable[str]
    timeout: Seconds
    cache: Cache | Seconds
    invalidates: str | Iterable[str]
    lane: str
    scopes: str | Iterable[str]
    safe: bool
    summary: str
    deprecated: bool
    result: dict[str, Any]


class Service:
    """A service: a name and its actions.

    users = Service("users", version="1.4.0")

    @users.get("/users/:id")
    async def get_user(ctx, id: int) -> dict: ...
    """

    def __init__(self, name: str, *, version: str = "0.0.0") -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,63}", name):
            raise ValueError(
                f"service name {name!r}: want a lower-case letter, then lower-case letters, digits or hyphens"
            )
        self.name = name
        self.version = version
        self.actions: dict[str, Action] = {}

    def get(self, path: str, **options: Unpack[Options]) -> Callable[[Handler], Handler]:
        """Declare an action with the route GET path. The options are those of the class."""
        return self._declare([f"GET {path}"], options)

    def post(self, path: str, **options: Unpack[Options]) -> Callable[[Handler], Handler]:
        """Declare an action with the route POST path."""
        return self._declare([f"POST {path}"], options)

    def put(self, path: str, **options: Unpack[Options]) -> Callable[[Handler], Handler]:
        """Declare an action with the route PUT path."""
        return self._declare([f"PUT {path}"], options)

    def patch(self, path: str, **options: Unpack[Options]) -> Callable[[Handler], Handler]:
        """Declare an action with the route PATCH path."""
        return self._declare([f"PATCH {path}"], options)

    def delete(self, path: str, **options: Unpack[Options]) -> Callable[[Handler], Handler]:
        """Declare an action with the route DELETE path."""
        return self._declare([f"DELETE {path}"], options)

    def action(self, **options: Unpack[Options]) -> Callable[[Handler], Handler]:
        """Declare an action without a route, or with the routes of the option `routes`."""
        return self._declare([], options)

    def manifest(self) -> dict[str, Any]:
        """Return the manifest of the service."""
        actions = [action.manifest() for action in self.actions.values()]
        return {"service": self.name, "version": self.version, "protocol": 1, "actions": actions}

    def _declare(self, routes: list[str], options: Options) -> Callable[[Handler], Handler]:
        if unknown := options.keys() - Options.__annotations__.keys():
            raise TypeError(f"unknown option {unknown.pop()!r}: want one of {', '.join(Options.__annotations__)}")
        routes = routes + _listed(options.get("routes", ()))
        for route in routes:
            self._check_route(route)

        def declare(handler: Handler) -> Handler:
            action = Action(options.get("name") or _name_of(handler), handler, routes, options.get("result"))
            if action.name in self.actions:
                raise ValueError(f"the service {self.name} has two actions {action.name}: give one of them a name")
            action.options = _members(action, options)
            self.actions[action.name] = action
            return handler

        return declare

    def _check_route(self, route: str) -> None:
        method, _, path = route.partition(" ")
        if method not in _METHODS:
            raise ValueError(f"route {route!r}: want METHOD /path, with a method of {', '.join(_METHODS)}")
        if path != f"/{self.name}" and not path.startswith(f"/{self.name}/"):
            raise ValueError(f"route {route!r}: the path has to begin with /{self.name}, the name of the service")
        if "{" in path or "<" in path:
            raise ValueError(f"route {route!r}: write a parameter as :name")


def _name_of(handler: Callable[..., Any]) -> str:
    """Return the name of an action: GET_USER for get_user and getUser."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", handler.__name__).strip("_").upper()


def _listed(values: str | Iterable[str]) -> list[str]:
    return [values] if isinstance(values, str) else list(values)


def _members(action: Action, options: Options) -> dict[str, Any]:
    """Return the members of the manifest that come from the options."""
    only_get = bool(action.routes) and all(route.startswith("GET ") for route in action.routes)
    safe = options.get("safe", only_get)
    if "cache" in options and not safe:
        raise ValueError(f"{action.name}: only a safe action can have a cache: add safe=True if it may run twice")
    members: dict[str, Any] = {
        "summary": options.get("summary", (action.handler.__doc__ or "").strip().partition("\n")[0]),
        "timeout_ms": milliseconds(options["timeout"]) if "timeout" in options else None,
        "cache": _cache(action, options["cache"]) if "cache" in options else None,
        "invalidates": [action.fill(tag) for tag in _listed(options.get("invalidates", ()))],
        "lane": action.fill(options.get("lane", "")),
        "scopes": _listed(options.get("scopes", ())),
        "deprecated": options.get("deprecated", False),
    }
    return {"safe": safe} | {member: value for member, value in members.items() if value}


def _cache(action: Action, cache: Cache | Seconds) -> dict[str, Any]:
    if not isinstance(cache, Cache):
        cache = Cache(cache)
    options: dict[str, Any] = {
        "tags": [action.fill(tag) for tag in _listed(cache.tags)],
        "public": cache.public,
        "stale_while_revalidate_ms": milliseconds(cache.stale_while_revalidate),
        "stale_if_error_ms": milliseconds(cache.stale_if_error),
    }
    return {"ttl_ms": milliseconds(cache.ttl)} | {member: value for member, value in options.items() if value}
