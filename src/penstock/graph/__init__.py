"""Describing graphs: `StateGraph`, and what is needed around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..constants import END, START
from ._builder import StateGraph
from ._compiled import CompiledStateGraph

if TYPE_CHECKING:
    from .message import MessagesState, add_messages

__all__ = ["END", "START", "CompiledStateGraph", "MessagesState", "StateGraph", "add_messages"]


def __getattr__(name: str) -> Any:
    """Load the messages when they are asked for: many graphs have none, and they are a tenth of the import."""
    if name not in ("MessagesState", "add_messages"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import message

    value = globals()[name] = getattr(message, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
