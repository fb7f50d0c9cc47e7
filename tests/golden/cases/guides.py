"""The examples of LangGraph's user guides that need no model; the others are in `test_native.py`."""

from collections.abc import Iterator
from typing import Any

from typing_extensions import TypedDict

from ..harness import Run, astream, call, case, stream
from ..library import START, Graph, MessagesState, StateGraph, StreamWriter, get_stream_writer, tool

APIS = {"stream": stream, "astream": astream}


class State(TypedDict):
    topic: str
    joke: str


def joke_graph() -> Graph:
    def refine_topic(state: State) -> Any:
        return {"topic": state["topic"] + " and cats"}

    def generate_joke(state: State) -> Any:
        return {"joke": f"This is a joke about {state['topic']}"}

    return (
        StateGraph(State)
        .add_node(refine_topic)
        .add_node(generate_joke)
        .add_edge(START, "refine_topic")
        .add_edge("refine_topic", "generate_joke")
        .compile()
    )


class SubgraphState(TypedDict):
    foo: str  # shared with the parent
    bar: str


class ParentState(TypedDict):
    foo: str


def sub_graph() -> Graph:
    def subgraph_node_1(state: SubgraphState) -> Any:
        return {"bar": "bar"}

    def subgraph_node_2(state: SubgraphState) -> Any:
        return {"foo": state["foo"] + state["bar"]}

    def node_1(state: ParentState) -> Any:
        return {"foo": "hi! " + state["foo"]}

    subgraph = (
        StateGraph(SubgraphState)
        .add_node(subgraph_node_1)
        .add_node(subgraph_node_2)
        .add_edge(START, "subgraph_node_1")
        .add_edge("subgraph_node_1", "subgraph_node_2")
        .compile()
    )
    return (
        StateGraph(ParentState)
        .add_node("node_1", node_1)
        .add_node("node_2", subgraph)
        .add_edge(START, "node_1")
        .add_edge("node_1", "node_2")
        .compile()
    )


@case("a plain function `tool` using get_stream_writer(), called from a sync node", own=False)
def s000_custom_snippet() -> Iterator[Run]:
    def custom_data_stream() -> Iterator[str]:
        yield from ("one", "two", "three")

    def tool(tool_arg: str) -> str:
        writer = get_stream_writer()
        for chunk in custom_data_stream():
            writer(chunk)
        return tool_arg

    def call_tools(state: MessagesState) -> None:
        tool("x")

    graph = StateGraph(MessagesState).add_node(call_tools).add_edge(START, "call_tools").compile()
    yield stream(graph, {"messages": []}, stream_mode="custom", name="stream_0")
    yield astream(graph, {"messages": []}, stream_mode="custom", name="astream_1")


@case("using the streaming API: sync/async, single mode and list of modes", own=False)
def s001_api() -> Iterator[Run]:
    graph, inputs = joke_graph(), {"topic": "ice cream"}
    yield stream(graph, inputs, stream_mode="updates", name="sync_updates")
    yield astream(graph, inputs, stream_mode="updates", name="async_updates")
    yield stream(graph, inputs, stream_mode=["updates", "custom"], name="sync_list")
    yield astream(graph, inputs, stream_mode=["updates", "custom"], name="async_list")


@case("stream_mode=custom with `writer: StreamWriter` in a sync node; multiple modes", own=False)
def s001_custom_and_multiple() -> Iterator[Run]:
    def refine_topic(state: State) -> Any:
        return {"topic": state["topic"] + " and cats"}

    def generate_joke(state: State, writer: StreamWriter) -> Any:
        writer({"custom_key": "Writing custom data while generating a joke"})
        return {"joke": f"This is a joke about {state['topic']}"}

    graph = (
        StateGraph(State)
        .add_node(refine_topic)
        .add_node(generate_joke)
        .add_edge(START, "refine_topic")
        .add_edge("refine_topic", "generate_joke")
        .compile()
    )
    for api, run in APIS.items():
        yield run(graph, {"topic": "ice cream"}, stream_mode="custom", name=f"{api}_custom")
        yield run(graph, {"topic": "ice cream"}, stream_mode=["updates", "custom"], name=f"{api}_updates_custom")
        yield run(graph, {"topic": "ice cream"}, stream_mode="updates", name=f"{api}_updates_only_writer_is_noop")


@case("stream from subgraphs: updates, with and without subgraphs=True; default mode", own=False)
def s001_subgraphs() -> Iterator[Run]:
    graph = sub_graph()
    for api, run in APIS.items():
        yield run(graph, {"foo": "foo"}, stream_mode="updates", name=f"{api}_updates")
        yield run(graph, {"foo": "foo"}, stream_mode="updates", subgraphs=True, name=f"{api}_updates_subgraphs")
        yield run(graph, {"foo": "foo"}, subgraphs=True, name=f"{api}_default_mode_subgraphs")
        yield run(
            graph,
            {"foo": "foo"},
            stream_mode=["updates", "values"],
            subgraphs=True,
            name=f"{api}_list_subgraphs",
        )


@case("stream_mode=values / updates / debug of the two-node joke graph", own=False)
def s001_values_updates_debug() -> Iterator[Run]:
    graph = joke_graph()
    for mode in ("values", "updates", "debug"):
        yield stream(graph, {"topic": "ice cream"}, stream_mode=mode, name=f"sync_{mode}")
        yield astream(graph, {"topic": "ice cream"}, stream_mode=mode, name=f"async_{mode}")
    yield astream(graph, {"topic": "ice cream"}, name="default_mode")


@case("note: a tool that calls get_stream_writer() cannot be invoked outside a graph", own=False)
def s002_writer_outside_graph() -> Iterator[Run]:
    def get_weather(city: str) -> str:
        """Get weather for a given city."""
        writer = get_stream_writer()
        writer(f"Looking up data for city: {city}")
        return f"It's always sunny in {city}!"

    made = tool(get_weather)
    yield call("plain_call", lambda: get_weather("sf"))
    yield call("tool_invoke", lambda: made.invoke({"city": "sf"}))
    yield call("tool_ainvoke", lambda: made.ainvoke({"city": "sf"}))
