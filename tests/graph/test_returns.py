"""What nodes return: updates in every shape, `Command`, `Send`."""

from __future__ import annotations

import operator
from collections import UserDict, namedtuple
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Any, Literal

import anyio
import pydantic
import pytest
from typing_extensions import TypedDict

from penstock.errors import InvalidUpdateError, NodeTimeoutError, UnknownTargetError
from penstock.graph import END, START, CompiledStateGraph, StateGraph
from penstock.types import Command, Send
from tests.support import collect

from ._chain import one_node


class State(TypedDict):
    log: Annotated[list[str], operator.add]
    text: str


@dataclass
class Data:
    log: list[str]
    text: str
    other: int = 0


class Model(pydantic.BaseModel):
    log: list[str] = []
    text: str = "default"
    other: int = 0


# ---------------------------------------------------------------- updates


@pytest.mark.parametrize(
    ("value", "update"),
    [
        (None, None),
        ({}, None),
        ({"unknown": 1}, None),
        ({"text": "t", "unknown": 1}, {"text": "t"}),
        ({"log": ["a"], "text": None}, {"log": ["a"], "text": None}),
        (Data(["a"], "t"), {"log": ["a"], "text": "t"}),
        (Model(text="t"), {"log": [], "text": "t"}),
        (Command(), None),
        (Command(update={}), None),
        (Command(update={"text": "t"}), {"text": "t"}),
        (Command(update=[("text", "t"), ("log", ["a"])]), {"text": "t", "log": ["a"]}),
        (Command(update=(("log", ["a"]), ("log", ["b"]))), [{"log": ["a"]}, {"log": ["b"]}]),
        (Command(update=Data(["a"], "t")), {"log": ["a"], "text": "t"}),
        (Command(update={"text": "t"}, goto=END), {"text": "t"}),
        ([], None),
        ([None, {}], None),
        ([{"text": "t"}], {"text": "t"}),
        ([{"log": ["a"]}, {"text": "t"}], {"log": ["a"], "text": "t"}),
        ([{"log": ["a"]}, None, Command(update={"log": ["b"]})], [{"log": ["a"]}, {"log": ["b"]}]),
        ([Command(update={"log": ["a"]}), Data(["b"], "t")], [{"log": ["a"]}, {"log": ["b"]}, {"text": "t"}]),
        ((Command(update={"text": "t"}), {"log": ["a"]}), {"text": "t", "log": ["a"]}),
    ],
)
async def test_what_a_node_may_return_and_how_its_update_is_shown(value: Any, update: Any) -> None:
    graph = one_node(State, lambda _: value)
    assert await collect(graph.astream({"log": []}, stream_mode="updates")) == [{"node": update}]


async def test_one_key_written_twice_is_reduced_twice() -> None:
    graph = one_node(State, lambda _: [{"log": ["a"]}, {"log": ["b"]}])
    assert await graph.ainvoke({"log": ["0"]}) == {"log": ["0", "a", "b"]}


async def test_one_key_without_reducer_written_twice_is_an_error() -> None:
    graph = one_node(State, lambda _: [{"text": "a"}, {"text": "b"}])
    with pytest.raises(InvalidUpdateError, match="key 'text', written by 'node': got 2 values"):
        await graph.ainvoke({"log": []})


Pair = namedtuple("Pair", "key value")


