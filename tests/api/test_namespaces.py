"""Where chunks come from: graphs as nodes, called inside nodes, streamed inside nodes."""

from __future__ import annotations

from typing import Any

from penstock.config import get_stream_writer
from penstock.graph import START, CompiledStateGraph, StateGraph
from penstock.types import Send
from tests.support import collect

from ._graphs import Log, State, line, path

INPUT: dict[str, Any] = {"log": [], "text": "t"}


def calling(node: Any) -> CompiledStateGraph[State]:
    return StateGraph(State).add_node("calls", node).add_edge(START, "calls").compile()


async def places(graph: CompiledStateGraph[Any], modes: Any = ("custom", "updates")) -> list[tuple[str, str]]:
    """The namespace and mode of each chunk."""
    chunks = await collect(graph.astream(INPUT, stream_mode=modes, subgraphs=True))
    return [(path(ns), mode) for ns, mode, _ in chunks]


async def test_a_namespace_is_made_of_the_node_and_the_task_on_the_way() -> None:
    graph = line(outer=line(inner=line("leaf")))
    chunks = await collect(graph.astream(INPUT, stream_mode=["tasks", "custom"], subgraphs=True))
    ids = {chunk["name"]: chunk["id"] for _, mode, chunk in chunks if mode == "tasks" and "input" in chunk}
    ((namespace, chunk),) = [(ns, chunk) for ns, mode, chunk in chunks if mode == "custom"]
    assert chunk == "leaf works"
    assert namespace == (f"outer:{ids['outer']}", f"inner:{ids['inner']}")


async def test_a_graph_as_a_node_and_one_that_is_called_look_the_same() -> None:
    inner = line("leaf")

    async def calls(state: State) -> Any:
        return await inner.ainvoke({"log": []})

    def calls_sync(state: State) -> Any:
        return inner.invoke({"log": []})

    expected = [("calls", "custom"), ("calls", "updates"), ("", "updates")]
    for node in (inner, calls, calls_sync):
        assert await places(calling(node)) == expected


async def test_further_calls_in_one_task_are_numbered() -> None:
    inner = line("leaf")

    async def calls(state: State) -> None:
        for _ in range(3):
            await inner.ainvoke({"log": []})

    assert await places(calling(calls), ["custom"]) == [
        ("calls", "custom"),
        ("calls/1", "custom"),
        ("calls/2", "custom"),
    ]


async def test_a_graph_called_in_a_node_of_a_graph_called_in_a_node() -> None:
    inner = line("leaf")

    async def calls_inner(state: State) -> None:
        await inner.ainvoke({"log": []})
        await inner.ainvoke({"log": []})

    middle = calling(calls_inner)

    async def calls_middle(state: State) -> None:
        await middle.ainvoke({"log": []})
        await middle.ainvoke({"log": []})

    found = await places(calling(calls_middle), ["custom"])
    assert [ns for ns, _ in found] == ["calls/calls", "calls/calls/1", "calls/1/calls", "calls/1/calls/1"]


async def test_each_send_to_a_subgraph_has_its_own_namespace() -> None:
    builder = StateGraph(State).add_node("sub", line("leaf"))
    builder.add_conditional_edges(START, lambda s: [Send("sub", {}), Send("sub", {})], ["sub"])
    chunks = await collect(builder.compile().astream(INPUT, stream_mode="custom", subgraphs=True))
    assert [path(ns) for ns, _ in chunks] == ["sub", "sub"]
    assert len({ns for ns, _ in chunks}) == 2


async def test_a_subgraph_precedes_the_update_of_the_node_it_ran_in() -> None:
    assert await places(line("a", sub=line("x", "y"))) == [
        ("", "custom"),
        ("", "updates"),
        ("sub", "custom"),
        ("sub", "updates"),
        ("sub", "custom"),
        ("sub", "updates"),
        ("", "updates"),
    ]


# ---------------------------------------------------------------- streams inside of nodes


async def test_a_stream_inside_a_node_captures_the_custom_chunks() -> None:
    inner = line("leaf")
    seen: list[Any] = []

    async def calls(state: State) -> Any:
        async for chunk in inner.astream({"log": []}, stream_mode="custom"):
            seen.append(chunk)
            get_stream_writer()(f"forwarded: {chunk}")
        return {"log": ["calls"]}

    chunks = await collect(calling(calls).astream(INPUT, stream_mode=["custom", "updates"], subgraphs=True))
    assert seen == ["leaf works"]
    *inside, last = [(path(ns), mode, chunk) for ns, mode, chunk in chunks]
    assert sorted(inside, key=str) == [  # of two producers: their order is open
        ("", "custom", "forwarded: leaf works"),
        ("calls", "updates", {"leaf": {"log": ["leaf"]}}),
    ]
    assert last == ("", "updates", {"calls": {"log": ["calls"]}})


async def test_a_stream_inside_a_node_shares_the_other_modes_with_the_stream_outside() -> None:
    inner = line("a", "b")
    seen: list[Any] = []

    async def calls(state: State) -> None:
        async for chunk in inner.astream({"log": []}, stream_mode="updates"):
            seen.append(chunk)

    chunks = await collect(calling(calls).astream(INPUT, stream_mode=["updates", "custom"], subgraphs=True))
    assert seen == [{"a": {"log": ["a"]}}, {"b": {"log": ["b"]}}]
    assert [(path(ns), chunk) for ns, mode, chunk in chunks if mode == "updates"] == [
        *(("calls", chunk) for chunk in seen),
        ("", {"calls": None}),
    ]
    assert [(path(ns), chunk) for ns, mode, chunk in chunks if mode == "custom"] == [
        ("calls", "a works"),
        ("calls", "b works"),
    ], "nobody captured them: the inner stream did not ask for them"


async def test_a_stream_inside_a_node_shows_nothing_outside_without_subgraphs() -> None:
    inner = line("a")

    async def calls(state: State) -> None:
        async for _ in inner.astream({"log": []}, stream_mode="values"):
            pass

    assert await collect(calling(calls).astream(INPUT, stream_mode=["updates", "custom"])) == [
        ("updates", {"calls": None})
    ]


async def test_namespaces_of_a_stream_inside_a_node_start_at_the_root() -> None:
    inner = line(sub=line("leaf"))
    seen: list[Any] = []

    async def calls(state: State) -> None:
        async for ns, chunk in inner.astream({"log": []}, stream_mode="custom", subgraphs=True):
            seen.append((path(ns), chunk))

    await calling(calls).ainvoke(INPUT)
    assert seen == [("calls/sub", "leaf works")]


async def test_a_sync_stream_inside_a_sync_node() -> None:
    inner = line("leaf")

    def calls(state: State) -> Any:
        (chunk,) = inner.stream({"log": []}, stream_mode="custom")
        return {"log": [chunk]}

    builder = StateGraph(State, output_schema=Log).add_node(calls).add_edge(START, "calls")
    assert await builder.compile().ainvoke(INPUT) == {"log": ["leaf works"]}
    assert builder.compile().invoke(INPUT) == {"log": ["leaf works"]}


async def test_two_readers_of_one_graph_at_once_are_kept_apart() -> None:
    graph = line(sub=line("leaf"))
    one = graph.astream(INPUT, stream_mode="custom", subgraphs=True)
    two = graph.astream(INPUT, stream_mode="custom", subgraphs=True)
    ((ns_one, _),), ((ns_two, _),) = await collect(one), await collect(two)
    assert path(ns_one) == path(ns_two) == "sub"
    assert ns_one != ns_two
