"""Stream from a subgraph: with ``subgraphs=True`` every chunk says in which graph it was made.

Run it: ``python examples/stream_from_subgraphs.py``
"""

from __future__ import annotations

from typing import TypedDict

import anyio

from penstock.graph import START, StateGraph


class SubgraphState(TypedDict, total=False):
    foo: str  # this key is shared with the parent graph's state
    bar: str


def subgraph_node_1(state: SubgraphState) -> SubgraphState:
    return {"bar": "bar"}


def subgraph_node_2(state: SubgraphState) -> SubgraphState:
    return {"foo": state["foo"] + state["bar"]}


subgraph = (
    StateGraph(SubgraphState)
    .add_node(subgraph_node_1)
    .add_node(subgraph_node_2)
    .add_edge(START, "subgraph_node_1")
    .add_edge("subgraph_node_1", "subgraph_node_2")
    .compile()
)


class ParentState(TypedDict):
    foo: str


def node_1(state: ParentState) -> ParentState:
    return {"foo": "hi! " + state["foo"]}


graph = (
    StateGraph(ParentState)
    .add_node("node_1", node_1)
    .add_node("node_2", subgraph)
    .add_edge(START, "node_1")
    .add_edge("node_1", "node_2")
    .compile()
)


def place(namespace: tuple[str, ...]) -> str:
    """A namespace without the ids of its tasks."""
    return "/".join(segment.split(":")[0] for segment in namespace) or "root"


async def stream_async() -> None:
    print("async, subgraphs=True")
    async for namespace, chunk in graph.astream({"foo": "foo"}, stream_mode="updates", subgraphs=True):
        print(f"  {place(namespace):7}", chunk)


def main() -> None:
    print("sync, only the parent")
    for chunk in graph.stream({"foo": "foo"}, stream_mode="updates"):
        print(" ", chunk)
    print("sync, subgraphs=True")
    for namespace, chunk in graph.stream({"foo": "foo"}, stream_mode="updates", subgraphs=True):
        print(f"  {place(namespace):7}", chunk)
    print("sync, subgraphs=True and a list of modes")
    both = graph.stream({"foo": "foo"}, stream_mode=["updates", "values"], subgraphs=True)
    for namespace, mode, chunk in both:
        print(f"  {place(namespace):7} {mode:8}", chunk)
    anyio.run(stream_async)


if __name__ == "__main__":
    main()