@pytest.mark.parametrize(
    "value",
    [
        "text",
        5,
        True,
        b"bytes",
        object(),
        {"log", "text"},
        ["log"],
        [("log", ["a"])],
        [{"log": []}, 5],
        Pair("log", []),
        Data,
        Model,
        Command(update="text"),
        Command(update=5),
        Command(update=[("log", []), 5]),
        UserDict(log=[]),
        MappingProxyType({"log": []}),
    ],
    ids=repr,
)
async def test_what_is_no_update_is_an_error_that_says_what_was_got_and_expected(value: Any) -> None:
    with pytest.raises(InvalidUpdateError) as caught:
        await one_node(State, lambda _: value).ainvoke({"log": []})
    message = str(caught.value)
    assert message.startswith("node 'node' returned ")
    assert "expected a dict, None, a Command, or a list of these: return a dict of the keys to change" in message
    assert any("During task with name 'node'" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("value", [Send("node", {}), [Send("node", {})]])
async def test_a_send_is_not_returned_by_a_node(value: Any) -> None:
    with pytest.raises(
        InvalidUpdateError, match=r"returned .*Send\(node='node'.*router, or inside Command\(goto=...\)"
    ):
        await one_node(State, lambda _: value).ainvoke({"log": []})


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (Command(graph="inner"), r"Command\(graph='inner'\); expected None for its own graph, or Command.PARENT"),
        (Command(resume="yes"), r"Command\(resume='yes'\); resume belongs to the input of a run"),
    ],
)
async def test_a_command_with_a_wrong_field_is_an_error(command: Any, message: str) -> None:
    with pytest.raises(InvalidUpdateError, match=message):
        await one_node(State, lambda _: command).ainvoke({"log": []})


# ---------------------------------------------------------------- goto


def logs(word: str) -> Any:
    async def node(state: State) -> Any:
        return {"log": [word]}

    return node


def going(goto: Any, **fields: Any) -> Any:
    """A node that logs `a` and goes on with a `Command`."""

    async def node(state: State) -> Any:
        return Command(update={"log": ["a"]}, goto=goto, **fields)

    return node


def builder(first: Any) -> StateGraph[State]:
    graph = StateGraph(State).add_node("a", first)
    for name in "bc":
        graph.add_node(name, logs(name))
    return graph.add_edge(START, "a")


@pytest.mark.parametrize(
    ("goto", "log"),
    [
        ((), ["a"]),
        ("b", ["a", "b"]),
        (END, ["a"]),
        (["c", "b"], ["a", "b", "c"]),
        (("b", END), ["a", "b"]),
        (Send("b", {}), ["a", "b"]),
        ([Send("c", {}), Send("b", {})], ["a", "c", "b"]),
        (["c", Send("b", {})], ["a", "c", "b"]),
        (["b", "b"], ["a", "b"]),
    ],
)
async def test_goto_chooses_what_runs_next(goto: Any, log: list[str]) -> None:
    assert await builder(going(goto)).compile().ainvoke({"log": []}) == {"log": log}


async def test_goto_adds_to_the_static_edges_and_routers() -> None:
    graph = (
        builder(going("b")).add_node("d", logs("d")).add_edge("a", "c").add_conditional_edges("a", lambda s: "d", ["d"])
    )
    assert await graph.compile().ainvoke({"log": []}) == {"log": ["a", "b", "c", "d"]}


async def test_a_list_of_commands_goes_everywhere() -> None:
    graph = builder(lambda _: [Command(goto="b"), Command(update={"log": ["a"]}, goto="c")])
    assert await graph.compile().ainvoke({"log": []}) == {"log": ["a", "b", "c"]}


async def test_a_goto_loop() -> None:
    def again(state: State) -> Command[Literal["again", "b"]]:
        return Command(update={"log": ["again"]}, goto="again" if len(state["log"]) < 2 else "b")

    graph = StateGraph(State).add_node(again).add_node("b", logs("b")).add_edge(START, "again").compile()
    assert await graph.ainvoke({"log": []}) == {"log": ["again", "again", "again", "b"]}


@pytest.mark.parametrize(
    ("goto", "message"),
    [
        ("bb", r"Command\(goto=...\) of node 'a' chose 'bb', which is no node of this graph; did you mean 'b'\?"),
        (["b", "zebra"], r"chose 'zebra', which is no node of this graph; known: '__end__', 'a', 'b', 'c'"),
        (Send("bb", {}), r"Send from Command\(goto=...\) of node 'a' chose 'bb'"),
        (START, r"chose '__start__'; the start of a graph cannot be a target"),
        (None, r"chose None; return END"),
        (5, r"chose 5, which is no node"),
    ],
)
async def test_an_unknown_goto_is_an_error_that_names_the_nearest(goto: Any, message: str) -> None:
    chunks: list[Any] = []
    with pytest.raises(UnknownTargetError, match=message):
        async for chunk in builder(going(goto)).compile().astream({"log": []}):
            chunks.append(chunk)
    assert chunks == [], "a node whose return value is wrong has no update"


