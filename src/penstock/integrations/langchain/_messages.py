"""penstock's messages for LangChain's models."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import import_module
from typing import Any

from penstock.errors import MessageError
from penstock.messages import BaseMessage

_messages: Any = import_module("langchain_core.messages")
_utils: Any = import_module("langchain_core.messages.utils")

_FIELDS = (
    "content",
    "id",
    "name",
    "additional_kwargs",
    "response_metadata",
    "tool_call_id",
    "status",
    "artifact",
    "usage_metadata",
    "tool_calls",
    "invalid_tool_calls",
    "tool_call_chunks",
    "chunk_position",
)

_MADE_OF_CHUNKS = ("tool_calls", "invalid_tool_calls")


def as_langchain(message: BaseMessage) -> Any:
    """One of penstock's messages as LangChain's message of the same name."""
    kind = next((found for c in type(message).__mro__ if (found := getattr(_messages, c.__name__, None))), None)
    if kind is None or kind is _messages.BaseMessage:
        raise MessageError(f"LangChain has no message like {message!r}")
    if kind is _messages.RemoveMessage:
        return kind(id=message.id)
    fields = {name: getattr(message, name) for name in _FIELDS if hasattr(message, name) and name in kind.model_fields}
    if "tool_call_chunks" in fields:  # LangChain works the calls out itself
        fields = {name: value for name, value in fields.items() if name not in _MADE_OF_CHUNKS}
    return kind(**{name: list(v) if type(v) is list else v for name, v in fields.items()})


def accept_ours() -> None:
    """Let LangChain's models and prompts take penstock's messages wherever they take messages."""
    convert: Any = getattr(_utils, "_convert_to_message", None)
    if convert is None or isinstance(convert, _AcceptsOurs):
        return
    # LangChain has no door for messages of others: everything that takes messages goes through this one function.
    _utils._convert_to_message = _AcceptsOurs(convert)


class _AcceptsOurs:
    """LangChain's function that makes messages of what it is given, with penstock's messages as one more kind."""

    def __init__(self, convert: Callable[[Any], Any]) -> None:
        functools.update_wrapper(self, convert)
        self._convert = convert

    def __call__(self, message: Any) -> Any:
        return as_langchain(message) if isinstance(message, BaseMessage) else self._convert(message)
