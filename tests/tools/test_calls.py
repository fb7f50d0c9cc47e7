"""Calling tools: results, messages, threads, and what the run fills in."""

from __future__ import annotations

import contextvars
import threading
from typing import Annotated, Any, Optional

import anyio
import pytest
from typing_extensions import TypedDict

from penstock.config import DEFAULT_RECURSION_LIMIT, RunnableConfig, get_stream_writer
from penstock.errors import OutsideRunError, ToolArgumentsError, ToolCallError
from penstock.graph import START, StateGraph
from penstock.messages import ToolMessage
from penstock.runtime import Runtime
from penstock.tools import (
    InjectedState,
    InjectedStore,
    InjectedToolArg,
    InjectedToolCallId,
    ToolRuntime,
    as_tool,
    tool,
)
from penstock.types import Command, StreamWriter


def call(name: str, **args: Any) -> dict[str, Any]:
    return {"type": "tool_call", "name": name, "args": args, "id": "c1"}


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@tool
async def multiply(a: int, b: int) -> int:
    """Multiply."""
    await anyio.lowlevel.checkpoint()
    return a * b


class State(TypedDict, total=False):
    text: str
    result: Any


def graph_of(function: Any) -> Any:
    """A graph of one node."""
    builder = StateGraph(State, context_schema=str).add_node("node", function)
    return builder.add_edge(START, "node").compile()


# ------------------------------------------------------------------------------------------- results


async def test_plain_and_async_functions_either_way() -> None:
    assert await add.ainvoke({"a": 1, "b": 2}) == 3
    assert await multiply.ainvoke({"a": 2, "b": 3}) == 6
    assert add.invoke({"a": 1, "b": 2}) == 3
    assert multiply.invoke({"a": 2, "b": 3}) == 6  # inside a running loop


def test_from_a_plain_thread() -> None:
    assert multiply.invoke({"a": 2, "b": 3}) == 6
    with pytest.raises(ToolArgumentsError):
        multiply.invoke({})


async def test_a_plain_function_around_an_async_one() -> None:
    wrapped = tool(name="wrapped", description="Multiply.")(lambda a, b: multiply.func(a, b))
    assert await wrapped.ainvoke({"a": 2, "b": 3}) == 6
    assert wrapped.invoke({"a": 2, "b": 3}) == 6


@pytest.mark.parametrize(
    ("result", "content"),
    [
        ("text", "text"),
        (3, "3"),
        (None, "null"),
        ({"k": [1, "é"], "n": None}, '{"k": [1, "é"], "n": null}'),
        (["a", "b"], '["a", "b"]'),
        ([], "[]"),
        ([{"type": "text", "text": "hi"}], [{"type": "text", "text": "hi"}]),
        ([{"type": "unheard of"}], '[{"type": "unheard of"}]'),
        ({1, 2}, "{1, 2}"),
    ],
    ids=repr,
)
async def test_the_message_that_answers_a_call(result: Any, content: Any) -> None:
    @tool
    async def give() -> Any:
        """Give."""
        return result

    expected = ToolMessage(content, tool_call_id="c1", name="give")
    assert await give.ainvoke(call("give")) == expected
    assert give.invoke(call("give")) == expected
    assert give.invoke({}) == result
    assert give.invoke({"name": "give", "args": {}, "id": "c1"}) == expected


def test_content_and_artifact() -> None:
    @tool(response_format="content_and_artifact")
    def draw(size: int) -> Any:
        """Draw."""
        return ("a picture", b"x" * size) if size else "nothing"

    assert draw.invoke(call("draw", size=2)) == ToolMessage("a picture", tool_call_id="c1", name="draw", artifact=b"xx")
    assert draw.invoke({"size": 2}) == "a picture"
    with pytest.raises(ToolCallError, match="tuple of two; got 'nothing'"):
        draw.invoke({"size": 0})


def test_what_goes_to_the_graph_as_it_is() -> None:
    message = ToolMessage("mine", tool_call_id="other", status="error")
    for answer in (message, Command(update={}), [Command(update={}), message]):

        @tool
        def give(answer: Any = answer) -> Any:
            """Give."""
            return answer

        assert give.invoke(call("give")) is answer


def test_a_call_without_an_id() -> None:
    with pytest.raises(ToolCallError, match="has no id"):
        add.invoke({"type": "tool_call", "name": "add", "args": {"a": 1, "b": 2}, "id": None})


def test_an_argument_called_args_is_no_call() -> None:
    @tool
    def run(name: str, args: list[str], id: int) -> Any:
        """Run."""
        return name, args, id

    assert run.invoke({"name": "ls", "args": ["-l"], "id": 1}) == ("ls", ["-l"], 1)