# ---------------------------------------------------------------- Command.PARENT


def nested(node: Any, levels: int) -> CompiledStateGraph[State]:
    """`node` inside of `levels` graphs named `level1`, `level2`... from the outside."""
    graph = StateGraph(State).add_node("leaf", node).add_node("never", logs("never")).add_edge(START, "leaf").compile()
    for level in range(levels, 1, -1):
        graph = StateGraph(State).add_node(f"level{level}", graph).add_edge(START, f"level{level}").compile()
    return graph


async def test_command_parent_updates_and_continues_the_graph_around() -> None:
    sub = nested(going("b", graph=Command.PARENT), 1)
    graph = builder(sub).compile()
    chunks = await collect(graph.astream({"log": ["in"]}, stream_mode=["updates", "values"]))
    assert chunks == [
        ("values", {"log": ["in"]}),
        ("updates", {"a": {"log": ["a"]}}),
        ("values", {"log": ["in", "a"]}),
        ("updates", {"b": {"log": ["b"]}}),
        ("values", {"log": ["in", "a", "b"]}),
    ]


async def test_command_parent_reaches_one_level_only() -> None:
    leaf = going("beside", graph=Command.PARENT)
    inner = StateGraph(State).add_node("leaf", leaf).add_edge(START, "leaf").compile()
    middle = StateGraph(State).add_node("inner", inner).add_node("beside", logs("beside")).add_edge(START, "inner")
    graph = builder(middle.compile()).add_edge("a", "c").compile()
    chunks = await collect(graph.astream({"log": []}, stream_mode="updates", subgraphs=True))
    shown = [("/".join(s.partition(":")[0] for s in ns), update) for ns, update in chunks]
    assert shown == [
        ("a", {"inner": {"log": ["a"]}}),
        ("a", {"beside": {"log": ["beside"]}}),
        ("", {"a": {"log": ["a", "beside"]}}),
        ("", {"c": {"log": ["c"]}}),
    ]


async def test_command_parent_two_levels_up_in_two_hops() -> None:
    leaf = StateGraph(State).add_node("leaf", going("up", graph=Command.PARENT)).add_edge(START, "leaf").compile()
    middle = StateGraph(State).add_node("inner", leaf).add_node("up", going("b", graph=Command.PARENT))
    graph = builder(middle.add_edge(START, "inner").compile()).compile()
    assert await graph.ainvoke({"log": []}) == {"log": ["a", "b"]}, "what the middle wrote before is lost with it"


def leaving(seconds: float, name: str, goto: str) -> Any:
    """A node that goes on in the graph around its own after a while."""

    async def node(state: State) -> Any:
        await anyio.sleep(seconds)
        return Command(update={"log": [name]}, goto=goto, graph=Command.PARENT)

    return node


def around_siblings(**nodes: Any) -> Any:
    sub = StateGraph(State).add_node("after", logs("after"))
    for name, node in nodes.items():
        sub.add_node(name, node).add_edge(START, name).add_edge(name, "after")
    return builder(sub.compile()).compile()


@pytest.mark.virtual_time
async def test_command_parent_lets_its_siblings_finish_and_ends_the_subgraph_after_them() -> None:
    async def slow(state: State) -> Any:
        await anyio.sleep(5)
        return {"log": ["lost"]}

    graph = around_siblings(leaving=leaving(1, "a", "b"), slow=slow)
    chunks = await collect(graph.astream({"log": []}, stream_mode="updates", subgraphs=True))
    assert [update for _, update in chunks] == [
        {"slow": {"log": ["lost"]}},
        {"a": {"log": ["a"]}},
        {"b": {"log": ["b"]}},
    ]


