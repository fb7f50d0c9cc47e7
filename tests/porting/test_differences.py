"""Each row of the table of differences in docs/porting.md, shown: one test per row, named after it.

What LangGraph does is in the table; the tests show what penstock does instead.
"""

from __future__ import annotations

import contextvars
import inspect
import operator
import re
import sys
import typing
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

import anyio
import anyio.lowlevel
import pytest

from penstock.config import get_config, get_stream_writer
from penstock.errors import EmptyInputError, GraphBuildError, NodeTimeoutError, UnknownTargetError
from penstock.graph import END, START, CompiledStateGraph, MessagesState, StateGraph
from penstock.messages import AIMessage, AIMessageChunk, HumanMessage
from penstock.models import stream_tokens
from penstock.prebuilt import ToolNode
from penstock.runnables import ChatPromptTemplate, RunnableLambda, StrOutputParser
from penstock.runtime import Observer, RunStream, Span, SyncRunStream, dispatch_custom_event
from penstock.testing import ScriptedChatModel
from penstock.tools import as_tool, tool
from penstock.types import Command, Only, RetryPolicy, Send, StreamEvent, StreamPart
from tests.support import ExpectedNoise, Recorder, checkpoints, collect

PAGE = Path(__file__).parents[2] / "docs" / "porting.md"


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[Any], operator.add]


class Log(TypedDict):
    log: Annotated[list[Any], operator.add]


def graph_of(*nodes: Callable[..., Any]) -> CompiledStateGraph[State]:
    """The nodes one after the other."""
    builder = StateGraph(State).add_sequence(nodes)
    return builder.add_edge(START, nodes[0].__name__).compile()


def side_by_side(*nodes: Callable[..., Any]) -> CompiledStateGraph[State]:
    """The nodes in one superstep."""
    builder = StateGraph(State)
    for node in nodes:
        builder.add_node(node).add_edge(START, node.__name__)
    return builder.compile()


async def add_one(state: State) -> State:
    get_stream_writer()(f"adding to {state['n']}")
    return {"n": state["n"] + 1}


def sync_add_one(state: State) -> State:
    return {"n": state["n"] + 1}


# --- where it runs ----------------------------------------------------------------------------------------


async def test_every_async_entry_point_runs_on_every_backend() -> None:
    graph = graph_of(add_one, sync_add_one)
    assert await graph.ainvoke({"n": 1}) == {"n": 3, "log": []}
    assert await graph.ainvoke({"n": 1}, stream_mode="custom") == ["adding to 1"]
    expected = [{"add_one": {"n": 2}}, {"sync_add_one": {"n": 3}}]
    assert await collect(graph.astream({"n": 1})) == expected
    async with graph.astream({"n": 1}) as run:
        assert await collect(run) == expected
        assert await run.result() == {"n": 3, "log": []}


def test_async_nodes_run_under_the_sync_api() -> None:
    graph = graph_of(add_one)
    assert graph.invoke({"n": 1}) == {"n": 2, "log": []}
    assert list(graph.stream({"n": 1}, stream_mode="custom")) == ["adding to 1"]


async def test_writer_tokens_and_subgraphs_work_on_every_python() -> None:
    async def child(state: State) -> State:
        async def in_a_child_task() -> None:
            get_stream_writer()("from a child task")

        async with anyio.create_task_group() as group:
            group.start_soon(in_a_child_task)
        await anyio.to_thread.run_sync(lambda: get_stream_writer()("from a thread"))
        return {"n": state["n"] + 1}

    subgraph = graph_of(child)

    async def calls(state: State) -> State:
        result = await subgraph.ainvoke({"n": state["n"]})  # no config is passed on
        return {"n": result["n"]}

    chunks = await collect(graph_of(calls).astream({"n": 1}, stream_mode="custom", subgraphs=True))
    assert [chunk for _, chunk in chunks] == ["from a child task", "from a thread"]
    assert {namespace[0].partition(":")[0] for namespace, _ in chunks} == {"calls"}


