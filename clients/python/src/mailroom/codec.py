"""JSON as the frames use it."""

import dataclasses
import datetime
import enum
import json
import logging
import uuid
from typing import Any

log = logging.getLogger("mailroom")


def _plain(value: Any) -> Any:
    """Return what stands for a value that JSON does not know."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):  # pydantic
        return value.model_dump(mode="json")
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise TypeError(f"a {type(value).__name__} is not JSON")


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode


def encode(value: Any) -> bytes:
    """Return a value as one line of JSON, without the line end.

    Raises TypeError or ValueError if the value is not JSON.
    """
    return _encode(value).encode()


def decode_frame(text: str | bytes) -> dict[str, Any] | None:
    """Return a frame. None: the text is no JSON object, which is logged."""
    try:
        frame = json.loads(text)
    except ValueError:
        frame = None
    if isinstance(frame, dict):
        return frame
    log.warning("ignored a message that is no frame: %.80r", text)
    return None
