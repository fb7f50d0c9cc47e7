"""Which context variables nodes see: case 39."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar, copy_context
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from penstock.config import get_config, get_stream_writer
from penstock.graph import END, START, StateGraph
from penstock.runtime import Runtime, get_runtime
from penstock.types import RetryPolicy
from tests.support import Recorder, checkpoints, collect

from ._failing import State, in_a_row, side_by_side

var: ContextVar[str] = ContextVar("var", default="unset")

ON_ASYNCIO = ("asyncio", "asyncio+eager", "asyncio+uvloop")


async def start(graph: Any, how: str) -> None:
    """Run a graph to its end, in one of the ways there are."""
    if how == "ainvoke":
        await graph.ainvoke({"n": 1})
    elif how == "strict":
        async with graph.astream({"n": 1}, subgraphs=True) as run:
            await collect(run)
    elif how == "sync":
        context = copy_context()
        await anyio.to_thread.run_sync(context.run, list, graph.stream({"n": 1}))
    else:
        await collect(graph.astream({"n": 1}))


HOWS = pytest.mark.parametrize("how", ["bare", "strict", "ainvoke", "sync"])


async def test_c39_nodes_that_do_not_wait_keep_their_variables_to_themselves() -> None:
    """They may share a task, and must not notice."""
    seen: list[Any] = []

    async def note(state: State) -> None:  # noqa: ASYNC124 - that it awaits nothing is the point
        seen.append(var.get())
        var.set("a node's")

    builder: Any = StateGraph(State)
    for name in "abc":
        builder.add_node(name, note).add_edge(START, name)
    await builder.compile().ainvoke({"n": 1})
    assert seen == ["unset", "unset", "unset"]


@HOWS
@pytest.mark.parametrize("shape", [in_a_row, side_by_side])
async def test_c39_from_caller_to_node_to_child_task_to_thread_and_never_back(how: str, shape: Any) -> None:
    seen: list[Any] = []

    def note(who: str) -> None:
        seen.append((who, var.get()))

    async def child(who: str) -> None:
        note(who)
        var.set("child")

    async def a(state: State) -> None:
        note("a")
        var.set("a")
        await checkpoints(2)
        note("a later")
        async with anyio.create_task_group() as group:
            group.start_soon(child, "child")
        await anyio.to_thread.run_sync(note, "thread")
        await anyio.to_thread.run_sync(lambda: anyio.from_thread.run_sync(note, "from thread"))
        note("a at last")

    def b(state: State) -> None:
        note("b")
        var.set("b")
        anyio.from_thread.run(child, "b's child")
        note("b at last")

    async def c(state: State) -> Any:
        note("c")
        var.set("c")
        yield {"n": 1}
        note("c later")

    def d(state: State) -> Any:
        note("d")
        var.set("d")
        yield {"n": 2} if shape is in_a_row else {}
        note("d later")

    var.set("caller")
    await start(shape(a, b, c, d), how)
    assert var.get() == "caller"
    assert dict(seen) == {
        "a": "caller",
        "a later": "a",
        "child": "a",
        "thread": "a",
        "from thread": "a",
        "a at last": "a",
        "b": "caller",
        "b's child": "b",
        "b at last": "b",
        "c": "caller",
        "c later": "c",
        "d": "caller",
        "d later": "d",
    }


@pytest.mark.backends(*ON_ASYNCIO)
@HOWS
async def test_c39_every_way_to_start_code_on_asyncio(how: str) -> None:
    seen: dict[str, str] = {}

    async def note(who: str) -> None:
        await checkpoints(1)
        seen[who] = var.get()

    def note_now(who: str) -> None:
        seen[who] = var.get()

    async def node(state: State) -> None:
        var.set("node")
        loop = asyncio.get_running_loop()
        await asyncio.create_task(note("create_task"))
        await asyncio.gather(note("gather 1"), note("gather 2"))
        await asyncio.ensure_future(note("ensure_future"))
        await asyncio.wait_for(note("wait_for"), 10)
        await asyncio.shield(note("shield"))
        await asyncio.to_thread(note_now, "to_thread")
        done = loop.create_future()
        loop.call_soon(lambda: (note_now("call_soon"), done.set_result(None)))
        await done

    await start(side_by_side(node), how)
    assert set(seen) == {
        *("create_task", "gather 1", "gather 2", "ensure_future", "wait_for", "shield", "to_thread", "call_soon")
    }
    assert set(seen.values()) == {"node"}


@HOWS
async def test_c39_changes_are_invisible_to_siblings_routers_and_other_attempts(how: str) -> None:
    seen = Recorder()

    def flaky(name: str) -> Any:
        async def node(state: State, runtime: Runtime[Any]) -> None:
            number = runtime.execution_info.node_attempt
            seen((name, number, var.get()))
            var.set(f"{name} {number}")
            await checkpoints(3)
            assert var.get() == f"{name} {number}"
            if number < 3:
                raise ConnectionError

        return node

    def route(state: State) -> Any:
        seen(("router", var.get()))
        return END

    builder = StateGraph(State)
    policy = RetryPolicy(initial_interval=0.001, jitter=False)
    for name in "ab":
        builder.add_node(name, flaky(name), retry_policy=policy).add_edge(START, name)
    builder.add_conditional_edges("a", route)
    var.set("caller")
    await start(builder.compile(), how)
    attempts = {mark for mark in seen if mark[0] != "router"}  # type: ignore[index]
    assert attempts == {(name, number, "caller") for name in "ab" for number in (1, 2, 3)}
    # a router belongs to its node
    assert ("router", "a 3") in seen


@HOWS
async def test_c39_a_subgraph_sees_what_its_node_has_set(how: str) -> None:
    seen: list[str] = []

    async def leaf(state: State) -> None:
        seen.append(var.get())
        var.set("leaf")

    inner = in_a_row(leaf, ("leaf 2", leaf))

    async def calls(state: State) -> None:
        var.set("calls")
        await inner.ainvoke(state)
        await collect(inner.astream(state))
        seen.append(var.get())

    def sync_calls(state: State) -> None:
        var.set("sync calls")
        inner.invoke(state)
        list(inner.stream(state))
        seen.append(var.get())

    var.set("caller")
    await start(in_a_row(calls, ("inner", inner), sync_calls), how)
    assert seen == ["calls"] * 5 + ["caller"] * 2 + ["sync calls"] * 5


@pytest.mark.parametrize("strict", [False, True], ids=["bare", "strict"])
async def test_c39_the_context_is_captured_once_at_the_start(strict: bool) -> None:
    seen: list[str] = []

    async def node(state: State) -> None:
        seen.append(var.get())

    def thread(state: State) -> None:
        seen.append(var.get())

    graph = in_a_row(node, thread, ("again", node))
    var.set("at the call")
    stream = graph.astream({"n": 1})
    var.set("before the first chunk")
    if strict:
        async with stream as run:
            async for _ in run:
                var.set("later")
    else:
        async for _ in stream:
            var.set("later")
    assert seen == ["at the call"] * 3
    assert var.get() == "later"


def tell(where: str) -> None:
    """What a tool does that knows nothing of its node."""
    node = get_config()["metadata"]["langgraph_node"]
    assert get_runtime().execution_info.node == node
    get_stream_writer()((where, node, var.get()))


async def atell(where: str) -> None:
    await checkpoints(1)
    tell(where)


async def test_c39_writer_config_and_runtime_are_found_at_any_depth(anyio_backend_name: str) -> None:
    async def node(state: State) -> None:
        tell("node")

        async def grandchild() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(atell, "grandchild")

        async with anyio.create_task_group() as group:
            group.start_soon(atell, "child")
            group.start_soon(grandchild)
        await anyio.to_thread.run_sync(tell, "thread")
        await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(atell, "from thread"))
        if anyio_backend_name == "asyncio":
            await asyncio.create_task(atell("task"))
            await asyncio.to_thread(tell, "asyncio's thread")
        context = copy_context()
        thread = threading.Thread(target=context.run, args=(tell, "own thread"))
        thread.start()
        await anyio.to_thread.run_sync(thread.join)

    def sync_node(state: State) -> None:
        tell("sync node")
        anyio.from_thread.run(atell, "sync node's child")

    inner = in_a_row(node, sync_node)
    graph = in_a_row(node, sync_node, ("inner", inner))
    var.set("caller")
    chunks = [chunk for _, chunk in await collect(graph.astream({"n": 1}, stream_mode="custom", subgraphs=True))]
    assert {chunk[2] for chunk in chunks} == {"caller"}
    both = ["child", "from thread", "grandchild", "node", "own thread", "thread"]
    if anyio_backend_name == "asyncio":
        both += ["task", "asyncio's thread"]
    expected = sorted(
        [*((where, "node") for where in both), ("sync node", "sync_node"), ("sync node's child", "sync_node")]
    )
    assert sorted(chunk[:2] for chunk in chunks) == sorted(expected * 2)


async def test_c39_parallel_nodes_have_writers_of_their_own() -> None:
    def writing(name: str) -> Any:
        async def node(state: State) -> None:
            for _ in range(5):
                get_stream_writer()((name, get_config()["metadata"]["langgraph_node"]))
                await checkpoints(1)

        return name, node

    chunks = await collect(side_by_side(*map(writing, "abc")).astream({"n": 1}, stream_mode="custom"))
    assert sorted(chunks) == [(name, name) for name in "abc" for _ in range(5)]


async def test_c39_two_runs_in_one_task_share_nothing() -> None:
    async def node(state: State) -> Any:
        before = var.get()
        var.set(str(state["n"]))
        await checkpoints(3)
        return {"log": [before, var.get()]}

    graph = in_a_row(node, ("again", node))
    async with (
        graph.astream({"n": 1}, stream_mode="values") as one,
        graph.astream({"n": 2}, stream_mode="values") as two,
    ):
        chunks = [(await one.__anext__(), await two.__anext__()) for _ in range(3)]
    for index, state in enumerate(chunks[-1], 1):
        assert state["log"] == ["unset", str(index)] * 2
