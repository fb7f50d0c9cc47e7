"""Small graphs for the cases of failure, context, threads and the sync API."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from typing_extensions import TypedDict

from penstock.graph import START, CompiledStateGraph, StateGraph

Graph = CompiledStateGraph[Any, Any, Any, Any]
Node = Callable[..., Any] | Graph | tuple[str, Callable[..., Any] | Graph]


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[Any], operator.add]


def side_by_side(*nodes: Node, **options: Any) -> Graph:
    """All nodes in one superstep; `options` are those of `add_node`."""
    builder = StateGraph(State)
    for node in nodes:
        name, function = node if isinstance(node, tuple) else (node.__name__, node)
        builder.add_node(name, function, **options).add_edge(START, name)
    return builder.compile()


def in_a_row(*nodes: Node, **options: Any) -> Graph:
    """One node after the other; `options` are those of `add_node`."""
    builder = StateGraph(State)
    before = START
    for node in nodes:
        name, function = node if isinstance(node, tuple) else (node.__name__, node)
        builder.add_node(name, function, **options).add_edge(before, name)
        before = name
    return builder.compile()


def notes(error: BaseException) -> str:
    """The notes of an exception, on Python 3.10, too."""
    found: Sequence[str] = getattr(error, "__notes__", ())
    return "\n".join(found)