# --- backpressure -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("awaited", [True, False], ids=["awaited", "plain"])
async def test_memory_is_bounded_by_the_high_water_mark(awaited: bool) -> None:
    mark, total = 8, 500

    async def talk(state: State) -> None:
        writer = get_stream_writer()
        for number in range(total):
            if awaited:
                await writer(number)
            else:
                writer(number)
                await anyio.lowlevel.checkpoint()

    async with graph_of(talk).astream({"n": 1}, stream_mode="custom", high_water_mark=mark) as run:
        assert await run.__anext__() == 0
        await checkpoints(total)  # a reader that does nothing for a while
        assert run.statistics().running == ("talk",)
        assert mark - 1 <= run.statistics().buffered <= mark + 1
        assert await collect(run) == list(range(1, total))  # everything arrives, once and in order
        assert run.statistics().peak <= mark + 1


def test_a_sync_node_is_bounded_as_well() -> None:
    written = Recorder()

    def talk(state: State) -> None:
        for number in range(200):
            get_stream_writer()(number)
            written(number)

    stream = graph_of(talk).stream({"n": 1}, stream_mode="custom", high_water_mark=4)
    read = []
    for number in stream:
        read.append(number)
        assert len(written) <= len(read) + 2 * 4 * 4  # one batch under way, one being filled
    assert read == list(range(200))


# --- leaving ----------------------------------------------------------------------------------------------


def sleeper(name: str, seen: Recorder) -> Callable[..., Any]:
    """A node that writes a chunk, sleeps for ever, and takes some time to clean up."""

    async def node(state: State) -> None:
        get_stream_writer()(name)
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01)
            seen(f"{name} cleaned up")

    node.__name__ = name
    return node


async def test_a_cancelled_reader_resumes_after_every_cleanup() -> None:
    seen = Recorder()
    graph = side_by_side(sleeper("a", seen), sleeper("b", seen))
    with anyio.CancelScope() as scope:
        async for _ in graph.astream({"n": 1}, stream_mode="custom"):
            scope.cancel()
    assert sorted(map(str, seen)) == ["a cleaned up", "b cleaned up"]


async def test_aclose_may_be_called_from_another_task_any_number_of_times() -> None:
    seen = Recorder()
    stream = graph_of(sleeper("a", seen)).astream({"n": 1}, stream_mode="custom")

    async def close() -> None:
        await seen.wait_for("read a")
        await stream.aclose()
        seen("closed")
        await stream.aclose()

    async with anyio.create_task_group() as group:
        group.start_soon(close)
        async for chunk in stream:  # waits for a second chunk while the other task closes
            seen(f"read {chunk}")
    assert list(seen)[:2] == ["read a", "a cleaned up"]
    assert "closed" in seen


# --- failing ----------------------------------------------------------------------------------------------


async def test_a_failure_cancels_siblings_at_once_however_slow_the_reader() -> None:
    seen = Recorder()

    async def talk(state: State) -> None:
        with seen.span("talk"):
            for number in range(1000):
                get_stream_writer()(number)
                await anyio.lowlevel.checkpoint()

    async def fail(state: State) -> None:
        await checkpoints(20)
        raise ValueError("broken")

    read = []
    async with side_by_side(talk, fail).astream({"n": 1}, stream_mode="custom") as run:
        read.append(await run.__anext__())
        await seen.wait_for("talk ended: cancelled")  # while the reader reads nothing
        waiting = run.statistics().buffered
        error = await failure_of(run, read)
    assert isinstance(error, ValueError)
    assert waiting > 0
    assert read == list(range(1 + waiting))  # first what was produced, in order, then the error itself
    assert any("'fail' in the root graph" in note for note in error.__notes__)


async def failure_of(run: RunStream[Any], read: list[Any]) -> Exception | None:
    """Read to the end; the exception that ended the run."""
    try:
        async for chunk in run:
            read.append(chunk)
    except Exception as error:
        return error
    return None


async def test_a_second_failure_is_attached_to_the_first() -> None:
    started = anyio.Event()

    async def first(state: State) -> None:
        await started.wait()
        raise ValueError("first")

    async def second(state: State) -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            raise KeyError("second")

    with pytest.raises(ValueError, match="first") as info:
        await side_by_side(first, second).ainvoke({"n": 1})
    assert any("Node 'second' failed as well: KeyError('second')" in note for note in info.value.__notes__)


