"""Edges, joins, routers, sequences, entry and finish points, deferred nodes."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import anyio
import pytest
from typing_extensions import TypedDict

from penstock.errors import GraphBuildError, UnknownTargetError
from penstock.graph import END, START, StateGraph
from penstock.types import Command, Send, StreamWriter
from tests.support import collect

from ._chain import chain


class State(TypedDict):
    log: Annotated[list[str], operator.add]


def says(word: str, seconds: float = 0) -> Any:
    """A node that logs its name."""

    async def node(state: State) -> Any:
        await anyio.sleep(seconds)
        return {"log": [word]}

    return node


def builder(*names: str) -> StateGraph[State]:
    """A builder with nodes that log their names."""
    graph = StateGraph(State)
    for name in names:
        graph.add_node(name, says(name))
    return graph


def log_of(graph: StateGraph[State], **config: Any) -> list[str]:
    return graph.compile().invoke({"log": []}, config)["log"]  # type: ignore[no-any-return]


# ---------------------------------------------------------------- plain edges


def test_every_method_returns_the_builder() -> None:
    graph = StateGraph(State)
    assert graph.add_node("a", says("a")) is graph
    assert graph.add_sequence([("b", says("b")), ("c", says("c"))]) is graph
    assert graph.add_edge(START, "a") is graph
    assert graph.add_edge(["a", "b"], "c") is graph
    assert graph.add_conditional_edges("a", lambda s: "b", ["b"]) is graph
    assert graph.set_entry_point("a") is graph
    assert graph.set_finish_point("c") is graph
    assert graph.set_conditional_entry_point(lambda s: "a", ["a"]) is graph
    assert graph.compile().invoke({"log": []}) == {"log": ["a", "b", "c"]}


def test_edges_may_come_before_the_nodes_they_name() -> None:
    graph = StateGraph(State).add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
    assert log_of(graph.add_node("b", says("b")).add_node("a", says("a"))) == ["a", "b"]


def test_two_edges_to_one_node_trigger_it_once_per_superstep() -> None:
    graph = builder("a", "b", "c").add_edge(START, "a").add_edge(START, "b")
    assert log_of(graph.add_edge("a", "c").add_edge("b", "c").add_edge("a", "c")) == ["a", "b", "c"]


def test_paths_of_unequal_length_trigger_a_node_twice() -> None:
    graph = builder("a", "b", "c", "d").add_edge(START, "a").add_edge("a", "b").add_edge("b", "c")
    assert log_of(graph.add_edge("a", "d").add_edge("c", "d")) == ["a", "b", "d", "c", "d"]


@pytest.mark.virtual_time
async def test_writes_of_a_superstep_are_reduced_in_the_order_of_names_not_of_time() -> None:
    graph = StateGraph(State)
    for seconds, name in enumerate("cba"):
        graph.add_node(name, says(name, seconds)).add_edge(START, name)
    assert await graph.compile().ainvoke({"log": []}) == {"log": ["a", "b", "c"]}


def test_set_entry_and_finish_point_are_edges() -> None:
    assert log_of(builder("a").set_entry_point("a").set_finish_point("a")) == ["a"]
    assert log_of(builder("a", "b").set_conditional_entry_point(lambda s: "b", ["a", "b"])) == ["b"]


# ---------------------------------------------------------------- joins


@pytest.mark.parametrize("sources", [["b", "c"], ("c", "b"), ["b", "c", "b"]])
def test_a_join_waits_for_all_its_sources(sources: Sequence[str]) -> None:
    graph = builder("a", "b", "c", "d", "long").add_edge(START, "a").add_edge("a", "b").add_edge("a", "long")
    graph.add_edge("long", "c").add_edge(sources, "d").add_edge(list(sources), "d")
    assert log_of(graph) == ["a", "b", "long", "c", "d"]


def test_a_join_of_one_source_is_an_edge() -> None:
    assert log_of(builder("a", "b").add_edge(START, "a").add_edge(["a"], "b")) == ["a", "b"]


def test_a_join_in_a_loop_waits_again_every_time() -> None:
    graph = builder("a", "b", "c").add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b"], "c")
    graph.add_conditional_edges("c", lambda s: ["a", "b"] if len(s["log"]) < 6 else END, ["a", "b", END])
    assert log_of(graph) == ["a", "b", "c", "a", "b", "c"]


def test_a_join_to_the_end() -> None:
    graph = builder("a", "b").add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b"], END)
    assert log_of(graph) == ["a", "b"]


# ---------------------------------------------------------------- sequences


def test_add_sequence_takes_functions_pairs_and_graphs() -> None:
    async def third(state: State) -> Any:
        return {"log": ["third"]}

    inner = chain(State, x=lambda s: {"log": ["inner"]}).compile(name="inner")
    graph = StateGraph(State).add_sequence([("first", says("1")), ("second", says("2")), third])
    assert log_of(graph.add_edge(START, "first")) == ["1", "2", "third"]
    graph = StateGraph(State).add_sequence([inner, third]).add_edge(START, "inner")
    assert log_of(graph) == ["inner", "third"]


def test_an_empty_sequence_is_a_mistake() -> None:
    with pytest.raises(GraphBuildError, match="got no nodes"):
        StateGraph(State).add_sequence([])


def test_a_sequence_with_one_name_twice_is_a_mistake() -> None:
    with pytest.raises(GraphBuildError, match="'a' was already added"):
        StateGraph(State).add_sequence([("a", says("a")), ("a", says("a"))])


# ---------------------------------------------------------------- routers


def returns(value: Any) -> Any:
    """A router that says nothing about where it goes."""

    def router(state: State) -> Any:
        return value

    return router


@pytest.mark.parametrize(
    ("value", "log"),
    [
        ("b", ["a", "b"]),
        (END, ["a"]),
        (["b", "c"], ["a", "b", "c"]),
        (("c", "b"), ["a", "b", "c"]),
        ({"b"}, ["a", "b"]),
        ([], ["a"]),
        (["b", "b"], ["a", "b"]),
        (["b", END], ["a", "b"]),
        (Send("b", {}), ["a", "b"]),
        ([Send("c", {}), Send("b", {}), Send("c", {})], ["a", "c", "b", "c"]),
        (["c", Send("b", {})], ["a", "c", "b"]),
    ],
)
async def test_what_a_router_returns_runs_next(value: Any, log: list[str]) -> None:
    graph = builder("a", "b", "c").add_edge(START, "a").add_conditional_edges("a", returns(value))
    assert await graph.compile().ainvoke({"log": []}) == {"log": log}


@pytest.mark.parametrize(
    ("value", "path_map", "log"),
    [
        (True, {True: "b", False: END}, ["a", "b"]),
        (False, {True: "b", False: END}, ["a"]),
        ("left", {"left": "b", "right": "c"}, ["a", "b"]),
        (["left", "right"], {"left": "b", "right": "c"}, ["a", "b", "c"]),
        ((1, 2), {(1, 2): "c"}, ["a", "c"]),
        (None, {None: "b"}, ["a", "b"]),
        (3, {3: "b", "3": "c"}, ["a", "b"]),
        ("b", ["b", "c"], ["a", "b"]),
        ("b", ("b", END), ["a", "b"]),
        (Send("c", {}), {"left": "b", "right": "c"}, ["a", "c"]),
        ([Send("b", {}), "right"], {"right": "c"}, ["a", "c", "b"]),
    ],
)
async def test_a_path_map_translates_what_the_router_returns(value: Any, path_map: Any, log: list[str]) -> None:
    graph = builder("a", "b", "c").add_edge(START, "a").add_conditional_edges("a", returns(value), path_map)
    graph.add_conditional_edges(START, lambda s: "a", ["a", "b", "c"])  # so that all can be reached
    assert await graph.compile().ainvoke({"log": []}) == {"log": log}


async def by_itself(state: State, writer: StreamWriter) -> Literal["b"]:
    await writer("looking")
    await anyio.sleep(0)
    return "b"


class Router:
    async def method(self, state: State) -> Literal["b"]:
        return await by_itself(state, _no_writer)

    def __call__(self, state: State) -> Literal["b"]:
        return "b"


async def _no_writer(chunk: Any) -> None: ...


@pytest.mark.parametrize(
    "router",
    [
        by_itself,
        Router().method,
        Router(),
        functools.partial(by_itself),
        lambda state: "b",
        lambda state: by_itself(state, _no_writer),
    ],
)
@pytest.mark.parametrize("node", [says("a"), lambda s: {"log": ["a"]}], ids=["async", "sync"])
async def test_every_kind_of_function_is_a_router(node: Any, router: Any) -> None:
    graph = StateGraph(State).add_node("a", node).add_node("b", says("b")).add_edge(START, "a")
    graph.add_conditional_edges("a", router, ["b"])
    assert await graph.compile().ainvoke({"log": []}) == {"log": ["a", "b"]}


async def test_a_router_sees_its_own_node_s_update_and_no_sibling_s() -> None:
    seen: list[Any] = []

    def router(state: State) -> str:
        seen.append(state["log"])
        return END

    graph = builder("a", "b").add_edge(START, "a").add_edge(START, "b").add_conditional_edges("a", router, [END])
    assert await graph.compile().ainvoke({"log": ["in"]}) == {"log": ["in", "a", "b"]}
    assert seen == [["in", "a"]]


async def test_what_a_router_writes_comes_before_the_update_of_its_node() -> None:
    graph = builder("a", "b").add_edge(START, "a").add_conditional_edges("a", by_itself).compile()
    chunks = await collect(graph.astream({"log": []}, stream_mode=["custom", "updates"]))
    assert chunks == [
        ("custom", "looking"),
        ("updates", {"a": {"log": ["a"]}}),
        ("updates", {"b": {"log": ["b"]}}),
    ]


async def test_several_routers_of_a_node_add_up() -> None:
    def other(state: State) -> str:
        return "c"

    graph = builder("a", "b", "c", "d").add_edge(START, "a").add_edge("a", "d")
    graph.add_conditional_edges("a", returns("b")).add_conditional_edges("a", other)
    assert await graph.compile().ainvoke({"log": []}) == {"log": ["a", "b", "c", "d"]}


async def test_a_router_at_the_entry_sees_the_input() -> None:
    def router(state: State) -> list[Send]:
        return [Send("a", {"log": state["log"]}) for _ in range(2)]

    graph = builder("a").add_conditional_edges(START, router, ["a"]).compile()
    assert await graph.ainvoke({"log": ["in"]}) == {"log": ["in", "a", "a"]}


@pytest.mark.parametrize("path_map", [None, ["b", "c"]])
async def test_an_unknown_target_is_an_error_at_run_time_that_names_the_nearest(path_map: Any) -> None:
    graph = builder("a", "search", "write").add_edge(START, "a").add_edge(START, "search").add_edge(START, "write")
    graph.add_conditional_edges("a", returns("serch")).add_conditional_edges(
        "search", returns(END) if path_map else by_end
    )
    with pytest.raises(UnknownTargetError) as caught:
        await graph.compile().ainvoke({"log": []})
    message = str(caught.value)
    assert message.startswith("router 'router' chose 'serch', which is no node of this graph; did you mean 'search'?")
    assert "Known: '__end__', 'a', 'search', 'write'" in message


def by_end(state: State) -> str:
    return END


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"router 'router' chose None; return END to end this path"),
        ([None], r"router 'router' chose None"),
        (START, r"chose '__start__'; the start of a graph cannot be a target"),
        (3, r"chose 3, which is no node"),
        (True, r"chose True, which is no node"),
        (Send("nobody", {}), r"Send from router 'router' chose 'nobody', which is no node"),
        (Command(goto="b"), r"chose Command\(goto='b'\), which is no node"),
    ],
)
async def test_what_is_no_target_is_an_error(value: Any, message: str) -> None:
    graph = builder("a", "b").add_edge(START, "a").add_conditional_edges("a", returns(value)).compile()
    with pytest.raises(UnknownTargetError, match=message):
        await graph.ainvoke({"log": []})


@pytest.mark.parametrize("path_map", [{"left": "b"}, ["b"]])
async def test_what_a_path_map_does_not_have_is_an_error(path_map: Any) -> None:
    graph = builder("a", "b").add_edge(START, "a").add_conditional_edges("a", returns("lefft"), path_map).compile()
    nearest = "did you mean 'left'" if isinstance(path_map, dict) else "known: 'b'"
    with pytest.raises(UnknownTargetError, match=f"returned 'lefft', which its path map does not have; {nearest}"):
        await graph.ainvoke({"log": []})


def test_routers_of_one_node_need_different_names() -> None:
    graph = builder("a").add_conditional_edges(START, lambda s: "a", ["a"])
    with pytest.raises(
        GraphBuildError, match="'__start__' already has a router 'condition'; give the second another name"
    ):
        graph.add_conditional_edges(START, lambda s: END, [END])


@pytest.mark.parametrize("router", ["b", None, {"b": "c"}])
def test_a_router_must_be_callable(router: Any) -> None:
    with pytest.raises(GraphBuildError, match="must be a function"):
        builder("a").add_conditional_edges("a", router)


def test_a_router_must_not_be_a_generator() -> None:
    async def router(state: State) -> Any:
        yield "a"

    with pytest.raises(GraphBuildError, match="router 'router' is a generator; return a list of targets instead"):
        builder("a").add_conditional_edges("a", router)


async def test_a_router_may_read_other_keys_than_its_node() -> None:
    class Wide(State):
        flag: bool

    def node(state: State) -> Any:
        assert "flag" not in state
        return {"log": ["node"]}

    def router(state: Wide) -> Literal["__end__"]:
        assert state == {"log": ["node"], "flag": True}
        return "__end__"

    graph = StateGraph(Wide).add_node("node", node, input_schema=State).add_edge(START, "node")
    assert await graph.add_conditional_edges("node", router).compile().ainvoke({"flag": True}) == {
        "log": ["node"],
        "flag": True,
    }


# ---------------------------------------------------------------- deferred nodes


def test_a_deferred_node_runs_when_nothing_else_is_left() -> None:
    graph = builder("a", "b", "c", "d").add_node("last", says("last"), defer=True)
    graph.add_edge(START, "a").add_edge(START, "b").add_edge("b", "c").add_edge("c", "d")
    for name in "abcd":
        graph.add_edge(name, "last")
    assert log_of(graph) == ["a", "b", "c", "d", "last"]


def test_a_deferred_node_that_leads_on_is_deferred_again() -> None:
    graph = builder("a").add_node("last", says("last"), defer=True).add_edge(START, "a").add_edge("a", "last")
    graph.add_conditional_edges("last", lambda s: "a" if len(s["log"]) < 4 else END, ["a", END])
    assert log_of(graph) == ["a", "last", "a", "last"]


def test_two_deferred_nodes_run_together() -> None:
    graph = builder("a").add_node("y", says("y"), defer=True).add_node("x", says("x"), defer=True)
    graph.add_edge(START, "y").add_edge(START, "a").add_edge("a", "x")
    assert log_of(graph) == ["a", "x", "y"]


def test_a_send_does_not_wait_for_a_deferred_node_s_turn() -> None:
    graph = builder("a", "b").add_node("last", says("last"), defer=True).add_edge(START, "a").add_edge("a", "b")
    graph.add_conditional_edges(START, lambda s: Send("last", {}), ["last"])
    assert log_of(graph) == ["a", "last", "b"]
