"""Every mistake in a description is found before anything runs, and all are reported together."""

from __future__ import annotations

import functools
import operator
import pickle
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from typing_extensions import TypedDict

from penstock.errors import GraphBuildError, PenstockError
from penstock.graph import END, START, StateGraph
from penstock.types import Command, Send

from ._chain import one_node


class State(TypedDict):
    log: Annotated[list[str], operator.add]


def nothing(state: State) -> None: ...


def builder(*names: str) -> StateGraph[State]:
    graph = StateGraph(State)
    for name in names:
        graph.add_node(name, nothing)
    return graph


def problems(graph: StateGraph[State]) -> tuple[str, ...]:
    with pytest.raises(GraphBuildError) as caught:
        graph.compile()
    return caught.value.problems


# ---------------------------------------------------------------- ends of edges


def test_an_unknown_end_of_an_edge_names_the_nearest_node() -> None:
    graph = builder("search", "write").add_edge(START, "search").add_edge("search", "wriet")
    assert problems(graph) == (
        "the edge 'search' -> 'wriet' names 'wriet', which is no node; did you mean 'write'? "
        "Known: '__end__', 'search', 'write'",
    )


@pytest.mark.parametrize(
    ("mistake", "problem"),
    [
        (lambda g: g.add_edge("x", "b"), "the edge 'x' -> 'b' names 'x'"),
        (lambda g: g.add_edge(["a", "x"], "b"), "the join ['a', 'x'] -> 'b' names 'x'"),
        (lambda g: g.add_edge(["a", "b"], "x"), "the join ['a', 'b'] -> 'x' names 'x'"),
        (lambda g: g.add_conditional_edges("x", nothing), "add_conditional_edges() names 'x'"),
        (lambda g: g.add_conditional_edges("a", nothing, ["x"]), "router 'nothing' of 'a' names 'x'"),
        (lambda g: g.add_conditional_edges("a", nothing, {1: "x"}), "router 'nothing' of 'a' names 'x'"),
        (lambda g: g.add_conditional_edges("a", to_x), "router 'to_x' of 'a' names 'x'"),
        (lambda g: g.add_node("c", command_x), "destinations of node 'c' names 'x'"),
        (lambda g: g.add_node("c", nothing, destinations=["x"]), "destinations of node 'c' names 'x'"),
        (lambda g: g.add_node("c", nothing, destinations={"x": "label"}), "destinations of node 'c' names 'x'"),
    ],
)
def test_whatever_names_a_node_names_one_that_exists(mistake: Callable[[Any], Any], problem: str) -> None:
    graph = builder("a", "b").add_edge(START, "a").add_edge("a", "b")
    mistake(graph)
    (found,) = problems(graph)
    assert found.startswith(f"{problem}, which is no node; known: ")


def to_x(state: State) -> Literal["x", "__end__"]:
    return "x"


def command_x(state: State) -> Command[Literal["x"]]:
    return Command(goto="x")


def test_all_mistakes_are_reported_together() -> None:
    graph = builder("a", "b").add_edge("a", "x").add_edge("y", "b").add_conditional_edges("b", nothing, ["z", "z", "a"])
    with pytest.raises(GraphBuildError) as caught:
        graph.compile()
    assert len(caught.value.problems) == 4
    assert [word for word in "xyz" if f"'{word}', which is no node" not in str(caught.value)] == []
    assert caught.value.problems[3] == "the graph has no entry point; add one, such as add_edge(START, 'a')"
    lines = str(caught.value).splitlines()
    assert lines == ["4 mistakes in the graph:", *(f"  - {p}" for p in caught.value.problems)]


def test_the_error_is_a_value_error_and_survives_pickling() -> None:
    error = GraphBuildError(["one", "two"])
    assert isinstance(error, ValueError)
    assert isinstance(error, PenstockError)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.problems, str(copy)) == (error.problems, str(error))
    assert GraphBuildError("one").problems == ("one",)


@pytest.mark.parametrize("graph", [StateGraph(State), builder("a"), builder("a", "b").add_edge("a", "b")])
def test_a_missing_entry_point(graph: StateGraph[State]) -> None:
    assert problems(graph)[0].startswith("the graph has no entry point; add one, such as add_edge(START, ")


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        (("a", START), "an edge cannot lead to '__start__', the start of the graph"),
        ((END, "a"), "an edge cannot start at '__end__', the end of the graph"),
        (([END, "b"], "a"), "an edge cannot start at '__end__'"),
        (([START, "b"], "a"), "a join waits for nodes to end, and '__start__' is none; use a plain edge from it"),
        (([], "a"), "the join to 'a' waits for no nodes; name at least one"),
        ((5, "a"), "an edge leads from a node to a node, got 5 -> 'a'"),
        (("a", None), "an edge leads from a node to a node, got 'a' -> None"),
        (("a", ["b", "c"]), r"an edge leads from a node to a node, got 'a' -> \['b', 'c'\]"),
        ((["a", 5], "b"), r"an edge leads from a node to a node, got \['a', 5\] -> 'b'"),
        ((nothing, "a"), "an edge leads from a node to a node, got <function nothing"),
    ],
)
def test_what_cannot_be_an_edge_is_refused_at_once(edge: Any, message: str) -> None:
    with pytest.raises(GraphBuildError, match=message):
        builder("a", "b", "c").add_edge(*edge)


