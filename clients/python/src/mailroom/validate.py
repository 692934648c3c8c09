"""A check of values against the JSON schemas that this package writes, for tests.

Mailroom checks the arguments of real requests, by the whole of JSON Schema.
"""

from typing import Any

from .schema import Schema

_KINDS: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None),
    "number": (int, float), "integer": int,
}  # fmt: skip


def fault(schema: Schema, value: Any, root: Schema | None = None) -> str:
    """Return why a value does not fit, such as ".name: want string". Empty: it fits."""
    root = schema if root is None else root
    if reference := schema.get("$ref"):
        target = root if reference == "#" else root.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {})
        return fault(target, value, root)
    if "anyOf" in schema and all(fault(option, value, root) for option in schema["anyOf"]):
        return f": {value!r} fits none of the schemas"
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(kind, value) for kind in kinds):
        return f": want {' or '.join(kinds)}, got {value!r}"
    if "enum" in schema and value not in schema["enum"]:
        return f": want one of {schema['enum']}, got {value!r}"
    if isinstance(value, dict):
        return _object_fault(schema, value, root)
    if isinstance(value, list):
        return _array_fault(schema, value, root)
    return _bounds_fault(schema, value)


def _is(kind: str, value: Any) -> bool:
    if isinstance(value, bool) and kind != "boolean":
        return False
    return isinstance(value, _KINDS[kind]) or kind == "integer" and isinstance(value, float) and value.is_integer()


def _object_fault(schema: Schema, value: dict[str, Any], root: Schema) -> str:
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties", {})
    for name in schema.get("required", []):
        if name not in value:
            return f".{name}: is missing"
    for name, item in value.items():
        own = properties.get(name, others)
        if own is False:
            return f".{name}: is not a field"
        if isinstance(own, dict) and (found := fault(own, item, root)):
            return f".{name}{found}"
    return ""


def _array_fault(schema: Schema, value: list[Any], root: Schema) -> str:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return f": has {len(value)} items"
    if schema.get("uniqueItems") and any(item in value[:i] for i, item in enumerate(value)):
        return ": has an item twice"
    first = schema.get("prefixItems", [])
    for i, item in enumerate(value):
        if found := fault(first[i] if i < len(first) else schema.get("items", {}), item, root):
            return f"[{i}]{found}"
    return ""


def _bounds_fault(schema: Schema, value: Any) -> str:
    if isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            return f": has {len(value)} characters"
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            return f": {value} is out of range"
    return ""