@pytest.mark.virtual_time
async def test_a_node_that_times_out_has_ended_before_the_caller_resumes() -> None:
    seen = Recorder()
    graph = StateGraph(State).add_node("a", sleeper("a", seen), timeout=1.0).add_edge(START, "a").compile()
    with pytest.raises(NodeTimeoutError):
        await graph.ainvoke({"n": 1})
    assert seen == ["a cleaned up"]


# --- mistakes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("modes", [("updates",), ["updates"], {"updates"}, frozenset({"updates"})], ids=repr)
async def test_any_collection_of_modes_tags_its_chunks(modes: Any) -> None:
    chunks = await collect(graph_of(add_one).astream({"n": 1}, stream_mode=modes))
    assert chunks == [("updates", {"add_one": {"n": 2}})]


async def test_a_misspelt_mode_is_an_error_at_the_call() -> None:
    with pytest.raises(ValueError, match=r"no stream mode 'valeus'; did you mean 'values'\?"):
        graph_of(add_one).astream({"n": 1}, stream_mode="valeus")  # type: ignore[call-overload]


async def test_an_unknown_target_is_an_error_that_names_the_candidates() -> None:
    async def jump(state: State) -> Command[Any]:
        return Command(goto="add_onne")

    with pytest.raises(UnknownTargetError, match=r"'add_onne'.* did you mean 'add_one'\?"):
        await graph_of(jump, add_one).ainvoke({"n": 1})

    builder = StateGraph(State).add_node(add_one).add_edge(START, "add_one")
    graph = builder.add_conditional_edges("add_one", lambda state: "nowhere").compile()
    with pytest.raises(UnknownTargetError, match="'nowhere', which is no node of this graph; known: "):
        await graph.ainvoke({"n": 1})


def test_all_mistakes_of_a_graph_are_reported_together() -> None:
    builder = StateGraph(State).add_node(add_one).add_edge("add_one", "missing").add_edge("lost", END)
    with pytest.raises(GraphBuildError) as info:
        builder.compile()
    assert len(info.value.problems) == 3  # two unknown names, and no entry point


def test_unknown_arguments_and_misspelt_config_keys_are_errors() -> None:
    graph = graph_of(add_one)
    with pytest.raises(TypeError, match=r"no argument 'subgraph'; did you mean 'subgraphs'\?"):
        graph.astream({"n": 1}, subgraph=True)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match=r"did you mean 'recursion_limit'\?"):
        graph.astream({"n": 1}, {"recursion_limt": 5})


def test_a_built_in_can_be_a_reducer() -> None:
    class Largest(TypedDict):
        n: Annotated[int, max]

    async def seven(state: Largest) -> Largest:
        return {"n": 7}

    graph = StateGraph(Largest).add_node(seven).add_edge(START, "seven").compile()
    assert [graph.invoke({"n": n}) for n in (3, 9)] == [{"n": 7}, {"n": 9}]


# --- state and context ------------------------------------------------------------------------------------


async def test_editing_a_chunk_does_not_reach_the_run() -> None:
    given: State = {"n": 1, "log": ["given"]}
    stream = graph_of(add_one, sync_add_one).astream(given, stream_mode=["values", "updates"])
    async for mode, chunk in stream:
        if mode == "values":
            chunk["n"] = 1000
            chunk["log"] = None
        else:
            next(iter(chunk.values()))["n"] = 1000
    assert await stream.result() == {"n": 3, "log": ["given"]}
    assert given == {"n": 1, "log": ["given"]}


async def test_editing_a_tasks_chunk_does_not_reach_the_run() -> None:
    stream = graph_of(add_one).astream({"n": 1}, stream_mode="tasks")
    async for chunk in stream:
        if "input" in chunk:
            chunk["input"]["n"] = 1000
    assert await stream.result() == {"n": 2, "log": []}


async def test_editing_a_nodes_input_does_not_change_the_state() -> None:
    async def edit(state: State) -> State:
        state["n"] = 1000
        return {"log": ["edited"]}

    assert await graph_of(edit, add_one).ainvoke({"n": 1}) == {"n": 2, "log": ["edited"]}


async def test_the_context_is_captured_once_when_the_run_starts() -> None:
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")
    seen = []

    async def first(state: State) -> None:
        seen.append(var.get())
        var.set("set by first")

    async def second(state: State) -> None:
        seen.append(var.get())

    var.set("caller")
    async for _ in graph_of(first, second).astream({"n": 1}):
        var.set("set between chunks")
    assert seen == ["caller", "caller"]
    assert var.get() == "set between chunks"


