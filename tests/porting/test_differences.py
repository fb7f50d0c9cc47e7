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
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

import anyio
import anyio.lowlevel
import pytest

from penstock.config import get_config, get_stream_writer
from penstock.errors import GraphBuildError, NodeTimeoutError, UnknownTargetError
from penstock.graph import END, START, CompiledStateGraph, MessagesState, StateGraph
from penstock.messages import AIMessage
from penstock.models import stream_tokens
from penstock.prebuilt import ToolNode
from penstock.runtime import RunStream, SyncRunStream
from penstock.testing import ScriptedChatModel
from penstock.tools import as_tool
from penstock.types import Command, Only, RetryPolicy, Send, StreamPart
from tests.support import Recorder, checkpoints, collect

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


# --- the table itself -------------------------------------------------------------------------------------


def test_every_row_names_its_test() -> None:
    named = re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8"))
    tests = {name for name, value in vars(sys.modules[__name__]).items() if name.startswith("test_")}
    assert set(named) == tests - {"test_every_row_names_its_test"}
