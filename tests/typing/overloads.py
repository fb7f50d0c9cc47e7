"""What type checkers make of the public API; never run, checked by `nox -s types`.

`assert_type` holds the inferred type to be exactly the one named.
"""

# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from typing_extensions import TypedDict, assert_type

from penstock.config import RunnableConfig, get_config, get_stream_writer
from penstock.graph import END, START, CompiledStateGraph, MessagesState, StateGraph
from penstock.models import ChatModel
from penstock.runnables import ChatPromptTemplate, Runnable, RunnableLambda, StrOutputParser
from penstock.runtime import Observer, RunStream, Runtime, Span, SyncRunStream, get_runtime
from penstock.tools import Tool
from penstock.types import (
    Command,
    CustomStreamPart,
    GraphOutput,
    Namespace,
    Only,
    RetryPolicy,
    Send,
    StreamEvent,
    StreamMode,
    StreamPart,
    StreamWriter,
    TaskPayload,
    TaskResultPayload,
    UpdatesStreamPart,
    ValuesStreamPart,
)


class State(TypedDict):
    text: str


class Narrow(TypedDict):
    text: str


@dataclass
class Ctx:
    name: str


@dataclass
class Data:
    text: str


# ---------------------------------------------------------------- generics


def inference() -> None:
    assert_type(StateGraph(State), StateGraph[State, None, State, State])
    assert_type(StateGraph(State, Ctx), StateGraph[State, Ctx, State, State])
    assert_type(StateGraph(State, context_schema=Ctx), StateGraph[State, Ctx, State, State])
    assert_type(StateGraph(Data), StateGraph[Data, None, Data, Data])
    assert_type(StateGraph(MessagesState), StateGraph[MessagesState, None, MessagesState, MessagesState])
    assert_type(StateGraph(State, input_schema=Narrow), StateGraph[State, None, Narrow, State])
    assert_type(StateGraph(State, output_schema=Narrow), StateGraph[State, None, State, Narrow])
    assert_type(StateGraph(State, Ctx, input_schema=Data, output_schema=Narrow), StateGraph[State, Ctx, Data, Narrow])
    assert_type(StateGraph(State, Ctx).compile(), CompiledStateGraph[State, Ctx, State, State])
    short: StateGraph[State] = StateGraph(State)
    compiled: CompiledStateGraph[State] = short.compile()
    with_context: CompiledStateGraph[State, Ctx] = StateGraph(State, Ctx).compile()
    assert_type(compiled, CompiledStateGraph[State, None, State, State])
    assert_type(with_context, CompiledStateGraph[State, Ctx, State, State])


# ---------------------------------------------------------------- building


def node(state: State) -> dict[str, Any]:
    return {}


async def async_node(state: State, config: RunnableConfig, writer: StreamWriter, runtime: Runtime[Ctx]) -> State:
    assert_type(runtime.context, Ctx)
    assert_type(runtime.context.name, str)
    assert_type(runtime.execution_info.step, int)
    await writer("chunk")
    writer("chunk")
    get_stream_writer()("chunk")
    assert_type(get_config(), RunnableConfig)
    assert_type(get_runtime(Ctx), Runtime[Ctx])
    assert_type(get_runtime(), Runtime[None])
    return {"text": runtime.context.name}


def without_context(state: State, runtime: Runtime) -> None:
    assert_type(runtime.context, None)


def goes(state: State) -> Command[Literal["node", "__end__"]]:
    return Command(update={"text": ""}, goto="node")


def sends(state: State) -> list[Send]:
    return [Send("node", state)]


class Callable_:
    async def __call__(self, state: State) -> None: ...


