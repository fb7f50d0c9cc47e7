"""Telling messages from everything else."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ._base import BaseMessage

_MARKS = ("content", "additional_kwargs", "response_metadata", "id")


def is_message(value: object) -> bool:
    """Whether something is a message: one of ours, or one of LangChain's.

    LangChain is not imported for this; its messages are known by the fields that their class declares.

    Args:
        value: anything.

    Returns:
        True for a message object; False for everything else, also for dicts, tuples and texts that
        :func:`coerce_message` could make a message of.

    Example:
        ```python
        from penstock.messages import HumanMessage, is_message

        assert is_message(HumanMessage("Hi"))
        assert not is_message({"role": "user", "content": "Hi"})
        ```
    """
    if isinstance(value, BaseMessage):
        return True
    cls: Any = type(value)
    return is_foreign_class(cls)


@lru_cache(maxsize=512)
def is_foreign_class(cls: type[Any]) -> bool:
    """Whether a class that is not ours is a message class."""
    if issubclass(cls, BaseMessage) or cls.__module__ == "builtins":
        return False
    fields = getattr(cls, "model_fields", None)
    return isinstance(fields, dict) and all(mark in fields for mark in _MARKS) and hasattr(cls, "model_copy")


@lru_cache(maxsize=64)
def whole_class(cls: type[Any]) -> Any:
    """The message class that a foreign chunk class is a part of; None for a class that is no chunk."""
    if not cls.__name__.endswith("Chunk"):
        return None
    bases: tuple[Any, ...] = cls.__mro__[1:]
    for base in bases:
        if is_foreign_class(base) and not base.__name__.endswith("Chunk"):
            # A base that leaves the type open is the root of all messages, and none itself.
            kind = base.model_fields.get("type")
            return None if kind is None or kind.is_required() else base
    return None
