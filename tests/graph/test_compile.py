"""Compiled graphs: what they are called, and that a builder can go on after `compile()`."""

from __future__ import annotations

import operator
from typing import Annotated, Any

import pytest
from typing_extensions import TypedDict

from penstock.errors import GraphBuildError
from penstock.graph import END, START, CompiledStateGraph, StateGraph


class State(TypedDict):
    log: Annotated[list[str], operator.add]


def says(word: str) -> Any:
    return lambda state: {"log": [word]}


def builder() -> StateGraph[State]:
    return StateGraph(State).add_node("a", says("a")).add_edge(START, "a")


def test_a_builder_can_go_on_without_changing_what_was_compiled() -> None:
    graph = builder()
    first = graph.compile()
    graph.add_node("b", says("b")).add_edge("a", "b").add_node("c", says("c")).add_node("d", says("d"))
    graph.add_conditional_edges("b", lambda s: "c", ["c"]).add_edge(["b", "c"], "d")
    second = graph.compile()
    graph.add_node("e", says("e")).add_edge("d", "e")
    assert first.invoke({"log": []}) == {"log": ["a"]}
    assert second.invoke({"log": []}) == {"log": ["a", "b", "c", "d"]}
    assert graph.compile().invoke({"log": []}) == {"log": ["a", "b", "c", "d", "e"]}


def test_a_builder_can_be_mended_after_compile_has_found_mistakes() -> None:
    graph = builder().add_edge("a", "b")
    with pytest.raises(GraphBuildError):
        graph.compile()
    assert graph.add_node("b", says("b")).compile().invoke({"log": []}) == {"log": ["a", "b"]}


def test_what_was_given_can_be_changed_afterwards() -> None:
    path_map: dict[Any, str] = {"go": "b"}
    metadata = {"k": "v"}
    graph = builder().add_node("b", says("b"), metadata=metadata)
    graph.add_conditional_edges("a", lambda s: "go", path_map)
    path_map["go"] = END
    compiled = graph.compile()
    metadata.clear()
    path_map.clear()
    assert compiled.invoke({"log": []}) == {"log": ["a", "b"]}
    *_, start, _ = compiled.stream({"log": []}, stream_mode="tasks")
    assert start["name"] == "b"  # type: ignore[typeddict-item]
    assert start["metadata"] == {"k": "v"}  # type: ignore[typeddict-item]


def test_a_graph_has_a_name() -> None:
    assert builder().compile().name == "LangGraph"
    assert builder().compile(name="mine").name == "mine"
    assert "mine" in repr(builder().compile(name="mine"))
    assert isinstance(builder().compile(), CompiledStateGraph)


def test_one_graph_can_be_a_node_twice() -> None:
    inner = builder().compile(name="inner")
    graph = (
        StateGraph(State).add_node(inner).add_node("again", inner).add_edge(START, "inner").add_edge("inner", "again")
    )
    chunks = list(graph.compile().stream({"log": []}, subgraphs=True))
    assert [(len(ns), list(update)) for ns, update in chunks] == [
        (1, ["a"]),
        (0, ["inner"]),
        (1, ["a"]),
        (0, ["again"]),
    ]


async def test_one_graph_runs_many_times_at_once() -> None:
    import anyio

    graph = builder().compile()
    results: list[Any] = []

    async def run(n: int) -> None:
        results.append(await graph.ainvoke({"log": [str(n)]}))

    async with anyio.create_task_group() as group:
        for n in range(10):
            group.start_soon(run, n)
    assert sorted(r["log"] for r in results) == [[str(n), "a"] for n in range(10)]


def test_users_of_langgraph_find_everything_where_they_look() -> None:
    from penstock.graph import message, state

    assert state.StateGraph is StateGraph
    assert state.CompiledStateGraph is CompiledStateGraph
    assert message.MessagesState.__annotations__.keys() == {"messages"}
