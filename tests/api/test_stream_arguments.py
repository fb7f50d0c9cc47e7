"""`stream_mode`, `subgraphs`, `version`, `output_keys`, `print_mode`: the shapes of what comes out."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import pydantic
import pytest

from penstock.channels import EphemeralValue
from penstock.graph import START, CompiledStateGraph, StateGraph
from penstock.types import GraphOutput
from tests.support import collect

from ._graphs import State, line, path, says, two_deep

INPUT: dict[str, Any] = {"log": ["in"], "text": "t"}

VALUES = [{"log": ["in"], "text": "t"}, {"log": ["in", "a"], "text": "t"}]
UPDATES = [{"a": {"log": ["a"]}}]
CUSTOM = ["a works"]


async def both(graph: CompiledStateGraph[Any], **arguments: Any) -> list[Any]:
    """The chunks of `astream`, which are also those of `stream`."""
    chunks = await collect(graph.astream(INPUT, **arguments))
    assert _without_ids(list(graph.stream(INPUT, **arguments))) == _without_ids(chunks)
    return chunks


def _without_ids(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_without_ids(v) for v in value]
    if isinstance(value, dict):
        return {k: _without_ids(v) for k, v in value.items() if k not in ("id", "timestamp")}
    return path((value,)) if isinstance(value, str) else value


# ---------------------------------------------------------------- modes


@pytest.mark.parametrize(("mode", "chunks"), [("values", VALUES), ("updates", UPDATES), ("custom", CUSTOM)])
async def test_one_mode_gives_bare_chunks(mode: Any, chunks: list[Any]) -> None:
    assert await both(line("a"), stream_mode=mode) == chunks


async def test_the_default_mode_is_updates() -> None:
    assert await both(line("a")) == UPDATES


@pytest.mark.parametrize("collection", [list, tuple, set, frozenset, lambda modes: dict.fromkeys(modes).keys()])
async def test_any_collection_of_modes_gives_tagged_chunks(collection: Any) -> None:
    chunks = await both(line("a"), stream_mode=collection(["updates", "custom", "values"]))
    assert chunks == [("values", VALUES[0]), ("custom", CUSTOM[0]), ("updates", UPDATES[0]), ("values", VALUES[1])]


@pytest.mark.parametrize("modes", [["updates"], ("updates",), {"updates"}, ["updates", "updates"]])
async def test_a_collection_of_one_mode_gives_tagged_chunks_and_repetition_changes_nothing(modes: Any) -> None:
    assert await both(line("a"), stream_mode=modes) == [("updates", UPDATES[0])]


async def test_no_modes_give_no_chunks_and_run_all_the_same() -> None:
    ran: list[Any] = []
    graph = StateGraph(State).add_node("a", ran.append).add_edge(START, "a").compile()
    assert await collect(graph.astream(INPUT, stream_mode=[])) == []
    assert ran == [INPUT]


async def test_tasks_tell_of_starts_and_results() -> None:
    start, end = await both(line("a"), stream_mode="tasks")
    assert start == {"id": start["id"], "name": "a", "input": VALUES[0], "triggers": ("branch:to:a",)}
    result = {"log": ["a"]}
    assert end == {"id": start["id"], "name": "a", "error": None, "result": result, "interrupts": []}


async def test_debug_wraps_tasks_with_their_step_and_time() -> None:
    chunks = await both(line("a", "b"), stream_mode=["tasks", "debug"])
    tasks = [chunk for mode, chunk in chunks if mode == "tasks"]
    debug = [chunk for mode, chunk in chunks if mode == "debug"]
    assert [d["payload"] for d in debug] == tasks
    assert [(d["step"], d["type"]) for d in debug] == [(1, "task"), (1, "task_result"), (2, "task"), (2, "task_result")]
    assert all(d["timestamp"].endswith("+00:00") for d in debug)


@pytest.mark.parametrize("mode", ["messages", "checkpoints", "tools"])
async def test_modes_without_a_source_are_accepted(mode: Any) -> None:
    assert await both(line("a"), stream_mode=mode) == []
    assert await both(line("a"), stream_mode=[mode, "updates"]) == [("updates", UPDATES[0])]


# ---------------------------------------------------------------- subgraphs


async def test_subgraphs_are_hidden_unless_they_are_asked_for() -> None:
    chunks = await both(two_deep(), stream_mode=["updates", "custom"])
    assert chunks == [
        ("custom", "before works"),
        ("updates", {"before": {"log": ["before"]}}),
        ("updates", {"middle": {"log": ["in", "before", "beside", "in", "before", "beside", "leaf"]}}),
        ("custom", "after works"),
        ("updates", {"after": {"log": ["after"]}}),
    ]


async def test_subgraphs_come_with_the_namespace_of_each_chunk() -> None:
    chunks = await both(two_deep(), stream_mode="custom", subgraphs=True)
    assert [(path(ns), chunk) for ns, chunk in chunks] == [
        ("", "before works"),
        ("middle", "beside works"),
        ("middle/inner", "leaf works"),
        ("", "after works"),
    ]


async def test_subgraphs_and_several_modes_give_triples() -> None:
    chunks = await both(line(sub=line("a")), stream_mode=["updates", "custom"], subgraphs=True)
    assert [(path(ns), mode) for ns, mode, _ in chunks] == [("sub", "custom"), ("sub", "updates"), ("", "updates")]


async def test_a_graph_without_subgraphs_has_namespaces_all_the_same() -> None:
    assert await both(line("a"), subgraphs=True) == [((), UPDATES[0])]


# ---------------------------------------------------------------- version="v2"


@pytest.mark.parametrize("modes", ["updates", ["updates"]])
@pytest.mark.parametrize("subgraphs", [False, True])
async def test_v2_gives_parts_whatever_else_is_asked(modes: Any, subgraphs: bool) -> None:
    chunks = await both(line("a"), stream_mode=modes, subgraphs=subgraphs, version="v2")
    assert chunks == [{"type": "updates", "ns": (), "data": UPDATES[0]}]


async def test_v2_parts_of_every_mode_and_of_subgraphs() -> None:
    modes = ["values", "updates", "custom", "tasks", "debug"]
    chunks = await both(line(sub=line("a")), stream_mode=modes, subgraphs=True, version="v2")
    assert {chunk["type"] for chunk in chunks} == set(modes)
    assert {path(chunk["ns"]) for chunk in chunks} == {"", "sub"}
    for chunk in chunks:
        assert set(chunk) == {"type", "ns", "data"} | ({"interrupts"} if chunk["type"] == "values" else set())
    assert [c["data"] for c in chunks if c["type"] == "custom"] == ["a works"]
    assert [c["interrupts"] for c in chunks if c["type"] == "values"] == [()] * 4


class Model(pydantic.BaseModel):
    n: int
    more: str = "default"


@dataclasses.dataclass
class Data:
    n: int
    more: str = "default"


@pytest.mark.parametrize("schema", [Model, Data])
async def test_v2_gives_values_as_instances_of_the_state(schema: Any) -> None:
    graph = StateGraph(schema).add_node("a", lambda s: {"n": s.n + 1}).add_edge(START, "a").compile()
    chunks = await collect(graph.astream({"n": 1}, stream_mode=["values", "updates"], version="v2"))
    assert [c["data"] for c in chunks] == [schema(n=1), {"a": {"n": 2}}, schema(n=2)]
    assert await graph.ainvoke({"n": 1}, version="v2") == GraphOutput(schema(n=2), ())
    assert graph.invoke({"n": 1}, version="v2").value == schema(n=2)
    assert await graph.ainvoke({"n": 1}) == {"n": 2}


async def test_v2_of_invoke_is_a_graph_output() -> None:
    graph = line("a")
    assert await graph.ainvoke(INPUT, version="v2") == GraphOutput(value={"log": ["in", "a"]}, interrupts=())
    assert await graph.ainvoke(INPUT, version="v2", stream_mode="updates") == [
        {"type": "updates", "ns": (), "data": UPDATES[0]}
    ]


# ---------------------------------------------------------------- output_keys


def two_keys() -> CompiledStateGraph[State]:
    builder = StateGraph(State).add_node("a", says("a")).add_node("b", lambda s: {"text": "new"})
    return builder.add_edge(START, "a").add_edge("a", "b").compile()


async def test_output_keys_restrict_values_and_updates() -> None:
    chunks = await both(two_keys(), stream_mode=["values", "updates", "custom"], output_keys=["text"])
    assert chunks == [
        ("values", {"text": "t"}),
        ("custom", "a works"),
        ("updates", {"a": None}),
        ("updates", {"b": {"text": "new"}}),
        ("values", {"text": "new"}),
    ]


async def test_one_output_key_gives_bare_values() -> None:
    chunks = await both(two_keys(), stream_mode=["values", "updates"], output_keys="text")
    assert chunks == [("values", "t"), ("updates", {"a": None}), ("updates", {"b": "new"}), ("values", "new")]


async def test_an_output_key_that_a_superstep_forgets_is_not_shown() -> None:
    class Forgetful(State):
        note: Annotated[str, EphemeralValue]

    builder = StateGraph(Forgetful).add_node("a", lambda s: {"note": "once"}).add_node("b", lambda s: {"text": "b"})
    graph = builder.add_edge(START, "a").add_edge("a", "b").compile()
    assert await collect(graph.astream(INPUT, stream_mode="values", output_keys="note")) == ["once"]
    assert await graph.ainvoke(INPUT, output_keys="note") is None
    shown = await collect(graph.astream(INPUT, stream_mode="values", output_keys=["note", "text"]))
    assert shown == [{"text": "t"}, {"text": "t", "note": "once"}, {"text": "b"}]


async def test_output_keys_hold_for_the_graph_that_is_streamed_not_for_its_subgraphs() -> None:
    graph = line(sub=two_keys())
    chunks = await both(graph, subgraphs=True, output_keys=["text"])
    assert [(path(ns), chunk) for ns, chunk in chunks] == [
        ("sub", {"a": {"log": ["a"]}}),
        ("sub", {"b": {"text": "new"}}),
        ("", {"sub": {"text": "new"}}),
    ]


async def test_output_keys_of_invoke() -> None:
    graph = two_keys()
    assert await graph.ainvoke(INPUT) == {"log": ["in", "a"], "text": "new"}
    assert await graph.ainvoke(INPUT, output_keys=["text"]) == {"text": "new"}
    assert await graph.ainvoke(INPUT, output_keys="text") == "new"
    assert graph.invoke(INPUT, output_keys=("log",)) == {"log": ["in", "a"]}
    assert await graph.ainvoke({"log": []}, output_keys=()) is None


# ---------------------------------------------------------------- print_mode


async def test_print_mode_prints_and_changes_no_chunk(capsys: pytest.CaptureFixture[str]) -> None:
    assert await collect(line("a").astream(INPUT, stream_mode="custom", print_mode=["updates", "custom"])) == CUSTOM
    assert capsys.readouterr().out == "[custom] 'a works'\n[updates] {'a': {'log': ['a']}}\n"


async def test_print_mode_prints_where_chunks_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    await collect(line(sub=line("a")).astream(INPUT, print_mode="custom", subgraphs=True))
    printed = capsys.readouterr().out
    assert printed.startswith("[custom] sub:")
    assert printed.endswith(": 'a works'\n")


async def test_print_mode_of_ainvoke(capsys: pytest.CaptureFixture[str]) -> None:
    assert await line("a").ainvoke(INPUT, print_mode="updates") == {"log": ["in", "a"]}
    assert capsys.readouterr().out == "[updates] {'a': {'log': ['a']}}\n"


def test_print_mode_of_the_sync_api(capsys: pytest.CaptureFixture[str]) -> None:
    assert line("a").invoke(INPUT, print_mode=("updates",)) == {"log": ["in", "a"]}
    assert list(line("a").stream(INPUT, stream_mode=[], print_mode="updates")) == []
    assert capsys.readouterr().out == 2 * "[updates] {'a': {'log': ['a']}}\n"


# ---------------------------------------------------------------- invoke


@pytest.mark.parametrize("modes", ["updates", "custom", "tasks", ["updates", "custom"], {"values"}])
async def test_invoke_with_another_mode_returns_the_chunks(modes: Any) -> None:
    graph = two_keys()
    expected = _without_ids(await collect(graph.astream(INPUT, stream_mode=modes)))
    assert _without_ids(await graph.ainvoke(INPUT, stream_mode=modes)) == expected
    assert _without_ids(graph.invoke(INPUT, stream_mode=modes)) == expected


async def test_a_run_that_never_wrote_anything_has_no_result() -> None:
    graph = StateGraph(State).add_node("a", lambda s: None).add_edge(START, "a").compile()
    assert await graph.ainvoke({}) is None
    assert graph.invoke({}) is None
