"""`only=`: chunks nobody wants are never built, in every mode and in subgraphs."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.graph import START, CompiledStateGraph, StateGraph
from penstock.types import Only
from tests.support import collect

from ._graphs import State, line, path, says, two_deep

INPUT: dict[str, Any] = {"log": [], "text": "t"}
BY_NODE: list[Any] = ["updates", "custom", "tasks", "debug"]


async def origins(
    graph: CompiledStateGraph[Any], only: Any, modes: Any, **arguments: Any
) -> list[tuple[str, str, str]]:
    """Where each chunk comes from: the graph, the mode, the node (empty for `values`)."""
    chunks = await collect(graph.astream(INPUT, stream_mode=modes, subgraphs=True, only=only, **arguments))
    return [(path(ns), mode, _node(mode, chunk)) for ns, mode, chunk in chunks]


def _node(mode: str, chunk: Any) -> str:
    if mode == "updates":
        (name,) = chunk
        return str(name)
    if mode == "custom":
        return str(chunk.removesuffix(" works"))
    if mode == "values":
        return ""
    return str((chunk["payload"] if mode == "debug" else chunk)["name"])


@pytest.mark.parametrize("mode", BY_NODE)
@pytest.mark.parametrize("only", ["b", ["b"], {"b"}, Only(nodes=["b"]), {"nodes": ("b",)}, Only(nodes="b")])
async def test_only_a_node(mode: Any, only: Any) -> None:
    found = await origins(line("a", "b", "c"), only, [mode])
    assert found
    assert {node for _, _, node in found} == {"b"}


async def test_values_belong_to_no_node() -> None:
    found = await origins(line("a", "b"), "b", ["values", "updates"])
    assert found == [("", "values", ""), ("", "values", ""), ("", "updates", "b"), ("", "values", "")]


async def test_only_several_nodes_and_no_nodes() -> None:
    assert [n for _, _, n in await origins(line("a", "b", "c"), ["a", "c"], ["updates"])] == ["a", "c"]
    assert await origins(line("a", "b", "c"), [], ["updates", "custom"]) == []
    assert [n for _, _, n in await origins(line("a", "b"), None, ["updates"])] == ["a", "b"]
    assert [n for _, _, n in await origins(line("a", "b"), Only(), ["updates"])] == ["a", "b"]


async def test_only_a_node_of_a_subgraph() -> None:
    found = await origins(two_deep(), "leaf", BY_NODE)
    assert {(ns, node) for ns, _, node in found} == {("middle/inner", "leaf")}
    assert [mode for _, mode, _ in found if mode in ("custom", "updates")] == ["custom", "updates"]


async def test_only_a_node_by_name_wherever_it_is() -> None:
    graph = line("a", sub=line("a", "b"))
    assert await origins(graph, "a", ["updates"]) == [("", "updates", "a"), ("sub", "updates", "a")]


@pytest.mark.parametrize(
    ("namespaces", "found"),
    [
        ([()], {""}),
        (["middle"], {"middle"}),
        ([("middle",)], {"middle"}),
        ([("middle", "inner")], {"middle/inner"}),
        ([["middle", "inner"], ()], {"middle/inner", ""}),
        ([("inner",)], set()),
        ([], set()),
    ],
)
async def test_only_some_namespaces(namespaces: Any, found: set[str]) -> None:
    chunks = await origins(two_deep(), Only(namespaces=namespaces), [*BY_NODE, "values"])
    assert {ns for ns, _, _ in chunks} == found
    for ns in found:
        assert {mode for n, mode, _ in chunks if n == ns} == {*BY_NODE, "values"}


@pytest.mark.parametrize(
    ("depth", "found"),
    [(0, {""}), (1, {"", "middle"}), (2, {"", "middle", "middle/inner"}), (9, {"", "middle", "middle/inner"})],
)
async def test_only_so_deep(depth: int, found: set[str]) -> None:
    chunks = await origins(two_deep(), {"depth": depth}, [*BY_NODE, "values"])
    assert {ns for ns, _, _ in chunks} == found


async def test_fields_of_only_add_up() -> None:
    only = Only(nodes=["beside", "leaf", "before"], depth=1, namespaces=[("middle",), ("middle", "inner")])
    assert await origins(two_deep(), only, ["updates"]) == [("middle", "updates", "beside")]


def tagged() -> CompiledStateGraph[State]:
    builder = StateGraph(State).add_node("plain", says("plain"))
    builder.add_node("slow", says("slow"), metadata={"tags": ["slow", "both"]})
    builder.add_node("fast", says("fast"), metadata={"tags": ["both"]})
    return builder.add_edge(START, "plain").add_edge("plain", "slow").add_edge("slow", "fast").compile()


@pytest.mark.parametrize(
    ("tags", "nodes"),
    [(["slow"], ["slow"]), ("both", ["slow", "fast"]), (["slow", "other"], ["slow"]), (["other"], []), ([], [])],
)
@pytest.mark.parametrize("mode", ["updates", "custom"])
async def test_only_tagged_nodes(tags: Any, nodes: list[str], mode: Any) -> None:
    assert [node for _, _, node in await origins(tagged(), {"tags": tags}, [mode])] == nodes


async def test_a_run_s_tags_are_the_tags_of_its_nodes() -> None:
    found = await origins(tagged(), Only(tags=["run"]), ["updates"], config={"tags": ["run"]})
    assert [node for _, _, node in found] == ["plain", "slow", "fast"]


async def test_only_without_subgraphs_and_in_the_sync_api() -> None:
    graph = two_deep()
    assert await collect(graph.astream(INPUT, stream_mode="custom", only="after")) == ["after works"]
    assert list(graph.stream(INPUT, stream_mode="custom", only="after")) == ["after works"]
    assert await collect(graph.astream(INPUT, stream_mode="custom", only="leaf")) == []
    assert list(graph.stream(INPUT, only={"nodes": "leaf"}, subgraphs=True, version="v2"))[0]["data"] == {
        "leaf": {"log": ["leaf"]}
    }


async def test_what_is_not_selected_is_never_built() -> None:
    class Explosive(dict[str, Any]):
        """An input that must not be copied for a chunk, and an update that must not be looked at."""

        def __repr__(self) -> str:
            pytest.fail("somebody printed it")

    builder = StateGraph(State).add_node("a", lambda s: {"text": Explosive()}).add_node("b", says("b"))
    graph = builder.add_edge(START, "a").add_edge("a", "b").compile()
    stream = graph.astream(INPUT, stream_mode=[], print_mode=["updates", "tasks"], only=Only(nodes=["b"], depth=0))
    with pytest.raises(pytest.fail.Exception):
        await collect(stream)  # the task of `b` shows it: the trap works
    assert await collect(graph.astream(INPUT, stream_mode=[], print_mode=["updates"], only="b")) == []


async def test_only_is_seen_from_the_graph_that_is_streamed() -> None:
    inner = two_deep()
    seen: list[Any] = []

    async def streams(state: State) -> None:
        async for ns, chunk in inner.astream(
            {"log": []}, stream_mode="custom", subgraphs=True, only=Only(depth=0, namespaces=[()])
        ):
            seen.append((ns, chunk))

    await StateGraph(State).add_node(streams).add_edge(START, "streams").compile().ainvoke(INPUT)
    assert [chunk for _, chunk in seen] == ["before works", "after works"]