# --- concurrency ------------------------------------------------------------------------------------------


def deep(busy: Recorder | None = None) -> CompiledStateGraph[State]:
    """Sends, a subgraph as a node, one that is called, sync and async nodes."""
    running: set[object] = set()

    async def work(state: State) -> State:
        token = object()
        running.add(token)
        if busy is not None:
            busy(len(running))
        await checkpoints(3)
        running.discard(token)
        return {"log": [state["n"]]}

    def plain(state: State) -> State:
        return {"log": ["plain"]}

    inner_builder = StateGraph(State, output_schema=Log).add_sequence([work, plain])
    inner = inner_builder.add_edge(START, "work").compile()

    async def calls(state: State) -> State:
        result = await inner.ainvoke({"n": state["n"]})
        return {"log": result["log"]}

    builder: StateGraph[State] = StateGraph(State)
    builder.add_node(calls).add_node("inner", inner).add_node(work)
    builder.add_conditional_edges(
        START, lambda state: [Send(node, {"n": n}) for n in range(3) for node in ("calls", "inner", "work")]
    )
    return builder.compile()


@pytest.mark.parametrize("limit", [1, 2])
async def test_max_concurrency_never_deadlocks(limit: int) -> None:
    busy = Recorder()
    with anyio.fail_after(60):
        result = await deep(busy).ainvoke({"n": 0}, {"max_concurrency": limit})
    assert result["log"] == [0, "plain", 0, "plain", 0, 1, "plain", 1, "plain", 1, 2, "plain", 2, "plain", 2]
    assert max(busy.marks) == limit  # type: ignore[type-var]  # one limiter, whatever runs


def test_max_concurrency_of_one_works_from_plain_threads() -> None:
    chunks = list(deep().stream({"n": 0}, {"max_concurrency": 1}, stream_mode="custom", subgraphs=True))
    assert chunks == []


async def test_a_failing_tool_ends_the_others() -> None:
    seen = Recorder()

    async def slow(x: int) -> str:
        """Take long."""
        try:
            await anyio.sleep_forever()
        finally:
            seen("slow ended")
        raise AssertionError

    async def broken(x: int) -> str:
        """Fail."""
        raise RuntimeError("out of order")

    calls = [{"name": name, "args": {"x": 1}, "id": name} for name in ("slow", "broken")]
    with pytest.raises(RuntimeError, match="out of order"):
        await ToolNode([slow, broken]).ainvoke([AIMessage("", tool_calls=calls)])
    assert seen.marks == ["slow ended"]


async def test_tool_calls_count_against_max_concurrency() -> None:
    running, most = 0, 0

    async def job(x: int) -> str:
        """Work."""
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await checkpoints(5)
        running -= 1
        return "done"

    calls = [{"name": "job", "args": {"x": x}, "id": str(x)} for x in range(6)]
    graph = StateGraph(MessagesState).add_node("tools", ToolNode([job])).add_edge(START, "tools").compile()
    for limit in (1, 2):
        most = 0
        await graph.ainvoke({"messages": [AIMessage("", tool_calls=calls)]}, {"max_concurrency": limit})
        assert most == limit


# --- what a stream tells ----------------------------------------------------------------------------------


async def test_tokens_of_native_models_and_of_any_iterator() -> None:
    async def client() -> AsyncIterator[str]:
        for token in ("any", " client"):
            yield token

    async def node(state: State) -> None:
        await ScriptedChatModel([["a", " model"]]).ainvoke("hi")
        async for _ in stream_tokens(client(), tags=["client"]):
            pass

    chunks = await collect(graph_of(node).astream({}, stream_mode="messages"))
    assert [message.text for message, _ in chunks if message.text] == ["a", " model", "any", " client"]
    assert [metadata.get("tags") for message, metadata in chunks if message.text] == [
        None,
        None,
        ["client"],
        ["client"],
    ]


async def test_a_returned_message_is_not_changed() -> None:
    message = AIMessage("x")
    graph = StateGraph(MessagesState).add_node("n", lambda s: {"messages": [message]}).add_edge(START, "n").compile()
    ((shown, _),) = await collect(graph.astream({"messages": []}, stream_mode="messages"))
    assert shown.id is not None
    assert message.id is None