def building(sub: CompiledStateGraph[Data, Any]) -> None:
    builder = StateGraph(State, Ctx)
    assert_type(builder.add_node(node), StateGraph[State, Ctx, State, State])
    chained = (
        StateGraph(State, Ctx)
        .add_node(node)
        .add_node("named", async_node, retry_policy=[RetryPolicy()], timeout=3, metadata={"k": 1}, defer=True)
        .add_node("object", Callable_())
        .add_node("lambda", lambda state: None, destinations=["node"], input_schema=Data)
        .add_node(sub)
        .add_node("sub", sub, error_handler=node)
        .add_sequence([node, async_node, ("third", lambda state: None), sub, ("sub", sub)])
        .add_edge(START, "node")
        .add_edge(["node", "named"], END)
        .add_conditional_edges("node", sends)
        .add_conditional_edges("node", lambda state: True, {True: "named", False: END})
        .add_conditional_edges("node", goes, ["node"])
        .set_entry_point("node")
        .set_finish_point("node")
        .set_conditional_entry_point(sends, ["node"])
        .compile(name="name")
    )
    assert_type(chained, CompiledStateGraph[State, Ctx, State, State])


# ---------------------------------------------------------------- astream

Graph = CompiledStateGraph[State]
Bare = dict[str, Any]
Task = TaskPayload | TaskResultPayload


def astream(graph: Graph, mode: StreamMode, flag: bool, modes: Collection[StreamMode]) -> None:
    assert_type(graph.astream({}), RunStream[Bare])
    assert_type(graph.astream({}, stream_mode="values"), RunStream[Bare])
    assert_type(graph.astream({}, stream_mode="updates"), RunStream[Bare])
    assert_type(graph.astream({}, stream_mode="debug"), RunStream[Bare])
    assert_type(graph.astream({}, stream_mode="checkpoints"), RunStream[Bare])
    assert_type(graph.astream({}, stream_mode="tools"), RunStream[Bare])
    assert_type(graph.astream({}, stream_mode="custom"), RunStream[Any])
    assert_type(graph.astream({}, stream_mode="messages"), RunStream[tuple[Any, dict[str, Any]]])
    assert_type(graph.astream({}, stream_mode="tasks"), RunStream[Task])
    assert_type(graph.astream({}, stream_mode=["values"]), RunStream[tuple[StreamMode, Any]])
    assert_type(graph.astream({}, stream_mode=["values", "custom"]), RunStream[tuple[StreamMode, Any]])
    assert_type(graph.astream({}, stream_mode=("values", "custom")), RunStream[tuple[StreamMode, Any]])
    assert_type(graph.astream({}, stream_mode={"values", "custom"}), RunStream[tuple[StreamMode, Any]])
    assert_type(graph.astream({}, stream_mode=modes), RunStream[tuple[StreamMode, Any]])
    assert_type(graph.astream({}, stream_mode=mode), RunStream[Any])

    assert_type(graph.astream({}, subgraphs=True), RunStream[tuple[Namespace, Bare]])
    assert_type(graph.astream({}, stream_mode="values", subgraphs=True), RunStream[tuple[Namespace, Bare]])
    assert_type(graph.astream({}, stream_mode="custom", subgraphs=True), RunStream[tuple[Namespace, Any]])
    assert_type(
        graph.astream({}, stream_mode="messages", subgraphs=True),
        RunStream[tuple[Namespace, tuple[Any, dict[str, Any]]]],
    )
    assert_type(graph.astream({}, stream_mode="tasks", subgraphs=True), RunStream[tuple[Namespace, Task]])
    assert_type(graph.astream({}, stream_mode=["values"], subgraphs=True), RunStream[tuple[Namespace, StreamMode, Any]])
    assert_type(graph.astream({}, subgraphs=False), RunStream[Bare])
    assert_type(graph.astream({}, subgraphs=flag), RunStream[Any])

    assert_type(graph.astream({}, version="v1"), RunStream[Bare])
    assert_type(graph.astream({}, version="v2"), RunStream[StreamPart])
    assert_type(graph.astream({}, stream_mode="custom", version="v2"), RunStream[StreamPart])
    assert_type(graph.astream({}, stream_mode=modes, subgraphs=flag, version="v2"), RunStream[StreamPart])