def test_a_router_cannot_start_at_the_end() -> None:
    with pytest.raises(GraphBuildError, match="an edge cannot start at '__end__'"):
        builder("a").add_conditional_edges(END, nothing)


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (START, "node '__start__': this name is reserved for the start and end of a graph"),
        (END, "node '__end__': this name is reserved"),
        ("a|b", r"node 'a\|b': a name must not contain '\|', which separates namespaces"),
        ("a:b", "node 'a:b': a name must not contain ':'"),
        ("", "the name of a node must not be empty"),
        ("a", "node 'a' was already added; give the second one another name"),
    ],
)
def test_a_name_that_no_node_can_have(name: str, message: str) -> None:
    with pytest.raises(GraphBuildError, match=message):
        builder("a").add_node(name, nothing)


def test_a_compiled_graph_s_name_is_checked_when_it_is_a_node_s() -> None:
    inner = builder("a").add_edge(START, "a").compile(name="a:b")
    with pytest.raises(GraphBuildError, match="node 'a:b'"):
        StateGraph(State).add_node(inner)


def test_unusual_names_are_fine() -> None:
    names = ["with space", "ünïcode", "a/b", "a.b", "1", "__init__"]
    graph = builder(*names)
    for name in names:
        graph.add_edge(START, name)
    assert len(list(graph.compile().stream({"log": []}))) == len(names)


def test_a_node_that_was_refused_is_not_half_added() -> None:
    graph = builder("a")
    with pytest.raises(GraphBuildError):
        graph.add_node("b", nothing, timeout=1)
    assert graph.add_node("b", nothing).add_edge(START, "a").add_edge("a", "b").compile().invoke({"log": []})


def test_a_router_that_was_refused_is_not_half_added() -> None:
    def router(state: State, db: object) -> str:
        return "a"

    graph = builder("a", "b").add_edge(START, "a")
    with pytest.raises(GraphBuildError, match="'db'"):
        graph.add_conditional_edges(START, router)
    with pytest.raises(GraphBuildError, match="'db'"):
        graph.add_conditional_edges("a", router)
    assert problems(graph) == (
        "node 'b' can never run, nothing leads to it; add an edge, or name it in the destinations= of the node that "
        "goes there with Command(goto=...)",
    )


def test_compile_refuses_what_needs_saved_state() -> None:
    graph = builder("a").add_edge(START, "a")
    for argument in ({"checkpointer": object()}, {"interrupt_before": ["a"]}, {"interrupt_after": "*"}):
        (name,) = argument
        with pytest.raises(GraphBuildError, match=rf"compile\({name}=.*keeps no saved state yet"):
            graph.compile(**argument)  # type: ignore[arg-type]
    assert graph.compile(checkpointer=None, interrupt_before=[], interrupt_after=None)


def test_nothing_runs_before_a_mistake_is_reported() -> None:
    class Touchy:
        def __call__(self, state: State) -> None:
            pytest.fail("it ran")

    graph = StateGraph(State).add_node("node", Touchy()).add_conditional_edges(START, lambda s: pytest.fail("it ran"))
    graph.add_edge("node", "nowhere")
    assert len(problems(graph)) == 1


# ---------------------------------------------------------------- reachability


def test_a_node_that_nothing_leads_to_is_a_mistake() -> None:
    graph = builder("a", "b", "c", "d").add_edge(START, "a").add_edge("c", "d").add_edge("d", "c").add_edge("b", END)
    assert [p.split(",")[0] for p in problems(graph)] == [f"node '{name}' can never run" for name in "bcd"]


@pytest.mark.parametrize(
    "graph",
    [
        builder("a", "b", "c").add_edge(START, "a").add_edge(["a", "b"], "c"),
        builder("a", "b", "c").add_edge(START, "a").add_edge("a", "c").add_conditional_edges("a", to_x, {"x": "c"}),
    ],
)
def test_half_a_join_and_a_closed_router_do_not_lead_everywhere(graph: StateGraph[State]) -> None:
    assert problems(graph)[0].startswith("node 'b' can never run")


def leads_on(node: Any, **options: Any) -> StateGraph[State]:
    """A graph in which nothing but `node` can lead to `target`."""
    graph = StateGraph(State).add_node("node", node, **options).add_node("target", nothing)
    return graph.add_edge(START, "node")


