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
    from penstock.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
    from penstock.prebuilt import ToolNode, create_react_agent
    from penstock.runnables import (
        ChatPromptTemplate,
        JsonOutputParser,
        MessagesPlaceholder,
        RunnableLambda,
        RunnableParallel,
        RunnablePassthrough,
        StrOutputParser,
    )
    from penstock.runtime import Runtime
    from penstock.tools import tool
    from penstock.types import Command, Overwrite, RetryPolicy, Send, StreamWriter
else:
    _HOMES = {
        "config": ("RunnableConfig", "get_stream_writer"),
        "errors": ("NodeError",),
        "graph": ("END", "START", "MessagesState", "StateGraph", "add_messages"),
        "managed": ("IsLastStep", "RemainingSteps"),
        "prebuilt": ("ToolNode", "create_react_agent"),
        "runtime": ("Runtime",),
        "types": ("Command", "Overwrite", "RetryPolicy", "Send", "StreamWriter"),
    }
    # Each name's home in penstock, and in LangChain where LangGraph has none of it.
    _STEPS = {
        ("messages", "messages"): ("AIMessage", "AIMessageChunk", "HumanMessage", "SystemMessage", "ToolMessage"),
        ("runnables", "output_parsers"): ("JsonOutputParser", "StrOutputParser"),
        ("runnables", "prompts"): ("ChatPromptTemplate", "MessagesPlaceholder"),
        ("runnables", "runnables"): ("RunnableLambda", "RunnableParallel", "RunnablePassthrough"),
        ("tools", "tools"): ("tool",),
    }
    _EVERY = {f"{ROOT}.{home}": names for home, names in _HOMES.items()}
    for (_native, _foreign), _names in _STEPS.items():
        _home = f"penstock.{_native}" if ROOT == "penstock" else f"langchain_core.{_foreign}"
        _EVERY[_home] = (*_EVERY.get(_home, ()), *_names)
    for _home, _names in _EVERY.items():
        _module = importlib.import_module(_home)
        globals().update({_name: getattr(_module, _name) for _name in _names})

Graph = Any  # a compiled graph of either library


def generator_step(function: Any) -> Any:
    """A generator function as a step to begin with: it gets the pieces of its input and yields pieces."""
    if ROOT == "penstock":
        return RunnableLambda(function)
    return importlib.import_module("langchain_core.runnables").RunnableGenerator(function)


async def adispatch_custom_event(name: str, data: Any, **options: Any) -> None:
    """Looked up when it is called, as the modules of cases are imported by tests that need no events, too."""
    await _events().adispatch_custom_event(name, data, **options)


def dispatch_custom_event(name: str, data: Any, **options: Any) -> None:
    """The same for plain functions."""
    _events().dispatch_custom_event(name, data, **options)


def _events() -> Any:
    return importlib.import_module("penstock.runtime" if ROOT == "penstock" else "langchain_core.callbacks")


__all__ = [
    "END",
    "ROOT",
    "START",
    "AIMessage",
    "AIMessageChunk",
    "ChatPromptTemplate",
    "Command",
    "Graph",
    "HumanMessage",
    "IsLastStep",
    "JsonOutputParser",
    "MessagesPlaceholder",
    "MessagesState",
    "NodeError",
    "Overwrite",
    "RemainingSteps",
    "RetryPolicy",
    "RunnableConfig",
    "RunnableLambda",
    "RunnableParallel",
    "RunnablePassthrough",
    "Runtime",
    "Send",
    "StateGraph",
    "StrOutputParser",
    "StreamWriter",
    "SystemMessage",
    "ToolMessage",
    "ToolNode",
    "add_messages",
    "adispatch_custom_event",
    "create_react_agent",
    "dispatch_custom_event",
    "generator_step",
    "get_stream_writer",
    "tool",
]