def options(graph: CompiledStateGraph[State, Ctx]) -> None:
    assert_type(
        graph.astream(
            {"text": ""},
            {"configurable": {"thread": 1}, "recursion_limit": 5, "free": 1},
            context=Ctx("Ada"),
            output_keys=["text"],
            print_mode=["custom"],
            only=Only(nodes=["node"], depth=0),
            high_water_mark=8,
            overflow={"custom": "latest"},
            run_ahead=2,
        ),
        RunStream[Bare],
    )
    graph.astream({}, config=RunnableConfig(tags=["a"]), only="node", overflow="raise", output_keys="text")
    graph.astream({}, only=["node"])
    graph.astream({}, only={"tags": ["a"]})
    graph.astream(State(text=""))
    graph.astream(Command(goto="node"))


async def reading(graph: Graph) -> None:
    async for chunk in graph.astream({}):
        assert_type(chunk, Bare)
    async for mode, payload in graph.astream({}, stream_mode=["values", "custom"]):
        assert_type(mode, StreamMode)
        assert_type(payload, Any)
    async for namespace, update in graph.astream({}, subgraphs=True):
        assert_type(namespace, tuple[str, ...])
        assert_type(update, Bare)
    async for namespace, mode, payload in graph.astream({}, stream_mode=["values"], subgraphs=True):
        assert_type(namespace, tuple[str, ...])
        assert_type(mode, StreamMode)
        assert_type(payload, Any)
    async with graph.astream({}, stream_mode="custom") as run:
        assert_type(run, RunStream[Any])
        assert_type(run.statistics().buffered, int)
        assert_type(await run.result(), Any)
        run.cancel()
        await run.drain()
        await run.aclose()
    async for part in graph.astream({}, version="v2"):
        if part["type"] == "values":
            assert_type(part, ValuesStreamPart)
            assert_type(part["data"], dict[str, Any])
        elif part["type"] == "updates":
            assert_type(part, UpdatesStreamPart)
        elif part["type"] == "custom":
            assert_type(part, CustomStreamPart)
            assert_type(part["ns"], tuple[str, ...])


async def invoking(graph: Graph, modes: Collection[StreamMode]) -> None:
    assert_type(await graph.ainvoke({}), Any)
    assert_type(graph.invoke({}), Any)
    assert_type(await graph.ainvoke({}, version="v2"), GraphOutput)
    assert_type(graph.invoke({}, version="v2"), GraphOutput)
    assert_type(await graph.ainvoke({}, stream_mode="updates"), list[Any])
    assert_type(graph.invoke({}, stream_mode="custom", version="v2"), list[Any])
    assert_type(graph.invoke({}, stream_mode=["values"]), list[Any])
    assert_type(graph.invoke({}, stream_mode=modes, output_keys="text", context=None, print_mode="updates"), list[Any])


# ---------------------------------------------------------------- stream


