"""Graphs that several tests of the public API stream."""

from __future__ import annotations

import operator
import re
from typing import Annotated, Any

from typing_extensions import TypedDict

from penstock.graph import START, CompiledStateGraph, StateGraph
from penstock.types import StreamWriter


class State(TypedDict):
    log: Annotated[list[str], operator.add]
    text: str


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


def says(word: str) -> Any:
    """A node that writes its name to the stream, then to the log."""

    async def node(state: State, writer: StreamWriter) -> Any:
        await writer(f"{word} works")
        return {"log": [word]}

    return node


def line(*names: str, **subgraphs: Any) -> CompiledStateGraph[State]:
    """The nodes one after the other: the named ones, then the graphs."""
    nodes = [*((name, says(name)) for name in names), *subgraphs.items()]
    return StateGraph(State, output_schema=Log).add_sequence(nodes).add_edge(START, nodes[0][0]).compile()


def two_deep() -> CompiledStateGraph[State]:
    """root: before -> middle (inner: (leaf)) -> after."""
    inner = line("leaf")
    middle = line("beside", inner=inner)
    builder = StateGraph(State).add_sequence([("before", says("before")), ("middle", middle), ("after", says("after"))])
    return builder.add_edge(START, "before").compile()


def path(namespace: tuple[str, ...]) -> str:
    """A namespace without the ids of tasks: `middle/inner`."""
    return "/".join(re.sub(r":[0-9a-f]{8}-[0-9a-f-]{27}$", "", segment) for segment in namespace)
