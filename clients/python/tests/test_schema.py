"""JSON schemas and converters from annotations."""

import datetime
import enum
import unittest
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    NotRequired,
    Optional,
    TypedDict,
    TypeVar,
)

from mailroom import schema, validate

UserId = NewType("UserId", int)
T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Item:
    name: str
    count: int = 1
    tags: list[str] = field(default_factory=list)
    color: Color | None = None


@dataclass
class Node:
    value: int
    children: list["Node"] = field(default_factory=list)


class Query(TypedDict):
    limit: int
    cursor: NotRequired[str]


class Wrapped(TypedDict):
    item: Item


class Model:
    """Looks like a pydantic model."""

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"other": {"$ref": "#/$defs/Other"}},
            "$defs": {"Other": {"type": "string"}},
        }

    @classmethod
    def model_validate(cls, value: Any) -> "Model":
        return cls(value["name"])


ITEM = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "color": {"anyOf": [{"type": "string", "enum": ["red", "blue"]}, {"type": "null"}]},
    },
    "required": ["name"],
    "additionalProperties": False,
}


class SchemaTest(unittest.TestCase):
    def test_schemas(self) -> None:
        for annotation, want in [
            (int, {"type": "integer"}),
            (float, {"type": "number"}),
            (Any, {}),
            (T, {}),
            (None, {"type": "null"}),
            (UserId, {"type": "integer"}),
            (Optional[int], {"type": ["integer", "null"]}),  # noqa: UP045
            (int | str | None, {"type": ["integer", "string", "null"]}),
            (int | Any, {}),
            (dict, {"type": "object"}),
            (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
            (Mapping[str, Any], {"type": "object"}),
            (list, {"type": "array"}),
            (Sequence[int], {"type": "array", "items": {"type": "integer"}}),
            (set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}),
            (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
            (tuple[int], {"type": "array", "prefixItems": [{"type": "integer"}], "minItems": 1, "maxItems": 1}),
            (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
            (Literal[1, "b"], {"enum": [1, "b"]}),
            (datetime.date, {"type": "string", "format": "date"}),
            (Annotated[int, {"minimum": 1}, "the id"], {"type": "integer", "minimum": 1, "description": "the id"}),
            (Item, ITEM),
            (list[Item], {"type": "array", "items": ITEM}),
            (
                Query,
                {
                    "type": "object", "properties": {"limit": {"type": "integer"}, "cursor": {"type": "string"}},
                    "required": ["limit"], "additionalProperties": False,
                },
            ),
            (Model | None, {
                "anyOf": [{"type": "object", "properties": {"other": {"$ref": "#/$defs/Other"}}}, {"type": "null"}],
                "$defs": {"Other": {"type": "string"}},
            }),
        ]:  # fmt: skip
            with self.subTest(annotation):
                self.assertEqual(schema.build(annotation)[0], want)

    def test_a_class_that_has_itself_as_a_part(self) -> None:
        built, convert = schema.build(Node)
        self.assertEqual(built["$ref"], "#/$defs/Node")
        self.assertEqual(built["$defs"]["Node"]["properties"]["children"]["items"], {"$ref": "#/$defs/Node"})
        self.assertTrue(schema.is_object(built))
        value = {"value": 1, "children": [{"value": 2}, {"value": 3, "children": [{"value": 4}]}]}
        assert convert
        self.assertEqual(convert(value), Node(1, [Node(2), Node(3, [Node(4)])]))
        self.assertEqual(validate.fault(built, value), "")
        self.assertEqual(validate.fault(built, {"value": 1, "children": [{}]}), ".children[0].value: is missing")

    def test_converters(self) -> None:
        name = uuid.uuid4()
        for annotation, value, want in [
            (float, 1, 1.0),
            (Item, {"name": "a"}, Item("a")),
            (Optional[Item], None, None),  # noqa: UP045
            (Optional[Item], {"name": "a", "color": "red"}, Item("a", color=Color.RED)),  # noqa: UP045
            (dict[str, Item], {"x": {"name": "a"}}, {"x": Item("a")}),
            (list[Item], [{"name": "a"}], [Item("a")]),
            (tuple[Item, int], [{"name": "a"}, 2], (Item("a"), 2)),
            (tuple[int, ...], [1, 2], (1, 2)),
            (set[int], [1, 2], {1, 2}),
            (Wrapped, {"item": {"name": "a"}}, {"item": Item("a")}),
            (uuid.UUID, str(name), name),
            (
                datetime.datetime,
                "2024-01-02T03:04:05+00:00",
                datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
            ),
        ]:
            with self.subTest(annotation):
                convert = schema.build(annotation)[1]
                assert convert
                got = convert(value)
                self.assertEqual(got, want)
                self.assertIs(type(got), type(want))
        model = schema.build(Model)[1]
        assert model
        self.assertEqual(model({"name": "a"}).name, "a")
        for annotation in (int, str, dict, list[int], Query, Any, int | None):
            self.assertIsNone(schema.build(annotation)[1], annotation)

    def test_types_without_a_schema(self) -> None:
        for annotation, why in [
            (SchemaTest, "SchemaTest has no JSON schema: use a dataclass"),
            (Item | Query, "does not say which"),
            ("text", "use Annotated"),
        ]:
            with self.subTest(annotation), self.assertRaisesRegex(TypeError, why):
                schema.build(annotation)

    def test_faults(self) -> None:
        for annotation, value, want in [
            (int, "1", ": want integer, got '1'"),
            (int, True, ": want integer, got True"),
            (int, 1.0, ""),
            (float, 1, ""),
            (str | None, None, ""),
            (Item, {"name": "a", "x": 1}, ".x: is not a field"),
            (Item, {"name": "a", "color": "green"}, ".color: 'green' fits none of the schemas"),
            (dict[str, int], {"a": "b"}, ".a: want integer, got 'b'"),
            (list[int], [1, "b"], "[1]: want integer, got 'b'"),
            (tuple[int, str], [1], ": has 1 items"),
            (tuple[int, str], [1, 2], "[1]: want string, got 2"),
            (set[int], [1, 1], ": has an item twice"),
            (Literal["a"], "b", ": want one of ['a'], got 'b'"),
            (Annotated[int, {"minimum": 1}], 0, ": 0 is out of range"),
            (Annotated[str, {"maxLength": 1}], "ab", ": has 2 characters"),
        ]:
            with self.subTest(annotation):
                self.assertEqual(validate.fault(schema.build(annotation)[0], value), want)