async def test_messages_in_pairs_are_shown() -> None:
    def node(state: MessagesState) -> Command[Any]:
        return Command(update=[("messages", [AIMessage("x")])])

    graph = StateGraph(MessagesState).add_node("n", node).add_edge(START, "n").compile()
    ((shown, _),) = await collect(graph.astream({"messages": []}, stream_mode="messages"))
    assert shown.text == "x"


def test_a_tool_outside_of_a_graph_says_what_to_do() -> None:
    def progress(x: int) -> str:
        """Report."""
        get_stream_writer()(x)
        return "done"

    with pytest.raises(RuntimeError, match="outside of a running node"):
        as_tool(progress).invoke({"x": 1})


async def test_nostream_hides_the_message_as_well() -> None:
    async def node(state: MessagesState) -> Any:
        return {"messages": await ScriptedChatModel(["secret"], tags=["nostream"]).ainvoke("hi")}

    graph = StateGraph(MessagesState).add_node("n", node).add_edge(START, "n").compile()
    assert await collect(graph.astream({"messages": []}, stream_mode="messages")) == []


async def test_retried_attempts_are_marked() -> None:
    async def flaky(state: State) -> State:
        attempt = get_config()["metadata"].get("langgraph_attempt", 1)
        get_stream_writer()(f"trying {attempt}")
        if attempt < 3:
            raise ConnectionError("try again")
        return {"n": attempt}

    policy = RetryPolicy(initial_interval=0.0, jitter=False)
    graph = StateGraph(State).add_node("flaky", flaky, retry_policy=policy).add_edge(START, "flaky").compile()
    parts = await collect(graph.astream({"n": 1}, stream_mode=["custom", "tasks"], version="v2"))
    custom = [(part["data"], part.get("attempt")) for part in parts if part["type"] == "custom"]
    assert custom == [("trying 1", None), ("trying 2", 2), ("trying 3", 3)]
    assert parts[-1]["data"]["attempt"] == 3  # type: ignore[typeddict-item]  # of the task's result


async def test_a_generator_node_streams_what_it_yields() -> None:
    async def count(state: State) -> AsyncIterator[State]:
        for number in (1, 2, 3):
            yield {"n": number, "log": [number]}

    stream = graph_of(count).astream({"n": 0})
    assert await collect(stream) == [{"count": {"n": n, "log": [n]}} for n in (1, 2, 3)]
    assert await stream.result() == {"n": 3, "log": [1, 2, 3]}


async def test_filtering_happens_at_the_source() -> None:
    built = []

    class Chunk:
        def __init__(self, name: str) -> None:
            self.name = name

        def __repr__(self) -> str:
            return self.name

    async def quiet(state: State) -> None:
        get_stream_writer()(Chunk("quiet"))

    async def loud(state: State) -> None:
        chunk = Chunk("loud")
        built.append(chunk)
        get_stream_writer()(chunk)

    async with side_by_side(quiet, loud).astream({"n": 1}, stream_mode="custom", only="loud") as run:
        assert await collect(run) == built
        assert run.statistics().delivered == 1  # the other chunk has never been in the stream

    outer = StateGraph(State).add_node("inner", graph_of(add_one)).add_edge(START, "inner").compile()
    selected = outer.astream({"n": 1}, subgraphs=True, only=Only(namespaces=[("inner",)]))
    assert [chunk for _, chunk in await collect(selected)] == [{"add_one": {"n": 2}}]


def test_the_mode_decides_the_static_type() -> None:
    for method, stream in (("astream", RunStream), ("stream", SyncRunStream)):
        returned = _overloads(method)
        assert f"{stream.__name__}[StreamPart]" in returned
        assert f"{stream.__name__}[tuple[StreamMode, Any]]" in returned
        assert f"{stream.__name__}[TaskPayload | TaskResultPayload]" in returned


def _overloads(method: str) -> Sequence[str]:
    """The return annotations of a method's overloads, as written."""
    source = inspect.getsource(CompiledStateGraph)
    return re.findall(rf"@overload\n    def {method}\(.*?\n    \) -> (.*?): \.\.\.", source, re.S)


