"""One action of a service: its declaration and the call of its handler."""

import inspect
import re
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from . import schema
from .errors import BadRequest
from .schema import Convert, Schema

Seconds = float | timedelta


def milliseconds(duration: Seconds) -> int:
    """Return a duration in whole milliseconds. A number is in seconds."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    return max(0, round(seconds * 1000))


@dataclass(frozen=True)
class Cache:
    """Describes how the results of a safe action are shared.

    ttl: how long a result is fresh; 0: not stored, identical requests only share a run.
    tags: the names of the data in a result; {id} is the argument id, {0} the first argument.
    public: True if all callers get the same result.
    """

    ttl: Seconds
    tags: Sequence[str] = ()
    public: bool = False
    stale_while_revalidate: Seconds = 0
    stale_if_error: Seconds = 0


@dataclass(frozen=True)
class Argument:
    """One positional argument of an action."""

    name: str
    source: str  # path, query or body; empty: not reachable by REST
    schema: Schema
    convert: Convert | None


@dataclass
class _Parameter:
    """One parameter of a handler."""

    name: str
    schema: Schema
    convert: Convert | None
    required: bool


class Action:
    """An action: a name, a handler and the members of the manifest."""

    def __init__(self, name: str, handler: Callable[..., Any], routes: list[str], result: Any) -> None:
        self.name = name
        self.handler = handler
        self.is_async = inspect.iscoroutinefunction(handler)
        self.routes = routes
        self.takes_context, parameters, returns = _read(handler)
        self.arguments, self._folded = _arrange(name, parameters, routes)
        self.required = _required(self.arguments, parameters)
        self._converts = any(argument.convert for argument in self.arguments)
        self.result = _result_schema(returns) if result is None else result
        self.options: dict[str, Any] = {}

    def manifest(self) -> dict[str, Any]:
        """Return the action as a member of the manifest."""
        args = []
        for argument in self.arguments:
            source = {"in": argument.source} if argument.source else {}
            args.append({"name": argument.name, **source, "schema": argument.schema})
        routes = {"routes": self.routes} if self.routes else {}
        result = {"result": self.result} if self.result else {}
        return {"name": self.name, **routes, "args": args, **result, **self.options}

    def bind(self, ctx: Any, args: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return the positional and the named arguments of the handler. Raises BadRequest."""
        if not self.required <= len(args) <= len(self.arguments):
            raise BadRequest(f"{self.name} takes {len(self.arguments)} arguments, got {len(args)}")
        if self._converts:
            args = [self._convert(argument, value) for argument, value in zip(self.arguments, args, strict=False)]
        named: dict[str, Any] = {}
        if self._folded and len(args) == len(self.arguments):
            named = args[-1]
            args = args[:-1]
        return ([ctx, *args] if self.takes_context else args), named

    @staticmethod
    def _convert(argument: Argument, value: Any) -> Any:
        if argument.convert is None:
            return value
        try:
            return argument.convert(value)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadRequest(f"{argument.name}: {error}") from error

    def fill(self, template: str) -> str:
        """Return a template with the numbers of arguments in place of their names."""
        names = [argument.name for argument in self.arguments]

        def number(match: re.Match[str]) -> str:
            if match[1] in names:
                return f"{{{names.index(match[1])}}}"
            if match[1].isdecimal() and int(match[1]) < len(names):
                return match[0]
            raise ValueError(
                f"{self.name}: {template!r} names {match[0]}, the arguments are {', '.join(names) or 'none'}"
            )

        return re.sub(r"\{([^{}]*)\}", number, template)


def _read(handler: Callable[..., Any]) -> tuple[bool, list[_Parameter], Any]:
    """Read the signature of a handler: takes it the context, its parameters, its result."""
    signature = inspect.signature(handler)
    hints = typing.get_type_hints(handler, include_extras=True)
    parameters = list(signature.parameters.values())
    takes_context = bool(parameters) and parameters[0].name == "ctx"
    read = []
    for parameter in parameters[takes_context:]:
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            raise TypeError(f"{handler.__name__}: the parameter {parameter} has to be positional and named")
        try:
            built, convert = schema.build(hints.get(parameter.name, Any))
        except TypeError as error:
            raise TypeError(f"{handler.__name__}: {parameter.name}: {error}") from None
        required = parameter.default is parameter.empty
        if not required and isinstance(parameter.default, (bool, int, float, str)):
            built = {**built, "default": parameter.default}
        read.append(_Parameter(parameter.name, built, convert, required))
    return takes_context, read, hints.get("return", Any)


def _arrange(name: str, parameters: list[_Parameter], routes: list[str]) -> tuple[list[Argument], bool]:
    """Return the arguments of an action in the order of the protocol.

    The parameters of the path come first. One more parameter that takes an object is the query or
    the body. Other parameters are fields of the query or the body: the second result is then True.
    """
    if not routes:
        return [Argument(p.name, "", p.schema, p.convert) for p in parameters], False
    method, _, path = routes[0].partition(" ")
    in_path = re.findall(r":([^/]+)", path)
    if [p.name for p in parameters[: len(in_path)]] != in_path:
        wanted = ", ".join(in_path)
        raise ValueError(f"{name}: the handler's first parameters have to be {wanted}, as in the route {routes[0]!r}")
    arguments = [
        Argument(p.name, "path", p.schema or {"type": "string"}, p.convert) for p in parameters[: len(in_path)]
    ]
    rest = parameters[len(in_path) :]
    source = "query" if method in ("GET", "DELETE") else "body"
    if len(rest) == 1 and (schema.is_object(rest[0].schema) or not rest[0].schema and source == "body"):
        return [*arguments, Argument(rest[0].name, source, rest[0].schema, rest[0].convert)], False
    if not rest:
        return arguments, False
    return [*arguments, Argument(source, source, *_fold(rest))], True


def _fold(parameters: list[_Parameter]) -> tuple[Schema, Convert | None]:
    """Return the schema and the converter of an object with a field for each parameter."""
    definitions: Schema = {}
    properties: Schema = {}
    for parameter in parameters:
        own = dict(parameter.schema)
        definitions |= own.pop("$defs", {})
        properties[parameter.name] = own
    folded: Schema = {"type": "object", "properties": properties}
    if required := [p.name for p in parameters if p.required]:
        folded["required"] = required
    folded["additionalProperties"] = False
    if definitions:
        folded["$defs"] = definitions
    return folded, schema.record({p.name: p.convert for p in parameters if p.convert}, None)


def _required(arguments: list[Argument], parameters: list[_Parameter]) -> int:
    """Return the number of arguments that a call has to have."""
    optional = 0
    if arguments and arguments[-1].source in ("query", "body"):
        rest = parameters[len(arguments) - 1 :]
        optional = int(not any(p.required for p in rest))
    elif arguments and not arguments[-1].source:
        optional = sum(not p.required for p in parameters)
    return len(arguments) - optional


def _result_schema(annotation: Any) -> Schema:
    """Return the schema of a result. A type that has none is no error: results are not checked."""
    try:
        return schema.build(annotation)[0]
    except TypeError:
        return {}
