"""A shortcut most tests of this folder take: a graph of one node."""

from __future__ import annotations

from typing import Any

from penstock.graph import END, START, CompiledStateGraph, StateGraph

Graph = CompiledStateGraph[Any, Any, Any, Any]


def one_node(schema: Any, node: Any, /, *, name: str = "node", **schemas: Any) -> Graph:
    """START -> node -> END over `schema`."""
    return StateGraph(schema, **schemas).add_node(name, node).add_edge(START, name).add_edge(name, END).compile()


def chain(schema: Any, /, **nodes: Any) -> StateGraph[Any]:
    """A builder with `nodes` one after the other."""
    return StateGraph(schema).add_sequence(list(nodes.items())).add_edge(START, next(iter(nodes)))