async def test_v2_parts_have_the_keys_of_their_types() -> None:
    modes = ["values", "updates", "custom", "tasks", "debug"]
    types = {typing.get_type_hints(part)["type"].__args__[0]: part for part in typing.get_args(StreamPart)}
    seen = set()
    async for part in graph_of(add_one).astream({"n": 1}, stream_mode=modes, version="v2"):  # type: ignore[call-overload]
        seen.add(part["type"])
        assert part.keys() == typing.get_type_hints(types[part["type"]]).keys()
    assert seen == set(modes)


# --- events -----------------------------------------------------------------------------------------------


async def told(events: RunStream[StreamEvent]) -> list[tuple[str, str]]:
    """What happens to what."""
    return [(event["event"].removeprefix("on_"), event["name"]) async for event in events]


async def outline(events: RunStream[StreamEvent]) -> list[str]:
    """What starts, below what it is inside of."""
    return ["  " * len(e["parent_ids"]) + e["name"] async for e in events if e["event"].endswith("_start")]


async def test_what_fails_says_so_before_the_exception() -> None:
    model = ScriptedChatModel([ConnectionError("lost")])

    async def ask(state: State) -> None:
        await (RunnableLambda(str) | model).ainvoke("hi")

    seen = []
    with pytest.raises(ConnectionError, match="lost") as info:
        async for event in graph_of(ask).astream_events({"n": 1}):
            if event["event"].endswith("_error"):
                assert event["data"].keys() == {"error", "input"}
                seen.append((event["event"], event["name"], event["data"]["error"]))
    assert seen == [
        ("on_chat_model_error", "ScriptedChatModel", info.value),
        ("on_chain_error", "RunnableSequence", info.value),
        ("on_chain_error", "ask", info.value),
        ("on_chain_error", "LangGraph", info.value),
    ]


async def test_what_is_cancelled_has_neither_an_end_nor_an_error() -> None:
    started = anyio.Event()

    async def waits(state: State) -> None:
        started.set()
        await anyio.sleep_forever()

    async def fails(state: State) -> None:
        await started.wait()
        raise ValueError("broken")

    seen = []
    with pytest.raises(ValueError, match="broken"):
        async for event in side_by_side(waits, fails).astream_events({"n": 1}):
            seen.append((event["event"], event["name"]))
    assert [event for event, name in seen if name == "waits"] == ["on_chain_start"]
    assert seen[-2:] == [("on_chain_error", "fails"), ("on_chain_error", "LangGraph")]


async def test_a_reader_of_events_holds_the_graph_back() -> None:
    ran = Recorder()

    async def first(state: State) -> None:
        ran("first")

    async def second(state: State) -> None:
        ran("second")

    async with graph_of(first, second).astream_events({"n": 1}) as events:
        async for event in events:
            if event["name"] == "LangGraph" and event["event"] == "on_chain_start":
                await checkpoints(100)  # a reader that does nothing for a while
                assert ran.marks == []
            elif event["event"] == "on_chain_stream" and event["name"] == "LangGraph":
                break
        await checkpoints(100)
        assert ran.marks == ["first"]
    assert ran.marks == ["first"]


async def test_a_reader_of_events_holds_the_model_of_a_tool_back() -> None:
    mark, given = 8, Recorder()

    def words() -> Iterator[str]:
        for number in range(500):
            given(number)
            yield "word "

    @tool
    async def ask(question: str) -> str:
        """Ask."""
        return (await ScriptedChatModel([words()]).ainvoke(question)).text

    async with ask.astream_events({"question": "?"}, high_water_mark=mark) as events:
        await anext(events)
        await checkpoints(500)
        assert len(given) <= mark + 1
        assert events.statistics().running == ("ask",)
        assert len(await collect(events)) == 504  # starts, tokens, the end of the message, ends
        assert events.statistics().peak <= mark + 1


