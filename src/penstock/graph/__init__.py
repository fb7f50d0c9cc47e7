"""Describing graphs: `StateGraph`, and what is needed around it."""

from __future__ import annotations

from ..constants import END, START
from ._builder import StateGraph
from ._compiled import CompiledStateGraph
from .message import MessagesState, add_messages

__all__ = ["END", "START", "CompiledStateGraph", "MessagesState", "StateGraph", "add_messages"]
