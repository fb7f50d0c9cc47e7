"""The library under test, by its root name.

The cases import what they need from here, so that one and the same graph records LangGraph
(``python -m tests.golden.record``) and tests penstock.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

ROOT = os.environ.get("GOLDEN_LIBRARY", "penstock")

if TYPE_CHECKING:
    from penstock.config import RunnableConfig, get_stream_writer
    from penstock.errors import NodeError
    from penstock.graph import END, START, MessagesState, StateGraph, add_messages
    from penstock.managed import IsLastStep, RemainingSteps
    from penstock.runtime import Runtime
    from penstock.tools import tool
    from penstock.types import Command, Overwrite, RetryPolicy, Send, StreamWriter
else:
    _HOMES = {
        "config": ("RunnableConfig", "get_stream_writer"),
        "errors": ("NodeError",),
        "graph": ("END", "START", "MessagesState", "StateGraph", "add_messages"),
        "managed": ("IsLastStep", "RemainingSteps"),
        "runtime": ("Runtime",),
        "types": ("Command", "Overwrite", "RetryPolicy", "Send", "StreamWriter"),
    }
    for _home, _names in _HOMES.items():
        _module = importlib.import_module(f"{ROOT}.{_home}")
        globals().update({_name: getattr(_module, _name) for _name in _names})
    tool = importlib.import_module("penstock.tools" if ROOT == "penstock" else "langchain_core.tools").tool

Graph = Any  # a compiled graph of either library

__all__ = [
    "END",
    "ROOT",
    "START",
    "Command",
    "Graph",
    "IsLastStep",
    "MessagesState",
    "NodeError",
    "Overwrite",
    "RemainingSteps",
    "RetryPolicy",
    "RunnableConfig",
    "Runtime",
    "Send",
    "StateGraph",
    "StreamWriter",
    "add_messages",
    "get_stream_writer",
    "tool",
]
