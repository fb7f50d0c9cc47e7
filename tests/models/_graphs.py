"""Graphs around a model, and readers of what they stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.graph import START, MessagesState, StateGraph


def asking(model: Any, how: str = "ainvoke") -> Any:
    """A graph of one node that asks the model by the named method and returns the answer."""
    return around(_BODIES[how](model))


def around(node: Callable[..., Any]) -> Any:
    """A graph of one node."""
    return StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile()


def _ainvoke(model: Any) -> Any:
    async def node(state: Any) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    return node


def _astream(model: Any) -> Any:
    async def node(state: Any) -> Any:
        answer = sum([chunk async for chunk in model.astream(state["messages"])])
        return {"messages": [answer.to_message()]}

    return node


def _invoke(model: Any) -> Any:
    return lambda state: {"messages": [model.invoke(state["messages"])]}


def _stream(model: Any) -> Any:
    return lambda state: {"messages": [sum(model.stream(state["messages"])).to_message()]}


_BODIES = {"ainvoke": _ainvoke, "astream": _astream, "invoke": _invoke, "stream": _stream}


async def shown(graph: Any, **options: Any) -> list[tuple[Any, dict[str, Any]]]:
    """What a reader of `messages` sees."""
    return [part async for part in graph.astream({"messages": "hi"}, stream_mode="messages", **options)]


def texts(parts: list[tuple[Any, dict[str, Any]]]) -> list[str]:
    """The texts of what a reader saw."""
    return [chunk.text for chunk, _ in parts]