def mentions(state: State) -> Any:
    return Command(goto="target")


async def mentions_async(state: State) -> Any:
    return Command(goto="target")


def annotated(state: State) -> Command[Literal["target"]]:
    return Command(goto="target")


def annotated_union(state: State) -> Command[Literal["target", "__end__"]] | dict[str, Any] | None:
    return Command(goto="target")


def calls_a_helper(state: State) -> Any:
    return mentions(state)


def calls_a_helper_of_a_helper(state: State) -> Any:
    return [calls_a_helper(state)][0]


def wrapping(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Agent:
    def __init__(self, decide: Any = None) -> None:
        self.decide = decide

    def __call__(self, state: State) -> Any:
        return self.method(state)

    def method(self, state: State) -> Any:
        return self._route(state)

    def _route(self, state: State) -> Any:
        return Command(goto="target")

    def handed(self, state: State) -> Any:
        return self.decide(state)

    @staticmethod
    def static(state: State) -> Any:
        return Command(goto="target")

    @classmethod
    def via_static(cls, state: State) -> Any:
        return cls.static(state)


AGENT = Agent()
UP = (
    StateGraph(State)
    .add_node("up", lambda s: Command(goto="target", graph=Command.PARENT))
    .add_edge(START, "up")
    .compile()
)


def calls_a_graph(state: State) -> Any:
    return UP.invoke(state)


async def calls_a_graph_async(state: State) -> Any:
    return await UP.ainvoke(state)


def calls_an_agent(state: State) -> Any:
    return AGENT.method(state)


def sends(state: State) -> Any:
    return Command(goto=[Send("target", state)])


@pytest.mark.parametrize(
    "node",
    [
        mentions,
        mentions_async,
        annotated,
        annotated_union,
        lambda state: Command(goto="target"),
        lambda state: mentions(state),
        functools.partial(mentions),
        calls_a_helper,
        calls_a_helper_of_a_helper,
        wrapping(mentions),
        wrapping(wrapping(calls_a_helper)),
        AGENT,
        AGENT.method,
        Agent(mentions).handed,
        Agent.static,
        Agent.via_static,
        calls_an_agent,
        calls_a_graph,
        calls_a_graph_async,
        sends,
        UP,
    ],
)
def test_no_false_alarm_for_what_a_command_may_reach(node: Any) -> None:
    graph = leads_on(node).compile()
    names = [name for chunk in graph.stream({"log": []}) for name in chunk]
    assert names == ["node", "target"]


def test_no_false_alarm_for_what_a_nested_command_parent_may_reach() -> None:
    def hop(state: State) -> Any:
        return Command(goto="hop", graph=Command.PARENT)

    def up(state: State) -> Any:
        return Command(goto="target", graph=Command.PARENT)

    innermost = one_node(State, hop)
    middle = StateGraph(State).add_node("inner", innermost).add_node("hop", up).add_edge(START, "inner").compile()
    graph = leads_on(middle).compile()
    assert [name for chunk in graph.stream({"log": []}) for name in chunk] == ["node", "target"]


def test_no_false_alarm_for_destinations_error_handlers_and_open_routers() -> None:
    assert leads_on(nothing, destinations=["target"]).compile()
    assert leads_on(nothing, destinations=("target", END)).compile()
    assert leads_on(nothing, destinations={"target": "a label"}).compile()
    assert leads_on(one_node(State, nothing), destinations=("target", END)).compile()
    assert leads_on(nothing, error_handler=lambda s, error: Command(goto="target")).compile()
    assert leads_on(nothing).add_conditional_edges("node", lambda s: "target").compile()
    assert leads_on(nothing).add_conditional_edges(START, lambda s: "node").compile()


def test_declared_destinations_of_a_subgraph_s_node_may_be_the_parent() -> None:
    def up(state: State) -> Any:
        return Command(goto="target", graph=Command.PARENT)

    inner = StateGraph(State).add_node("up", up, destinations=(Command.PARENT,)).add_edge(START, "up").compile()
    graph = leads_on(inner).compile()
    assert [name for chunk in graph.stream({"log": []}) for name in chunk] == ["node", "target"]


def test_a_node_that_says_where_it_goes_leads_nowhere_else() -> None:
    def elsewhere(state: State) -> Command[Literal["__end__"]]:
        return Command(goto="__end__")

    for graph in (leads_on(elsewhere), leads_on(mentions, destinations=[END]), leads_on(one_node(State, nothing))):
        (problem,) = problems(graph)
        assert problem.startswith("node 'target' can never run, nothing leads to it; add an edge, or name it in")


def test_a_node_behind_a_closed_part_is_checked_although_another_is_open() -> None:
    graph = leads_on(nothing).add_node("open", mentions)
    assert [p.split(",")[0] for p in problems(graph)] == ["node 'target' can never run", "node 'open' can never run"]
