"""Messages as fields of pydantic models; used by pydantic only, which itself is never imported."""

from __future__ import annotations

from typing import Any

from ._base import BaseMessage


def core_schema(cls: type[BaseMessage]) -> dict[str, Any]:
    """Pydantic's description of a field of this message class."""

    def validate(value: Any) -> Any:
        from ._coerce import coerce_message
        from ._predicate import is_message

        if isinstance(value, cls):
            return value
        if is_message(value) and not isinstance(value, BaseMessage):
            return value
        message = coerce_message(value)
        if not isinstance(message, cls):
            raise ValueError(f"expected {cls.__name__}, got {message!r}")
        return message

    return {
        "type": "function-plain",
        "function": {"type": "no-info", "function": validate},
        "serialization": {"type": "function-plain", "function": lambda message: message.model_dump()},
    }


def json_schema(cls: type[BaseMessage]) -> dict[str, Any]:
    """The JSON schema of a field of this message class."""
    return {
        "type": "object",
        "title": cls.__name__,
        "properties": {
            "type": {"type": "string"},
            "content": {"anyOf": [{"type": "string"}, {"type": "array"}]},
            "id": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["content"],
    }