def stream(graph: Graph, mode: StreamMode, flag: bool, modes: Collection[StreamMode]) -> None:
    assert_type(graph.stream({}), SyncRunStream[Bare])
    assert_type(graph.stream({}, stream_mode="values"), SyncRunStream[Bare])
    assert_type(graph.stream({}, stream_mode="updates"), SyncRunStream[Bare])
    assert_type(graph.stream({}, stream_mode="debug"), SyncRunStream[Bare])
    assert_type(graph.stream({}, stream_mode="checkpoints"), SyncRunStream[Bare])
    assert_type(graph.stream({}, stream_mode="tools"), SyncRunStream[Bare])
    assert_type(graph.stream({}, stream_mode="custom"), SyncRunStream[Any])
    assert_type(graph.stream({}, stream_mode="messages"), SyncRunStream[tuple[Any, dict[str, Any]]])
    assert_type(graph.stream({}, stream_mode="tasks"), SyncRunStream[Task])
    assert_type(graph.stream({}, stream_mode=["values", "custom"]), SyncRunStream[tuple[StreamMode, Any]])
    assert_type(graph.stream({}, stream_mode={"values"}), SyncRunStream[tuple[StreamMode, Any]])
    assert_type(graph.stream({}, stream_mode=modes), SyncRunStream[tuple[StreamMode, Any]])
    assert_type(graph.stream({}, stream_mode=mode), SyncRunStream[Any])

    assert_type(graph.stream({}, subgraphs=True), SyncRunStream[tuple[Namespace, Bare]])
    assert_type(graph.stream({}, stream_mode="custom", subgraphs=True), SyncRunStream[tuple[Namespace, Any]])
    assert_type(
        graph.stream({}, stream_mode="messages", subgraphs=True),
        SyncRunStream[tuple[Namespace, tuple[Any, dict[str, Any]]]],
    )
    assert_type(graph.stream({}, stream_mode="tasks", subgraphs=True), SyncRunStream[tuple[Namespace, Task]])
    assert_type(
        graph.stream({}, stream_mode=["values"], subgraphs=True), SyncRunStream[tuple[Namespace, StreamMode, Any]]
    )
    assert_type(graph.stream({}, subgraphs=flag), SyncRunStream[Any])
    assert_type(graph.stream({}, version="v2"), SyncRunStream[StreamPart])
    assert_type(graph.stream({}, stream_mode=modes, subgraphs=flag, version="v2"), SyncRunStream[StreamPart])

    for chunk in graph.stream({}):
        assert_type(chunk, Bare)
    with graph.stream({}, stream_mode=["values"]) as run:
        for mode_, payload in run:
            assert_type(mode_, StreamMode)
            assert_type(payload, Any)
        assert_type(run.result(), Any)
        run.close()


# ---------------------------------------------------------------- chains and events


def whole(number: int) -> str:
    return str(number)


async def awaited(number: int) -> str:
    return str(number)


def pieces(numbers: Iterator[int]) -> Iterator[str]:
    yield from map(str, numbers)


async def async_pieces(numbers: AsyncIterator[int]) -> AsyncIterator[str]:
    async for number in numbers:
        yield str(number)


def configured(number: int, config: RunnableConfig) -> str:
    return str(number)


def steps() -> None:
    assert_type(RunnableLambda(whole), RunnableLambda[int, str])
    assert_type(RunnableLambda(awaited), RunnableLambda[int, str])
    assert_type(RunnableLambda(pieces), RunnableLambda[int, str])
    assert_type(RunnableLambda(async_pieces), RunnableLambda[int, str])
    assert_type(RunnableLambda(configured), RunnableLambda[Any, Any])
    assert_type(RunnableLambda(whole).invoke(1), str)
    assert_type(RunnableLambda(whole) | awaited, Runnable[int, str])


async def events(
    graph: CompiledStateGraph[State], tool: Tool, model: ChatModel, prompt: ChatPromptTemplate, observer: Observer
) -> None:
    assert_type(graph.astream_events({}, include_types=["tool"], stream_mode="values"), RunStream[StreamEvent])
    assert_type(tool.astream_events({}, version="v2", high_water_mark=3), RunStream[StreamEvent])
    assert_type(model.astream_events("hi", exclude_tags=("a",)), RunStream[StreamEvent])
    chain = prompt | model | StrOutputParser()
    assert_type(chain, Runnable[Any, str])
    assert_type(chain.astream_events({}, {"callbacks": [observer]}), RunStream[StreamEvent])
    async for event in chain.astream_events({}):
        assert_type(event["event"], str)
        assert_type(event["parent_ids"], list[str])


class Watching(Observer):
    def started(self, span: Span) -> None:
        assert_type(span.name, str)
        assert_type(span.parent, Span | None)