def test_foreign_tools_pass_through() -> None:
    class Foreign:
        name = "foreign"
        description = "From elsewhere."
        args_schema = None

        def invoke(self, input: Any, config: Any = None) -> Any:
            return input

        async def ainvoke(self, input: Any, config: Any = None) -> Any:
            return input

    foreign = Foreign()
    assert as_tool(foreign) is foreign
    assert as_tool(add) is add


# ------------------------------------------------------------------------------------------- threads


async def test_a_plain_function_runs_in_a_thread_with_the_context() -> None:
    seen = contextvars.ContextVar("seen", default="nothing")
    seen.set("it")

    @tool
    def where() -> Any:
        """Say where."""
        return threading.get_ident(), seen.get()

    thread, value = await where.ainvoke({})
    assert thread != threading.get_ident()
    assert value == "it"
    assert where.invoke({})[0] == threading.get_ident()


async def test_a_cancelled_thread_is_waited_for() -> None:
    started, ended = threading.Event(), threading.Event()
    release = threading.Event()

    @tool
    def slow() -> None:
        """Take time."""
        started.set()
        release.wait(5)
        ended.set()

    async def cancel() -> None:
        while not started.is_set():
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
        release.set()

    async with anyio.create_task_group() as group:
        group.start_soon(cancel)
        await slow.ainvoke({})
    assert ended.is_set()


@pytest.mark.backends("asyncio", "asyncio+eager", "asyncio+uvloop")
async def test_a_thread_is_waited_for_when_its_task_is_cancelled_natively() -> None:
    import asyncio

    started, release, ended = threading.Event(), threading.Event(), threading.Event()

    @tool
    def slow() -> None:
        """Take time."""
        started.set()
        release.wait(5)
        ended.set()

    task = asyncio.ensure_future(slow.ainvoke({}))
    while not started.is_set():
        await asyncio.sleep(0)
    task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


@pytest.mark.virtual_time
async def test_an_async_tool_in_a_sync_node_is_cancelled_with_the_run() -> None:
    ended = []

    @tool
    async def sleepy() -> None:
        """Sleep."""
        try:
            started.set()
            await anyio.sleep_forever()
        finally:
            ended.append(1)

    def node(state: State) -> None:
        sleepy.invoke({})

    started = anyio.Event()

    async def cancel() -> None:
        await started.wait()
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(cancel)
        await graph_of(node).ainvoke({"text": ""})
    assert ended == [1]


async def test_stop_iteration() -> None:
    @tool
    def stop() -> None:
        """Stop."""
        raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        await stop.ainvoke({})


# ------------------------------------------------------------------------------------------- injection


@tool
async def curious(
    x: int,
    config: RunnableConfig,
    writer: StreamWriter,
    runtime: ToolRuntime,
    node: Runtime,
    state: Annotated[Any, InjectedState],
    text: Annotated[str, InjectedState("text")],
    call_id: Annotated[str, InjectedToolCallId],
    missing: Annotated[str, InjectedState("missing")] = "default",
    store: Annotated[Any, InjectedStore()] = "no store",
    user: Annotated[str, InjectedToolArg] = "nobody",
) -> Any:
    """Look at everything."""
    writer("written")
    runtime.stream_writer("again")
    await runtime.emit_output_delta("nobody looks")
    return {
        "metadata": config["metadata"]["langgraph_node"],
        "tags": config["tags"],
        "runtime": (runtime.context, runtime.config["tags"], runtime.tool_call_id, runtime.store, runtime.state is state),
        "node": node.execution_info.node,
        "rest": (x, text, call_id, missing, store, user),
    }  # fmt: skip


