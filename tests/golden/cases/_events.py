"""Graphs, settings and predicates that several cases of events use."""

from typing import Any

from ..library import START, Graph, StateGraph
from ._shared import XL

LABELLED = {"tags": ["t"], "metadata": {"m": 1}, "configurable": {"thread_id": "T"}}


def adding(text: str) -> Any:
    """An async node that extends `x` and logs what it added."""

    async def node(state: XL) -> Any:
        return {"x": state["x"] + text, "log": [text]}

    return node


def chain_of(*nodes: tuple[str, Any], name: str | None = None, state: Any = XL) -> Graph:
    """Nodes one after the other."""
    return StateGraph(state).add_sequence(nodes).add_edge(START, nodes[0][0]).compile(name=name)


def one(node: Any, **options: Any) -> Graph:
    """A graph of the one node `n`."""
    return StateGraph(XL).add_node("n", node, **options).add_edge(START, "n").compile()


def two(name: str | None = None) -> Graph:
    return chain_of(("a", adding("a")), ("b", adding("b")), name=name)


def of_the_root(event: Any) -> bool:
    return not event["parent_ids"]
