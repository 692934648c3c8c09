"""JSON schemas and converters from type annotations."""

import collections.abc
import dataclasses
import datetime
import enum
import types
import typing
import uuid
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]
Convert = Callable[[Any], Any]

_PLAIN: dict[Any, Schema] = {
    Any: {}, object: {}, int: {"type": "integer"}, str: {"type": "string"}, bool: {"type": "boolean"},
    None: {"type": "null"}, type(None): {"type": "null"}, dict: {"type": "object"}, list: {"type": "array"},
}  # fmt: skip
_TEXT: dict[Any, tuple[str, Convert]] = {
    datetime.datetime: ("date-time", datetime.datetime.fromisoformat),
    datetime.date: ("date", datetime.date.fromisoformat),
    uuid.UUID: ("uuid", uuid.UUID),
}
_LISTS: dict[Any, Convert | None] = {
    list: None, set: set, frozenset: frozenset, collections.abc.Sequence: None, collections.abc.Iterable: None,
}  # fmt: skip
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def build(annotation: Any) -> tuple[Schema, Convert | None]:
    """Return the schema of an annotation, and the function that converts a JSON value to the type.

    The function is None if the JSON value is used as it is. Raises TypeError for a type that has no
    schema.
    """
    builder = _Builder()
    schema, convert = builder.build(annotation)
    if builder.definitions:
        schema = {**schema, "$defs": builder.definitions}
    return schema, convert


def is_object(schema: Schema) -> bool:
    """Report whether a schema describes an object."""
    definition = schema.get("$ref", "").removeprefix("#/$defs/")
    if definition in schema.get("$defs", {}):
        return is_object(schema["$defs"][definition])
    if "anyOf" in schema:
        return any(is_object(option) for option in schema["anyOf"])
    kind = schema.get("type")
    return kind == "object" or isinstance(kind, list) and "object" in kind