async def test_a_filter_leaves_events_as_they_are() -> None:
    async def ask(state: State) -> None:
        await ScriptedChatModel(["Yes"]).ainvoke("Really?")
        dispatch_custom_event("asked", {"n": state["n"]})

    graph = graph_of(ask)
    every = [as_seen(event) async for event in graph.astream_events({"n": 1})]
    models = [as_seen(event) async for event in graph.astream_events({"n": 1}, include_types=["chat_model"])]
    assert models == [event for event in every if event["event"].startswith("on_chat_model")]
    assert models[0]["data"] == {"input": {"messages": [[HumanMessage("Really?")]]}}
    assert models[-1]["data"]["input"] == models[0]["data"]["input"]
    (asked,) = await collect(graph.astream_events({"n": 1}, include_types=["asked"]))
    assert asked["data"] == {"n": 1}


def as_seen(event: StreamEvent) -> dict[str, Any]:
    """An event without what is new in each run."""
    data = {k: v for k, v in event["data"].items() if k not in ("chunk", "output")}
    return {"event": event["event"], "name": event["name"], "tags": event["tags"], "data": data}


async def test_a_misspelt_event_type_is_an_error_at_the_call() -> None:
    with pytest.raises(ValueError, match="no event type 'chat_modle', did you mean 'chat_model'"):
        graph_of(add_one).astream_events({"n": 1}, include_types=["chat_modle"])


async def test_what_is_written_is_an_event() -> None:
    events = graph_of(add_one).astream_events({"n": 1}, include_types=["custom"])
    assert [(e["event"], e["name"], e["data"]) async for e in events] == [("on_custom_event", "custom", "adding to 1")]


async def test_attempts_are_inside_of_what_makes_them() -> None:
    def chain() -> Any:
        broken = RunnableLambda(failing, name="broken").with_fallbacks([RunnableLambda(str, name="instead")])
        return broken | StrOutputParser()

    def failing(value: Any) -> Any:
        raise ConnectionError("lost")

    async def call(state: State) -> None:
        await chain().ainvoke("hi")

    called = await outline(graph_of(call).astream_events({"n": 1}))
    assert called[2:] == [f"    {line}" for line in await outline(chain().astream_events("hi"))]
    assert called[2:6] == [
        "    RunnableSequence",
        "      RunnableWithFallbacks",
        "        broken",
        "        instead",
    ]


async def test_attempts_of_a_node_are_marked_in_their_events() -> None:
    async def flaky(state: State) -> None:
        if get_config()["metadata"].get("langgraph_attempt", 1) < 2:
            raise ConnectionError("try again")

    policy = RetryPolicy(initial_interval=0.0, jitter=False)
    graph = StateGraph(State).add_node("flaky", flaky, retry_policy=policy).add_edge(START, "flaky").compile()
    seen = []
    async for event in graph.astream_events({"n": 1}, include_names=["flaky"]):
        seen.append((event["event"], event["metadata"].get("langgraph_attempt")))
    assert seen == [
        ("on_chain_start", None),
        ("on_chain_error", None),
        ("on_chain_start", 2),
        ("on_chain_stream", 2),
        ("on_chain_end", 2),
    ]


async def test_a_chain_that_is_a_node_is_a_run_of_its_own() -> None:
    chain = (RunnableLambda(lambda state: state["n"], name="read") | (lambda n: {"n": n})).with_config(run_name="node")
    graph = StateGraph(State).add_node(chain).add_edge(START, "node").compile()
    assert await outline(graph.astream_events({"n": 1})) == [
        "LangGraph",
        "  node",
        "    node",
        "      read",
        "      RunnableLambda",
    ]


async def test_updates_in_a_graph_that_is_invoked_synchronously_are_events() -> None:
    inner = graph_of(sync_add_one)

    def call(state: State) -> State:
        return {"n": inner.invoke({"n": state["n"]})["n"]}

    seen = await told(graph_of(call).astream_events({"n": 1}, include_names=["sync_add_one"]))
    assert [event for event, _ in seen] == ["chain_start", "chain_stream", "chain_end"]


async def test_what_a_command_to_the_parent_leaves_has_an_end() -> None:
    def leave(state: State) -> Command[Any]:
        return Command(graph=Command.PARENT, update={"n": 2})

    inner = StateGraph(State).add_node(leave).add_edge(START, "leave").compile(name="inner")
    outer = StateGraph(State).add_node("child", inner).add_edge(START, "child").compile(name="outer")
    seen = await told(outer.astream_events({"n": 1}))
    assert [name for event, name in seen if event == "chain_end"] == ["leave", "inner", "child", "outer"]