@pytest.mark.virtual_time
async def test_of_two_siblings_that_leave_the_first_counts() -> None:
    graph = around_siblings(one=leaving(2, "one", "b"), two=leaving(1, "two", "c"))
    assert await graph.ainvoke({"log": []}) == {"log": ["two", "c"]}


@pytest.mark.virtual_time
@pytest.mark.parametrize("seconds", [1, 3])
async def test_a_sibling_s_error_comes_before_a_command_parent(seconds: float) -> None:
    async def fail(state: State) -> None:
        await anyio.sleep(seconds)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        await around_siblings(leaving=leaving(2, "a", "b"), fail=fail).ainvoke({"log": []})
    assert not any("failed as well" in note for note in caught.value.__notes__)


async def test_command_parent_beside_other_nodes_of_the_parent() -> None:
    graph = builder(nested(going("b", graph=Command.PARENT), 1)).add_node("beside", logs("beside"))
    graph.add_edge(START, "beside").add_edge("beside", "c")
    assert await graph.compile().ainvoke({"log": []}) == {"log": ["a", "beside", "b", "c"]}


async def test_command_parent_out_of_a_graph_called_inside_a_node() -> None:
    sub = nested(going("b", graph=Command.PARENT), 1)

    async def call(state: State) -> Any:
        return await sub.ainvoke(state)

    graph = builder(call).add_edge("b", "c").compile()
    assert await graph.ainvoke({"log": []}) == {"log": ["a", "b", "c"]}


async def test_command_parent_with_a_send() -> None:
    sub = nested(going([Send("b", {}), Send("b", {})], graph=Command.PARENT), 1)
    assert await builder(sub).compile().ainvoke({"log": []}) == {"log": ["a", "b", "b"]}


async def test_command_parent_with_an_unknown_target_names_the_parent_s_nodes() -> None:
    graph = builder(nested(going("never", graph=Command.PARENT), 1)).compile()
    with pytest.raises(UnknownTargetError, match=r"node 'a' chose 'never', which is no node.*'a', 'b', 'c'"):
        await graph.ainvoke({"log": []})


async def test_command_parent_in_a_root_graph_is_an_error() -> None:
    with pytest.raises(InvalidUpdateError, match=r"PARENT|__parent__.* is no subgraph: there is no parent"):
        await builder(going("b", graph=Command.PARENT)).compile().ainvoke({"log": []})


# ---------------------------------------------------------------- Send


def fan_out(*sends: Send) -> Any:
    return lambda _: Command(goto=list(sends))


@pytest.mark.virtual_time
async def test_each_send_is_a_task_with_its_own_input_in_the_order_of_sending() -> None:
    async def work(state: dict[str, int]) -> Any:
        await anyio.sleep(5 - state["n"])
        return {"log": [str(state["n"])]}

    sends = [Send("work", {"n": n}) for n in (3, 1, 2)]
    graph = StateGraph(State).add_node("fan", fan_out(*sends)).add_node("work", work).add_edge(START, "fan").compile()
    chunks = await collect(graph.astream({"log": []}, stream_mode=["updates", "values"]))
    assert chunks == [
        ("values", {"log": []}),
        ("updates", {"fan": None}),
        ("updates", {"work": {"log": ["3"]}}),
        ("updates", {"work": {"log": ["2"]}}),
        ("updates", {"work": {"log": ["1"]}}),
        ("values", {"log": ["3", "1", "2"]}),
    ]


@pytest.mark.parametrize("arg", [None, 5, "text", ["list"], Data([], "t")])
async def test_a_send_carries_any_value(arg: Any) -> None:
    seen: list[Any] = []
    graph = StateGraph(State).add_node("fan", fan_out(Send("work", arg))).add_node("work", seen.append)
    await graph.add_edge(START, "fan").compile().ainvoke({"log": []})
    assert seen == [arg]
    assert seen[0] is arg


