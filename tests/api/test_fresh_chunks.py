"""Containers that are handed out are fresh: what a reader or a node does to them never reaches the run."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from penstock.graph import START, StateGraph
from penstock.types import Send
from tests.support import collect

from ._graphs import State, says

INPUT: dict[str, Any] = {"log": ["in"], "text": "t"}


def spoil(chunk: Any) -> None:
    """Edit a chunk's top level, and that of what it is made of."""
    if isinstance(chunk, dict):
        for value in list(chunk.values()):
            if isinstance(value, dict):
                value.clear()
                value["spoilt"] = True
        chunk.clear()
        chunk["spoilt"] = True


def graph() -> Any:
    builder = StateGraph(State).add_sequence([(n, says(n)) for n in "abc"])
    return builder.add_edge(START, "a").compile()


@pytest.mark.parametrize("mode", ["values", "updates", "tasks", "debug"])
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_reader_s_edits_of_chunks_never_reach_the_run(mode: Any, version: Any) -> None:
    async with graph().astream(INPUT, stream_mode=mode, version=version) as run:
        async for chunk in run:
            spoil(chunk["data"] if version == "v2" else chunk)
        assert await run.result() == {"log": ["in", "a", "b", "c"], "text": "t"}


async def test_a_reader_s_edits_of_one_mode_never_reach_another() -> None:
    modes: list[Any] = ["values", "updates", "tasks"]
    plain = await collect(graph().astream(INPUT, stream_mode=modes))
    spoilt = []
    async for mode, chunk in graph().astream(INPUT, stream_mode=modes):
        spoilt.append((mode, copy.deepcopy(chunk)))
        spoil(chunk)
    for (mode, chunk), (expected_mode, expected) in zip(spoilt, plain, strict=True):
        assert (mode, {**chunk, "id": ""}) == (expected_mode, {**expected, "id": ""})


async def test_tasks_and_debug_chunks_of_one_event_are_apart() -> None:
    async for mode, chunk in graph().astream(INPUT, stream_mode=["tasks", "debug"]):
        if mode == "tasks":
            spoil(chunk)
        else:
            assert "spoilt" not in chunk["payload"]


async def test_a_node_s_edits_of_its_input_never_reach_the_run() -> None:
    def first(state: Any) -> None:
        spoil(state)

    def second(state: Any) -> Any:
        assert state == INPUT
        spoil(state)
        return {"log": ["second"]}

    builder = StateGraph(State).add_node(first).add_node(second).add_node("beside", first)
    builder.add_edge(START, "first").add_edge(START, "beside").add_edge("first", "second")
    chunks = await collect(builder.compile().astream(INPUT, stream_mode="values"))
    assert chunks == [INPUT, {"log": ["in", "second"], "text": "t"}]


async def test_a_router_s_edits_never_reach_the_run() -> None:
    def router(state: Any) -> str:
        spoil(state)
        return "__end__"

    builder = StateGraph(State).add_node("a", says("a")).add_edge(START, "a").add_conditional_edges("a", router)
    assert await builder.compile().ainvoke(INPUT) == {"log": ["in", "a"], "text": "t"}


async def test_two_sends_of_one_dict_do_not_share_it() -> None:
    seen: list[Any] = []

    def work(state: Any) -> None:
        seen.append(dict(state))
        spoil(state)

    arg = {"n": 1}
    builder = StateGraph(State).add_node(work)
    builder.add_conditional_edges(START, lambda s: [Send("work", arg), Send("work", arg)], ["work"])
    await builder.compile().ainvoke(INPUT)
    assert seen == [{"n": 1}, {"n": 1}]
    assert arg == {"n": 1}


async def test_the_caller_s_input_and_the_result_are_not_the_run_s() -> None:
    given = {"log": ["in"], "text": "t"}
    stream = graph().astream(given, stream_mode="values")
    given.clear()
    assert (await collect(stream))[0] == INPUT
    given = {"log": ["in"], "text": "t"}
    result = await graph().ainvoke(given)
    assert given == INPUT
    result.clear()
    async with graph().astream(INPUT) as run:
        (await run.result()).clear()
        assert given == INPUT


async def test_what_a_node_does_to_its_update_afterwards_does_not_change_a_chunk() -> None:
    kept: dict[str, Any] = {}

    def node(state: State) -> Any:
        kept.update({"text": "written"})
        return kept

    def later(state: State) -> None:
        kept["text"] = "changed"

    builder = StateGraph(State).add_node("node", node).add_node(later).add_edge(START, "node").add_edge("node", "later")
    chunks = []
    async for chunk in builder.compile().astream(INPUT):
        chunks.append(chunk)
    assert chunks == [{"node": {"text": "written"}}, {"later": None}]


async def test_custom_chunks_are_passed_on_as_they_are() -> None:
    marker = object()

    async def node(state: State, writer: Any) -> None:
        await writer(marker)
        await writer(None)

    stream = StateGraph(State).add_node(node).add_edge(START, "node").compile().astream(INPUT, stream_mode="custom")
    chunks = await collect(stream)
    assert chunks == [marker, None]
    assert chunks[0] is marker