def test_injected_parameters_are_hidden() -> None:
    assert curious.args_schema == {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


async def test_injected_parameters_in_a_node() -> None:
    async def node(state: State) -> Any:
        message = await curious.ainvoke(call("curious", x=1, text="forged", user="forged", call_id="forged"))
        return {"result": message.content}

    graph = graph_of(node)
    chunks = [
        chunk
        async for chunk in graph.astream(
            {"text": "hello"}, {"tags": ["t"]}, context="ctx", stream_mode=["custom", "updates"]
        )
    ]
    assert chunks[:2] == [("custom", "written"), ("custom", "again")]
    assert chunks[2][1]["node"]["result"] == (
        '{"metadata": "node", "tags": ["t"], "runtime": ["ctx", ["t"], "c1", null, true], "node": "node", '
        '"rest": [1, "hello", "c1", "default", "no store", "nobody"]}'
    )


async def test_the_caller_may_give_them() -> None:
    @tool
    def who(user: Annotated[str, InjectedToolArg], state: Annotated[Any, InjectedState]) -> Any:
        """Say who."""
        return user, state

    given = {"user": "ada", "state": {"a": 1}}
    assert who.invoke({}, injected=given) == ("ada", {"a": 1})
    assert await who.ainvoke({"user": "forged"}, injected=given) == ("ada", {"a": 1})
    with pytest.raises(ToolCallError, match="no injected parameter 'usr'; did you mean 'user'"):
        who.invoke({}, injected={"usr": "ada"})
    with pytest.raises(ToolCallError, match=r"parameter 'user', which the model does not give; pass injected=\{'user'"):
        who.invoke({"user": "forged"}, injected={"state": {}})


@pytest.mark.parametrize(
    ("hint", "what"),
    [
        (StreamWriter, "the stream writer of a run"),
        (ToolRuntime, "the runtime of a run"),
        (ToolRuntime[int], "the runtime of a run"),
        (Optional[ToolRuntime], "the runtime of a run"),
        (Runtime, "the runtime of a run"),
        (Annotated[Any, InjectedState], "the state of a graph"),
        (Annotated[Any, InjectedStore()], "a store"),
    ],
    ids=repr,
)
def test_outside_of_a_run(hint: Any, what: str) -> None:
    def needs(thing):
        """Need it."""

    def can_do_without(thing=None):
        """Need it or not."""
        return thing

    needs.__annotations__["thing"] = can_do_without.__annotations__["thing"] = hint
    with pytest.raises(OutsideRunError, match=f"tool 'needs' needs {what} for its parameter 'thing'"):
        tool(needs).invoke({})
    assert tool(needs).args == tool(can_do_without).args == {}
    assert tool(can_do_without).invoke({}) is None


async def test_the_config_outside_of_a_run_is_that_of_the_call() -> None:
    @tool
    def labels(config: RunnableConfig) -> Any:
        """Tell the tags."""
        return config["tags"], config["recursion_limit"]

    assert labels.invoke({}) == ([], DEFAULT_RECURSION_LIMIT)
    assert await labels.ainvoke({}, {"tags": ["t"]}) == (["t"], DEFAULT_RECURSION_LIMIT)


def test_the_stream_writer_outside_of_a_run() -> None:
    @tool
    def write() -> None:
        """Write."""
        get_stream_writer()("x")

    with pytest.raises(OutsideRunError):
        write.invoke({})


def test_by_name_without_an_annotation() -> None:
    @tool
    def quiet(config, runtime, writer, x: int) -> None:
        """Do nothing."""

    assert list(quiet.args) == ["x"]

    @tool
    def loud(config: str, writer: int) -> Any:
        """Use the names for something else."""
        return config, writer

    assert loud.invoke({"config": "a", "writer": 1}) == ("a", 1)


def test_a_config_outside_of_a_run() -> None:
    @tool
    def tags(config: RunnableConfig) -> Any:
        """Give the tags."""
        return config["tags"]

    assert tags.invoke({}, {"tags": ["a"]}) == ["a"]


def test_what_the_run_does_not_have() -> None:
    @tool
    def missing_key(thing: Annotated[Any, InjectedState("txt")]) -> None:
        """Need it."""

    @tool
    def no_store(thing: Annotated[Any, InjectedStore()]) -> None:
        """Need it."""

    @tool
    def no_id(thing: Annotated[str, InjectedToolCallId]) -> None:
        """Need it."""

    for each, message in [
        (missing_key, "key 'txt' of the state .* did you mean 'text'"),
        (no_store, "but the graph has none"),
        (no_id, "invoke it with the tool call"),
    ]:
        graph = graph_of(lambda state, each=each: each.invoke({}))
        with pytest.raises(ToolCallError, match=message):
            graph.invoke({"text": "a"})


def test_the_config_of_a_call_is_merged() -> None:
    @tool
    def look(config: RunnableConfig) -> Any:
        """Look."""
        return config["tags"], config["metadata"]["langgraph_node"], config["metadata"]["mine"]

    graph = graph_of(lambda state: {"result": look.invoke({}, {"tags": ["b"], "metadata": {"mine": 1}})})
    assert graph.invoke({}, {"tags": ["a"]})["result"] == (["a", "b"], "node", 1)


def test_a_runtime_made_for_a_test() -> None:
    runtime = ToolRuntime(state={"a": 1}, tool_call_id="c1")
    runtime.stream_writer("goes nowhere")
    runtime.emit_output_delta("goes nowhere")
    assert runtime.config == {}
    assert repr(runtime) == "ToolRuntime(tool_call_id='c1', state={'a': 1}, context=None)"


# ------------------------------------------------------------------------------------------- tools mode


@tool(tags=["slow"])
async def progress(x: int, runtime: ToolRuntime) -> str:
    """Report progress."""
    await runtime.emit_output_delta("half")
    runtime.emit_output_delta("whole")
    if x < 0:
        raise KeyError("negative")
    return f"did {x}"


@tool
def plain_progress(x: int, runtime: ToolRuntime) -> str:
    """Report progress."""
    runtime.emit_output_delta("half")
    return f"did {x}"


async def test_events() -> None:
    async def node(state: State) -> Any:
        await progress.ainvoke(call("progress", x="1"))
        return {"text": "done"}

    graph = graph_of(node)
    chunks = [chunk async for chunk in graph.astream({"text": ""}, stream_mode="tools")]
    assert chunks == [
        {"event": "tool-started", "tool_call_id": "c1", "tool_name": "progress", "input": {"x": "1"}},
        {"event": "tool-output-delta", "tool_call_id": "c1", "delta": "half"},
        {"event": "tool-output-delta", "tool_call_id": "c1", "delta": "whole"},
        {
            "event": "tool-finished",
            "tool_call_id": "c1",
            "output": ToolMessage("did 1", tool_call_id="c1", name="progress"),
        },
    ]


@pytest.mark.parametrize("each", [progress, plain_progress], ids=["async", "plain"])
@pytest.mark.parametrize("kind", ["async node", "sync node", "async node, sync call"])
def test_events_however_it_is_called(each: Any, kind: str) -> None:
    async def asynchronous(state: State) -> Any:
        return {"result": await each.ainvoke({"x": 1})}

    def synchronous(state: State) -> Any:
        return {"result": each.invoke({"x": 1})}

    async def mixed(state: State) -> Any:
        return {"result": each.invoke({"x": 1})}

    node = {"async node": asynchronous, "sync node": synchronous, "async node, sync call": mixed}[kind]
    chunks = list(graph_of(node).stream({"text": ""}, stream_mode=["tools", "updates"]))
    events = [chunk for mode, chunk in chunks if mode == "tools"]
    assert [event["event"] for event in events][:2] == ["tool-started", "tool-output-delta"]
    assert events[-1]["event"] == "tool-finished"
    assert events[-1]["output"] == "did 1"
    assert len({event["tool_call_id"] for event in events}) == 1
    assert chunks[-1] == ("updates", {"node": {"result": "did 1"}})


def test_error_events() -> None:
    events: list[Any] = []

    async def wrong_arguments(state: State) -> Any:
        await progress.ainvoke(call("progress", x="many"))

    async def raises(state: State) -> Any:
        await progress.ainvoke(call("progress", x=-1))

    def raises_in_thread(state: State) -> Any:
        add.invoke(call("add", a=1))

    for node, error in [
        (wrong_arguments, ToolArgumentsError),
        (raises, KeyError),
        (raises_in_thread, ToolArgumentsError),
    ]:
        with pytest.raises(error) as caught:
            events.extend(graph_of(node).stream({}, stream_mode="tools"))
        run = graph_of(node).stream({}, stream_mode="tools")
        shown = []
        with pytest.raises(error):
            for chunk in run:
                shown.append(chunk)
        assert shown[0]["event"] == "tool-started"
        assert shown[-1] == {"event": "tool-error", "tool_call_id": "c1", "message": str(caught.value)}


def test_nostream_and_only() -> None:
    silent = tool(tags=["nostream"])(progress.func)

    async def node(state: State) -> Any:
        await silent.ainvoke({"x": 1})
        await progress.ainvoke({"x": 2})
        await plain_progress.ainvoke({"x": 3})

    def inputs(**options: Any) -> list[Any]:
        chunks = graph_of(node).stream({}, stream_mode="tools", **options)
        return [chunk["input"]["x"] for chunk in chunks if chunk["event"] == "tool-started"]

    assert inputs() == [2, 3]
    assert inputs(only={"tags": ["slow"]}) == [2]


async def test_a_slow_reader_holds_deltas_back() -> None:
    written = 0

    @tool
    async def chatty(runtime: ToolRuntime) -> None:
        """Write a lot."""
        nonlocal written
        for n in range(1000):
            await runtime.emit_output_delta(n)
            written += 1

    async def node(state: State) -> Any:
        await chatty.ainvoke({})

    async with graph_of(node).astream({}, stream_mode="tools", high_water_mark=8) as run:
        async for _ in run:
            for _ in range(50):
                await anyio.lowlevel.checkpoint()
            break
        assert written < 40


async def test_a_slow_reader_holds_a_thread_back() -> None:
    written = 0

    @tool
    def chatty(runtime: ToolRuntime) -> None:
        """Write a lot."""
        nonlocal written
        for n in range(1000):
            runtime.emit_output_delta(n)
            written += 1

    async def node(state: State) -> Any:
        await chatty.ainvoke({})

    async with graph_of(node).astream({}, stream_mode="tools", high_water_mark=8) as run:
        async for _ in run:
            for _ in range(50):
                await anyio.lowlevel.checkpoint()
            break
        assert written < 40