async def test_a_send_to_a_node_with_a_typed_input_hands_over_what_was_sent() -> None:
    seen: list[Any] = []

    def work(state: Model) -> None:
        seen.append(state)

    sends = [Send("work", {"text": "t"}), Send("work", Model(text="t"))]
    graph = StateGraph(State).add_node("fan", fan_out(*sends)).add_node(work).add_edge(START, "fan").compile()
    await graph.ainvoke({"log": []}, {"max_concurrency": 1})
    assert seen == [{"text": "t"}, Model(text="t")]


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


async def test_each_send_to_a_subgraph_is_a_run_with_a_namespace_of_its_own() -> None:
    inner = StateGraph(State, output_schema=Log).add_node("node", lambda s: {"log": [s["text"]]})
    sub = inner.add_edge(START, "node").compile()
    builder = StateGraph(State).add_node("fan", fan_out(*(Send("sub", {"text": t}) for t in "xy"))).add_node("sub", sub)
    graph = builder.add_edge(START, "fan").compile()
    assert await graph.ainvoke({"log": ["in"]}) == {"log": ["in", "x", "y"]}
    chunks = await collect(graph.astream({"log": []}, subgraphs=True, stream_mode="updates"))
    inside = [(ns, update) for ns, update in chunks if ns]
    assert sorted(update["node"]["log"] for _, update in inside) == [["x"], ["y"]]
    assert len({ns for ns, _ in inside}) == 2
    assert all(len(ns) == 1 and ns[0].startswith("sub:") for ns, _ in inside)


@pytest.mark.virtual_time
async def test_a_send_may_have_a_timeout_of_its_own() -> None:
    async def work(seconds: float) -> Any:
        await anyio.sleep(seconds)
        return {"log": [str(seconds)]}

    def graph(*sends: Send) -> Any:
        builder = StateGraph(State).add_node("fan", fan_out(*sends)).add_node("work", work, timeout=4.0)
        return builder.add_edge(START, "fan").compile()

    longer = graph(Send("work", 6.0, timeout=8.0), Send("work", 2.0))
    assert await longer.ainvoke({"log": []}) == {"log": ["6.0", "2.0"]}
    with pytest.raises(NodeTimeoutError, match=r"node 'work' did not finish within its timeout of 1 s"):
        await graph(Send("work", 3.0, timeout=1.0), Send("work", 2.0)).ainvoke({"log": []})
    with pytest.raises(NodeTimeoutError, match="timeout of 4 s"):
        await graph(Send("work", 6.0)).ainvoke({"log": []})


@pytest.mark.parametrize("timeout", [0, -1, timedelta(0), float("nan")])
def test_a_send_s_timeout_must_be_positive(timeout: Any) -> None:
    with pytest.raises(ValueError, match=r"Send\('work', ...\): timeout must be more than 0 seconds, got"):
        Send("work", {}, timeout=timeout)


@pytest.mark.virtual_time
async def test_a_send_s_timeout_may_be_a_timedelta() -> None:
    async def work(seconds: float) -> None:
        await anyio.sleep(seconds)

    send = Send("work", 90.0, timeout=timedelta(minutes=1))
    graph = StateGraph(State).add_node("fan", fan_out(send)).add_node("work", work).add_edge(START, "fan").compile()
    with pytest.raises(NodeTimeoutError, match="timeout of 60 s"):
        await graph.ainvoke({"log": []})


async def test_sends_and_edges_to_the_same_node_are_tasks_of_their_own() -> None:
    graph = builder(going(Send("b", {"text": "sent"}))).add_edge("a", "b").compile()
    assert await graph.ainvoke({"log": []}) == {"log": ["a", "b", "b"]}


async def test_what_follows_a_node_follows_it_once_however_often_it_was_sent() -> None:
    graph = builder(going([Send("b", {}), Send("b", {})])).add_edge("b", "c").compile()
    assert await graph.ainvoke({"log": []}) == {"log": ["a", "b", "b", "c"]}