async def test_an_input_is_shown_at_the_end_as_at_the_start() -> None:
    async def call(text: str) -> None:
        for value in ("", 0, None):
            await RunnableLambda(repr, name="inner").ainvoke(value)

    events = RunnableLambda(call).astream_events("go", include_names=["inner"])
    seen = [event["data"]["input"] async for event in events if "input" in event["data"]]
    assert seen == ["", "", 0, 0, None, None]


async def test_the_arguments_of_a_tool_that_is_called_with_a_text_are_shown() -> None:
    @tool
    async def shout(text: str) -> str:
        """Shout."""
        return text.upper()

    async def call(state: State) -> None:
        await shout.ainvoke("hi")

    events = graph_of(call).astream_events({"n": 1}, include_types=["tool"])
    assert [event["data"]["input"] async for event in events] == [{"text": "hi"}] * 2


async def test_a_router_without_a_name_is_a_condition() -> None:
    builder = StateGraph(State).add_sequence([add_one]).add_edge(START, "add_one")
    graph = builder.add_conditional_edges("add_one", lambda state: END).compile()
    assert await outline(graph.astream_events({"n": 1})) == ["LangGraph", "  add_one", "    condition"]


async def test_tags_are_shown_once() -> None:
    graph = graph_of(add_one)
    events = graph.astream_events({"n": 1}, {"tags": ["t", "t", "u"]}, include_names=["LangGraph"])
    assert {tuple(event["tags"]) for event in await collect(events)} == {("t", "u")}


async def test_behind_a_model_that_cannot_stream_comes_a_chunk() -> None:
    chain = ScriptedChatModel(["Yes"], streaming=False) | StrOutputParser()
    *_, end = await collect(chain.astream_events("Really?", include_types=["parser"]))
    assert isinstance(end["data"]["input"], AIMessageChunk)


async def test_models_with_fallbacks_are_told_the_messages() -> None:
    model = ScriptedChatModel([ConnectionError("lost")]).with_fallbacks([ScriptedChatModel(["Yes"])])
    chain = ChatPromptTemplate.from_template("{question}") | model
    events = chain.astream_events({"question": "Really?"}, include_names=["RunnableWithFallbacks"])
    assert (await anext(events))["data"]["input"] == [HumanMessage("Really?")]
    await events.aclose()


def refuse(current: int, update: int) -> int:
    raise ArithmeticError("no more")


class Strict(TypedDict):
    n: Annotated[int, refuse]


async def test_an_update_is_shown_before_a_reducer_fails_at_it() -> None:
    async def add(state: Strict) -> Strict:
        return {"n": 1}

    graph = StateGraph(Strict).add_node(add).add_edge(START, "add").compile()
    seen = []
    with pytest.raises(ArithmeticError, match="no more"):
        async for event in graph.astream_events({}):
            seen.append((event["event"], event["name"]))
    assert seen[-2:] == [("on_chain_stream", "LangGraph"), ("on_chain_error", "LangGraph")]


async def test_bad_input_is_refused_before_the_first_event() -> None:
    with pytest.raises(EmptyInputError):
        graph_of(add_one).astream_events(None)


async def test_an_observer_hears_of_everything_and_cannot_harm_the_run(expected_noise: ExpectedNoise) -> None:
    expected_noise.log(r"penstock:ERROR:an observer failed in started\(\); the run goes on")

    class Log(Observer):
        def __init__(self) -> None:
            self.lines: list[str] = []

        def started(self, span: Span) -> None:
            self.lines.append(f"{span.kind} {span.name}")
            raise RuntimeError("a broken observer")

    async def ask(state: State) -> State:
        await ScriptedChatModel(["Yes"]).ainvoke("Really?")
        return {"n": 2}

    log = Log()
    assert (await graph_of(ask).ainvoke({"n": 1}, {"callbacks": [log], "run_name": "nightly"}))["n"] == 2
    assert log.lines == ["graph nightly", "attempt ask", "chat_model ScriptedChatModel"]


# --- the table itself -------------------------------------------------------------------------------------


def test_every_row_names_its_test() -> None:
    named = re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8"))
    tests = {name for name, value in vars(sys.modules[__name__]).items() if name.startswith("test_")}
    assert set(named) == tests - {"test_every_row_names_its_test"}