class _Builder:
    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}
        self._open: dict[Any, list[Convert | None]] = {}  # classes that are being built
        self._recursive: set[Any] = set()

    def build(self, annotation: Any) -> tuple[Schema, Convert | None]:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            return self._annotated(*typing.get_args(annotation))
        if isinstance(annotation, typing.TypeVar):
            return {}, None
        if hasattr(annotation, "__supertype__"):  # NewType
            return self.build(annotation.__supertype__)
        if type(annotation).__name__ == "TypeAliasType":
            return self.build(annotation.__value__)
        if annotation is float:
            return {"type": "number"}, float
        if annotation in _TEXT:
            form, convert = _TEXT[annotation]
            return {"type": "string", "format": form}, convert
        if annotation in _PLAIN:
            return dict(_PLAIN[annotation]), None
        if origin is not None or annotation in _LISTS or annotation is tuple:
            return self._generic(origin or annotation, typing.get_args(annotation))
        if isinstance(annotation, type):
            return self._class(annotation)
        raise TypeError(f"the annotation {annotation!r} has no JSON schema: use Annotated[Any, {{…schema…}}]")

    def _annotated(self, annotation: Any, *extras: Any) -> tuple[Schema, Convert | None]:
        schema, convert = self.build(annotation)
        for extra in extras:
            if isinstance(extra, dict):
                schema |= extra
            elif isinstance(extra, str):
                schema["description"] = extra
        return schema, convert

    def _generic(self, origin: Any, args: tuple[Any, ...]) -> tuple[Schema, Convert | None]:
        if origin in (typing.Required, typing.NotRequired, getattr(typing, "ReadOnly", None), typing.Final):
            return self.build(args[0])
        if origin is typing.Literal:
            return _one_of(list(args)), None
        if origin in (typing.Union, types.UnionType):
            return self._union(args)
        if origin in _DICTS:
            schema, convert = self.build(args[1]) if args else ({}, None)
            schema = {"type": "object"} | ({"additionalProperties": schema} if schema else {})
            return schema, _dict_of(convert)
        if origin is tuple and not (len(args) == 2 and args[1] is ...):
            return self._tuple(args)
        if origin in _LISTS or origin is tuple:
            item, convert = self.build(args[0]) if args else ({}, None)
            schema = {"type": "array"} | ({"items": item} if item else {})
            if origin in (set, frozenset):
                schema["uniqueItems"] = True
            return schema, _list_of(convert, tuple if origin is tuple else _LISTS[origin])
        return self.build(origin)  # a generic class without its parameters

    def _union(self, args: tuple[Any, ...]) -> tuple[Schema, Convert | None]:
        nullable = type(None) in args
        built = [self.build(arg) for arg in args if arg is not type(None)]
        converts = [convert for _, convert in built if convert and convert is not float]
        if len(built) > 1 and converts:
            raise TypeError(f"a value of {args!r} does not say which of the types it has: use one type, or Any")
        convert = built[0][1] if len(built) == 1 else None
        if convert and nullable:
            convert = _or_none(convert)
        schemas = [schema for schema, _ in built] + ([{"type": "null"}] if nullable else [])
        if any(not schema for schema in schemas):
            return {}, convert
        if all(schema.keys() == {"type"} and isinstance(schema["type"], str) for schema in schemas):
            return {"type": [schema["type"] for schema in schemas]}, convert
        return {"anyOf": schemas}, convert

    def _tuple(self, args: tuple[Any, ...]) -> tuple[Schema, Convert | None]:
        if not args:
            return {"type": "array"}, tuple
        built = [self.build(arg) for arg in args]
        schema = {"type": "array", "prefixItems": [s for s, _ in built], "minItems": len(args), "maxItems": len(args)}
        converts = [convert or (lambda value: value) for _, convert in built]
        return schema, lambda value: tuple(c(item) for c, item in zip(converts, value, strict=True))

    def _class(self, cls: type) -> tuple[Schema, Convert | None]:
        if hasattr(cls, "model_json_schema") and hasattr(cls, "model_validate"):  # pydantic
            schema = dict(cls.model_json_schema())
            self.definitions |= schema.pop("$defs", {})
            return schema, cls.model_validate
        if issubclass(cls, enum.Enum):
            return _one_of([member.value for member in cls]), cls
        if dataclasses.is_dataclass(cls):
            names = [field.name for field in dataclasses.fields(cls) if field.init]
            required = [
                field.name for field in dataclasses.fields(cls) if field.init
                and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            ]  # fmt: skip
            return self._fields(cls, names, required, make=cls)
        if typing.is_typeddict(cls):
            hints = list(typing.get_type_hints(cls))
            return self._fields(
                cls, hints, [name for name in hints if name in getattr(cls, "__required_keys__", hints)], make=None
            )
        raise TypeError(f"the class {cls.__name__} has no JSON schema: use a dataclass, a TypedDict or Any")

    def _fields(
        self, cls: type, names: list[str], required: list[str], make: Callable[..., Any] | None
    ) -> tuple[Schema, Convert | None]:
        if cls in self._open:  # the class has itself as a part
            self._recursive.add(cls)
            cell = self._open[cls]
            return {"$ref": f"#/$defs/{cls.__name__}"}, lambda value: cell[0](value) if cell[0] else value
        cell = self._open[cls] = [None]
        hints = typing.get_type_hints(cls, include_extras=True)
        built = {name: self.build(hints[name]) for name in names}
        del self._open[cls]
        schema: Schema = {"type": "object", "properties": {name: s for name, (s, _) in built.items()}}
        if required:
            schema["required"] = required
        schema["additionalProperties"] = False
        cell[0] = record({name: convert for name, (_, convert) in built.items() if convert}, make)
        if cls in self._recursive:
            self.definitions[cls.__name__] = schema
            schema = {"$ref": f"#/$defs/{cls.__name__}"}
        return schema, cell[0]


def _one_of(values: list[Any]) -> Schema:
    kinds = {type(value) for value in values}
    kind = _PLAIN.get(kinds.pop(), {}) if len(kinds) == 1 else {}
    return kind | {"enum": values}


def _list_of(convert: Convert | None, make: Convert | None) -> Convert | None:
    if convert is None:
        return make
    if make is None:
        return lambda value: [convert(item) for item in value]
    return lambda value: make(convert(item) for item in value)


def _or_none(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _dict_of(convert: Convert | None) -> Convert | None:
    if convert is None:
        return None
    return lambda value: {name: convert(item) for name, item in value.items()}


def record(converts: dict[str, Convert], make: Callable[..., Any] | None) -> Convert | None:
    """Return the function that builds an object from its fields; make None: a dict."""
    if not converts:
        return make and (lambda value: make(**value))

    def convert(value: Any) -> Any:
        fields = {name: converts[name](item) if name in converts else item for name, item in value.items()}
        return make(**fields) if make else fields

    return convert
