"""The sync API, wherever it is called: cases 40 and 42, and 41 as seen from a plain thread."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from penstock.config import get_stream_writer
from penstock.errors import RunCancelledError, StreamBusyError
from tests.support import Recorder, checkpoints, collect, run_on

from ._failing import State, in_a_row, notes, side_by_side


def counting(seen: Recorder, *, cleanup: float = 0.0, name: str = "counting") -> Any:
    """A graph of one async node that writes numbers for ever."""

    async def node(state: State, writer: Any) -> None:
        with seen.span(name):
            try:
                i = 0
                while True:
                    await writer(i)
                    await checkpoints(1)
                    i += 1
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(cleanup)

    return side_by_side((name, node))


CANCELLED = ["counting started", "counting ended: cancelled"]


async def add(state: State, writer: Any) -> Any:
    for i in range(3):
        await writer(i)
        await checkpoints(1)
    return {"n": state["n"] + 1}


def sync_add(state: State, writer: Any) -> Any:
    for i in range(3):
        writer(i)
    return {"n": state["n"] + 1}


NODES = pytest.mark.parametrize("node", [add, sync_add], ids=["async node", "sync node"])
BOTH = ["custom", "updates"]


def expected(name: str, n: int) -> list[Any]:
    return [("custom", 0), ("custom", 1), ("custom", 2), ("updates", {name: {"n": n}})]


# ---------------------------------------------------------------- from a plain thread


@NODES
def test_c40_in_a_plain_thread(node: Any) -> None:
    graph = side_by_side(("node", node))
    assert list(graph.stream({"n": 1}, stream_mode=BOTH)) == expected("node", 2)
    assert graph.invoke({"n": 1})["n"] == 2
    with graph.stream({"n": 1}, stream_mode=BOTH) as stream:
        assert list(stream) == expected("node", 2)
    assert list(stream) == []


@NODES
def test_c40_inside_a_running_loop(backend_id: str, node: Any) -> None:
    """As in a notebook: the loop of the caller stands still meanwhile."""

    async def main() -> None:
        graph = side_by_side(("node", node))
        assert list(graph.stream({"n": 1}, stream_mode=BOTH)) == expected("node", 2)
        assert graph.invoke({"n": 1})["n"] == 2
        for _ in graph.stream({"n": 1}, stream_mode="custom"):
            break
        assert await collect(graph.astream({"n": 1}, stream_mode=BOTH)) == expected("node", 2)

    run_on(backend_id, main)


@pytest.mark.parametrize("outer", ["asyncio", "trio"])
def test_c40_nodes_do_not_inherit_the_callers_library(outer: str) -> None:
    async def node(state: State) -> Any:
        await anyio.sleep(0)
        await anyio.to_thread.run_sync(lambda: None)
        return {"n": 2}

    def sync_node(state: State) -> Any:
        anyio.from_thread.run(anyio.sleep, 0)

    async def main() -> Any:
        def in_thread() -> Any:
            return in_a_row(node, sync_node).invoke({"n": 1})

        assert in_thread()["n"] == 2
        return await anyio.to_thread.run_sync(in_thread)

    assert anyio.run(main, backend=outer)["n"] == 2


def test_c40_from_several_threads_at_once() -> None:
    async def node(state: State, writer: Any) -> Any:
        for i in range(50):
            await writer((state["n"], i))
        return {"n": state["n"] * 2}

    def sync_node(state: State, writer: Any) -> Any:
        for i in range(50):
            writer((state["n"], i))
        return {"n": state["n"] * 2}

    graph = in_a_row(node, sync_node)

    def call(n: int) -> Any:
        chunks = list(graph.stream({"n": n}, stream_mode="custom", high_water_mark=4))
        return chunks, graph.invoke({"n": n})["n"]

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(call, range(16)))
    for n, (chunks, result) in enumerate(results):
        assert chunks == [(m, i) for m in (n, 2 * n) for i in range(50)]
        assert result == 4 * n


def test_c40_two_runs_share_no_state() -> None:
    graph = in_a_row(add, ("again", add))
    one, two = graph.stream({"n": 1}), graph.stream({"n": 10})
    assert [next(one), next(two), next(one), next(two)] == [
        {"add": {"n": 2}},
        {"add": {"n": 11}},
        {"again": {"n": 3}},
        {"again": {"n": 12}},
    ]
    assert list(one) == list(two) == []


def test_c40_break_waits_for_cleanup() -> None:
    seen = Recorder()
    for chunk in counting(seen, cleanup=0.02).stream({"n": 1}, stream_mode="custom"):
        if chunk == 3:
            break
    assert seen == CANCELLED


def test_c40_with_and_close_wait_for_cleanup() -> None:
    seen = Recorder()
    with counting(seen, cleanup=0.02).stream({"n": 1}, stream_mode="custom") as stream:
        assert next(stream) == 0
    assert seen == CANCELLED
    assert list(stream) == []
    stream = counting(seen, cleanup=0.02).stream({"n": 1}, stream_mode="custom")
    assert next(stream) == 0
    stream.close()
    assert seen == CANCELLED * 2
    stream.close()
    assert list(stream) == []
    unread = counting(seen).stream({"n": 1})
    unread.close()
    assert list(unread) == [] and seen == CANCELLED * 2


def test_c40_never_iterated() -> None:
    counting(Recorder()).stream({"n": 1})
    with counting(seen := Recorder()).stream({"n": 1}):
        pass
    assert seen == []


def test_c40_an_exception_in_the_body() -> None:
    seen = Recorder()

    def consume() -> None:
        for _ in counting(seen, cleanup=0.02).stream({"n": 1}, stream_mode="custom"):
            raise KeyError("body")

    try:
        consume()
    except KeyError as error:
        assert error.__context__ is None
    # the traceback that held the stream is gone, and so is the run
    assert seen == CANCELLED
    with pytest.raises(KeyError, match="body"):
        with counting(seen).stream({"n": 1}, stream_mode="custom") as stream:
            for _ in stream:
                raise KeyError("body")
    assert seen == CANCELLED * 2


def test_c40_the_error_itself() -> None:
    boom = ValueError("boom")

    async def bad(state: State, writer: Any) -> None:
        writer("before")
        raise boom

    chunks = []
    with pytest.raises(ValueError) as caught:
        for chunk in side_by_side(bad).stream({"n": 1}, stream_mode="custom"):
            chunks.append(chunk)
    assert caught.value is boom and chunks == ["before"]
    assert boom.__context__ is None
    assert "Node 'bad' in the root graph, superstep 1, attempt 1" in notes(boom)
    with pytest.raises(ValueError) as caught:
        side_by_side(bad).invoke({"n": 1})
    assert caught.value is boom


def test_c40_the_next_superstep_waits_for_the_reader() -> None:
    seen = Recorder()

    async def a(state: State) -> None:
        seen("a")

    async def b(state: State) -> None:
        seen("b")

    for _ in in_a_row(a, b).stream({"n": 1}):
        time.sleep(0.02)
        break
    assert seen == ["a"]


def test_c40_a_slow_reader_holds_async_and_sync_nodes_back() -> None:
    written: list[int] = []

    async def node(state: State, writer: Any) -> None:
        for i in range(200):
            written.append(i)
            writer(i)
            await checkpoints(1)

    def sync_node(state: State, writer: Any) -> None:
        for i in range(200):
            written.append(i)
            writer(i)

    for function in (node, sync_node):
        written.clear()
        ahead = []
        for chunk in side_by_side(function).stream({"n": 1}, stream_mode="custom", high_water_mark=4):
            if chunk % 50 == 0:
                time.sleep(0.01)
            ahead.append(len(written) - chunk)
        assert len(ahead) == 200
        # the reader's batch, the stream and the port
        assert max(ahead) <= 4 * 4 + 4 + 2


def test_c39_the_callers_variables_reach_the_nodes_and_never_come_back() -> None:
    var: ContextVar[int] = ContextVar("var", default=0)
    seen: list[int] = []

    async def a(state: State) -> None:
        seen.append(var.get())
        var.set(99)

    def b(state: State) -> None:
        seen.append(var.get())
        var.set(99)

    def main() -> None:
        var.set(7)
        list(in_a_row(a, b).stream({"n": 1}))
        in_a_row(a, b).invoke({"n": 1})
        assert var.get() == 7

    copy_context().run(main)
    assert seen == [7] * 4


# ---------------------------------------------------------------- dropped by whoever


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_c40_dropped_in_another_thread_it_is_ended_without_waiting() -> None:
    seen = Recorder()
    stream = counting(seen, cleanup=0.05).stream({"n": 1}, stream_mode="custom")
    assert next(stream) == 0
    box = [stream]
    del stream
    thread = threading.Thread(target=box.clear)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    wait_for(lambda: seen == CANCELLED)


def test_c40_dropped_on_a_loops_thread_it_does_not_wait_there(backend_id: str) -> None:
    seen = Recorder()

    async def main() -> None:
        stream = counting(seen, cleanup=0.05).stream({"n": 1}, stream_mode="custom")
        assert next(stream) == 0
        del stream
        gc.collect()
        wait_for(lambda: seen == CANCELLED)

    run_on(backend_id, main)


def test_c40_dropped_by_the_thread_that_runs_it() -> None:
    seen = Recorder()
    box: list[Any] = []

    async def drops(state: State) -> None:
        assert len(box) == 1
        box.clear()

    box.append(counting(seen, cleanup=0.05).stream({"n": 1}, stream_mode="custom"))
    assert next(box[0]) == 0
    side_by_side(drops).invoke({"n": 1})
    wait_for(lambda: seen == CANCELLED)


def test_c40_collected_in_a_cycle_when_its_run_has_ended(backend_id: str) -> None:
    async def node(state: State, writer: Any) -> None:
        for i in range(3):
            writer(i)

    graph = side_by_side(node)

    def forget(stream: Any) -> None:
        cycle: list[Any] = [stream]
        cycle.append(cycle)

    async def main() -> None:
        for _ in range(20):
            stream = graph.astream({"n": 1}, stream_mode="custom")
            assert await stream.__anext__() == 0
            await checkpoints(5)
            forget(stream)
            del stream
            gc.collect()

    run_on(backend_id, main)
    for _ in range(20):
        stream = graph.stream({"n": 1}, stream_mode="custom")
        assert next(stream) == 0
        forget(stream)
        del stream
        gc.collect()


def test_c40_an_error_nobody_can_fetch_any_more_is_logged(expected_noise: Any) -> None:
    expected_noise.log("penstock:ERROR:.*boom")
    failed = threading.Event()

    async def bad(state: State, writer: Any) -> None:
        await writer("x")
        failed.set()
        raise ValueError("boom")

    stream = side_by_side(bad).stream({"n": 1}, stream_mode="custom")
    assert next(stream) == "x"
    assert failed.wait(10)
    box = [stream]
    del stream
    thread = threading.Thread(target=box.clear)
    thread.start()
    thread.join()
    side_by_side(("flush", lambda state: None)).invoke({"n": 1})


# ---------------------------------------------------------------- Ctrl-C


SCRIPT = """
import os, signal, sys, threading, time
import anyio
from typing import Any, TypedDict
from penstock.graph import START, StateGraph

class State(TypedDict, total=False):
    n: int

async def node(state: State, writer: Any) -> None:
    print("started", flush=True)
    try:
        i = 0
        while True:
            await writer(i)
            await anyio.sleep(0.001 if i < 3 else 60)
            i += 1
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.01)
        print("finally", flush=True)

def thread_node(state: State, writer: Any) -> None:
    print("started", flush=True)
    try:
        while True:
            writer("x")
    finally:
        print("finally", flush=True)

def graph_of(function):
    return StateGraph(State).add_node("node", function).add_edge(START, "node").compile()

graph = graph_of(node)

def ctrl_c(after=0.2):
    threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)).start()
"""


def script(body: str, *, code: int = 0) -> list[str]:
    """Run a program of its own; gives the lines it printed."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT + textwrap.dedent(body)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert (done.returncode, done.stderr) == (code, ""), done.stdout + done.stderr
    return done.stdout.split("\n")[:-1]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_c40_ctrl_c_while_waiting_ends_the_run_first() -> None:
    lines = script(
        """
        for call in (
            lambda: graph.invoke({}),
            lambda: list(graph.stream({}, stream_mode="custom")),
            lambda: [list(run) for run in [graph.stream({}, stream_mode="custom").__enter__()]],
        ):
            ctrl_c()
            try:
                call()
            except KeyboardInterrupt:
                print("interrupted", flush=True)
        """
    )
    assert lines == ["started", "finally", "interrupted"] * 3


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_c40_ctrl_c_in_the_body_and_in_a_sync_call_on_a_running_loop() -> None:
    lines = script(
        """
        try:
            for _ in graph.stream({}, stream_mode="custom"):
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
        print("interrupted", flush=True)
        async def main():
            ctrl_c()
            ctrl_c(0.4)  # asyncio's runner makes of the first one a cancellation, which the frozen loop cannot see
            graph.invoke({})
        try:
            anyio.run(main)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        async def main():
            ctrl_c()
            graph.invoke({})
        try:
            anyio.run(main, backend="trio")
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """
    )
    assert lines == ["started", "finally", "interrupted"] * 3


def test_c40_ctrl_c_raised_by_a_node_reaches_the_caller() -> None:
    async def node(state: State) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side(node).invoke({"n": 1})
    with pytest.raises(KeyboardInterrupt):
        list(side_by_side(node).stream({"n": 1}))


# ---------------------------------------------------------------- inside nodes


def nested_calls(inner: Any) -> dict[str, Callable[[], Any]]:
    """The ways to run a graph in a plain function; each gives the chunks, or the result."""

    def left() -> Any:
        for chunk in inner.stream({"n": 1}, stream_mode="custom"):
            return [chunk]

    def closed() -> Any:
        with inner.stream({"n": 1}, stream_mode="custom") as stream:
            return [next(stream)]

    return {
        "invoke": lambda: [inner.invoke({"n": 1})["n"]],
        "stream": lambda: list(inner.stream({"n": 1}, stream_mode="custom")),
        "left": left,
        "closed": closed,
    }


RESULTS = {"invoke": [2], "stream": [0, 1, 2], "left": [0], "closed": [0]}


def outer_graph(call: Callable[[], Any], where: str) -> Any:
    """A graph whose node makes a sync call, somewhere."""

    async def on_the_loop(state: State) -> Any:
        return {"log": call()}

    def sync_node(state: State) -> Any:
        return {"log": call()}

    async def thread_of_an_async_node(state: State) -> Any:
        return {"log": await anyio.to_thread.run_sync(call)}

    async def executor(state: State) -> Any:
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda _: call(), range(8)))
        assert results == [results[0]] * 8
        return {"log": results[0]}

    async def executor_with_context(state: State) -> Any:
        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(copy_context().run, call) for _ in range(8)]
            results = [future.result() for future in futures]
        assert results == [results[0]] * 8
        return {"log": results[0]}

    return side_by_side(("node", locals()[where]))


PLACES = ["on_the_loop", "sync_node", "thread_of_an_async_node", "executor", "executor_with_context"]


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("how", list(RESULTS))
@NODES
def test_c40_a_sync_call_inside_a_node_of_the_sync_api(where: str, how: str, node: Any) -> None:
    graph = outer_graph(nested_calls(side_by_side(("node", node)))[how], where)
    assert graph.invoke({"n": 1})["log"] == RESULTS[how]
    assert list(graph.stream({"n": 1})) == [{"node": {"log": RESULTS[how]}}]


@pytest.mark.parametrize("where", PLACES)
@NODES
async def test_c40_a_sync_call_inside_a_node_of_the_async_api(where: str, node: Any) -> None:
    for how, call in nested_calls(side_by_side(("node", node))).items():
        graph = outer_graph(call, where)
        assert (await graph.ainvoke({"n": 1}))["log"] == RESULTS[how]
        with anyio.fail_after(60):
            chunks = await collect(graph.astream({"n": 1}, {"max_concurrency": 1}, high_water_mark=1))
        assert chunks == [{"node": {"log": RESULTS[how]}}]


@pytest.mark.backends("asyncio", "asyncio+eager", "asyncio+uvloop")
async def test_c40_a_sync_call_in_asyncios_own_threads() -> None:
    inner = side_by_side(add)

    async def node(state: State) -> Any:
        loop = asyncio.get_running_loop()
        one = await asyncio.to_thread(inner.invoke, {"n": 1})
        two = await loop.run_in_executor(None, inner.invoke, {"n": 2})
        return {"log": [one["n"], two["n"]]}

    assert (await side_by_side(node).ainvoke({"n": 1}))["log"] == [2, 3]


@pytest.mark.parametrize("place", ["on_the_loop", "sync_node", "thread_of_an_async_node", "executor_with_context"])
@pytest.mark.parametrize("outer", ["sync", "async"])
def test_c40_chunks_of_a_nested_sync_call_appear_in_the_outer_stream(place: str, outer: str, backend_id: str) -> None:
    inner = side_by_side(add)
    graph = outer_graph(lambda: inner.invoke({"n": 1}) and [], place)

    async def read() -> Any:
        return await collect(graph.astream({"n": 1}, stream_mode=BOTH, subgraphs=True, high_water_mark=2))

    if outer == "sync":
        chunks = list(graph.stream({"n": 1}, stream_mode=BOTH, subgraphs=True, high_water_mark=2))
    else:
        chunks = run_on(backend_id, read)
    calls = 8 if "executor" in place else 1
    inside = [(ns, chunk) for ns, *chunk in chunks if ns]
    namespaces = list(dict.fromkeys(ns for ns, _ in inside))
    assert all(ns[0].startswith("node:") for ns in namespaces)
    assert len(namespaces) == calls
    for namespace in namespaces:
        own = [tuple(chunk) for ns, chunk in inside if ns == namespace]
        assert own == expected("add", 2)
    assert chunks[-1] == ((), "updates", {"node": {"log": []}})


def test_c40_a_nested_stream_captures_the_chunks_it_reads() -> None:
    inner = side_by_side(add)

    def node(state: State) -> Any:
        return {"log": list(inner.stream({"n": 1}, stream_mode="custom"))}

    chunks = list(side_by_side(node).stream({"n": 1}, stream_mode=BOTH, subgraphs=True))
    assert [chunk for ns, *chunk in chunks if not ns] == [["updates", {"node": {"log": [0, 1, 2]}}]]
    assert [chunk for ns, *chunk in chunks if ns] == [["updates", {"add": {"n": 2}}]]


@pytest.mark.parametrize("depth", [45])
def test_c40_deep_nesting_does_not_run_out_of_threads(depth: int) -> None:
    def leaf(state: State) -> Any:
        return {"n": state["n"] + 1}

    graph = side_by_side(leaf)
    for _ in range(depth):

        def node(state: State, inner: Any = graph) -> Any:
            return {"n": inner.invoke({"n": state["n"]})["n"] + 1}

        graph = side_by_side(("node", node))
    assert graph.invoke({"n": 0})["n"] == depth + 1
    assert graph.invoke({"n": 0}, {"max_concurrency": 1})["n"] == depth + 1


@pytest.mark.parametrize("depth", [6])
def test_c40_deep_nesting_on_loops_gets_a_loop_each_and_gives_it_back(depth: int) -> None:
    graph = side_by_side(add)
    for _ in range(depth):

        async def node(state: State, inner: Any = graph) -> Any:
            *_, last = inner.stream({"n": state["n"]}, stream_mode="values")
            return {"n": last["n"] + 1}

        graph = side_by_side(("node", node))
    assert graph.invoke({"n": 0})["n"] == depth + 1


def test_c40_threads_of_a_frozen_node_may_write_more_than_the_mark(backend_id: str) -> None:
    async def node(state: State, writer: Any) -> None:
        def job(k: int) -> None:
            for i in range(100):
                writer((k, i))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(job, range(4)))
        writer("end")

    async def leaf_writes_to_outer(state: State, writer: Any) -> None:
        outer = get_stream_writer()

        def leaf(state: State) -> None:
            for i in range(100):
                outer(i)

        side_by_side(leaf).invoke({"n": 1})
        outer("end")

    async def main() -> None:
        for function, count in ((node, 401), (leaf_writes_to_outer, 101)):
            with anyio.fail_after(60):
                chunks = await collect(
                    side_by_side(function).astream({"n": 1}, stream_mode="custom", high_water_mark=4)
                )
            assert len(chunks) == count and chunks[-1] == "end"

    run_on(backend_id, main)
    assert list(side_by_side(node).stream({"n": 1}, stream_mode="custom", high_water_mark=4))[-1] == "end"


@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize("place", ["sync_node", "thread_of_an_async_node", "asyncio_thread"])
async def test_c40_a_nested_sync_call_ends_with_its_node(how: str, place: str, anyio_backend_name: str) -> None:
    if place == "asyncio_thread" and anyio_backend_name != "asyncio":
        pytest.skip("a thread that only asyncio starts")
    seen = Recorder()
    inner = counting(seen)

    def call() -> Any:
        try:
            if how == "invoke":
                inner.invoke({"n": 1})
            else:
                list(inner.stream({"n": 1}, stream_mode="values"))
            seen("the call returned")
        except BaseException as error:
            seen(type(error))
            raise

    if place == "asyncio_thread":

        async def node(state: State) -> Any:
            await asyncio.to_thread(call)

        graph = side_by_side(node)
    else:
        graph = outer_graph(call, place)
    async with graph.astream({"n": 1}, stream_mode="custom", subgraphs=True) as run:
        async for _ in run:
            break
    assert seen.marks[:2] == CANCELLED
    await seen.wait_for(seen.marks[-1])
    assert "the call returned" not in seen


@pytest.mark.parametrize("kept", [False, True], ids=["dropped", "kept"])
async def test_c40_a_nested_sync_stream_left_on_the_loop_ends_with_its_node(kept: bool) -> None:
    seen = Recorder()
    inner = counting(seen, cleanup=0.05)
    box: list[Any] = []

    async def node(state: State) -> Any:
        stream = inner.stream({"n": 1}, stream_mode="custom")
        assert next(stream) == 0
        if kept:
            box.append(stream)

    await side_by_side(node).ainvoke({"n": 1})
    assert seen == CANCELLED
    if kept:
        with pytest.raises(RunCancelledError):
            list(box[0])
        box[0].close()


def test_c40_errors_of_a_nested_sync_call_are_themselves() -> None:
    boom = ValueError("boom")

    async def bad(state: State) -> None:
        raise boom

    for place in PLACES:
        with pytest.raises(ValueError) as caught:
            outer_graph(lambda: side_by_side(bad).invoke({"n": 1}), place).invoke({"n": 1})
        assert caught.value is boom
        assert "During task with name 'node'" in notes(boom)


# ---------------------------------------------------------------- 41: a node that never returns


def test_c41_who_waits_for_a_stuck_sync_node_is_told_its_name(
    monkeypatch: pytest.MonkeyPatch, expected_noise: Any
) -> None:
    monkeypatch.setattr("penstock.runtime._sync.SLOW_END", 0.05)
    expected_noise.log("penstock:WARNING:.*'stuck'")
    go = threading.Event()
    seen = Recorder()

    def stuck(state: State, writer: Any) -> None:
        writer("x")
        go.wait(60)
        seen("ended")

    threading.Timer(0.5, go.set).start()
    for _ in side_by_side(stuck).stream({"n": 1}, stream_mode="custom"):
        break
    assert seen == ["ended"]


# ---------------------------------------------------------------- 42: fork, exit, several loops


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_c42_after_fork_the_child_starts_anew() -> None:
    lines = script(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 and later warn of threads at a fork
        first = graph.stream({}, stream_mode="custom")
        assert next(first) == 0
        pid = os.fork()
        if pid == 0:
            second = graph.stream({}, stream_mode="custom")
            assert [next(second), next(second)] == [0, 1]
            second.close()
            print("child", flush=True)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert next(first) == 1
        first.close()
        """
    )
    assert sorted(lines) == sorted(["started", "started", "finally", "child", "finally"])


@pytest.mark.parametrize("function", ["node", "thread_node"])
@pytest.mark.parametrize("keep", ["global", "local"])
def test_c42_the_interpreter_exits_with_a_live_sync_stream(function: str, keep: str) -> None:
    lines = script(
        f"""
        stream = graph_of({function}).stream({{}}, stream_mode="custom", high_water_mark=2)
        next(stream)
        if {keep!r} == "local":
            def use(stream):
                print("exiting", flush=True)
                sys.exit(0)
            use(stream)
        print("exiting", flush=True)
        """
    )
    assert lines == ["started", "exiting", "finally"]


def test_c42_the_interpreter_exits_while_a_daemon_thread_reads() -> None:
    lines = script(
        """
        def read():
            for chunk in graph.stream({}, stream_mode="custom"):
                pass
        threading.Thread(target=read, daemon=True).start()
        time.sleep(0.3)
        print("exiting", flush=True)
        """
    )
    assert lines == ["started", "exiting", "finally"]


def test_c42_the_interpreter_waits_for_calls_in_threads_it_joins() -> None:
    lines = script(
        """
        async def slow(state: State, writer: Any) -> dict:
            for i in range(30):
                await anyio.sleep(0.01)
                writer(i)
            return {"n": 1}
        def sync_slow(state: State) -> dict:
            time.sleep(0.1)
            return {"n": state["n"] + 1}
        slow_graph = StateGraph(State).add_sequence([slow, sync_slow]).add_edge(START, "slow").compile()
        def work():
            for _ in range(2):
                assert slow_graph.invoke({})["n"] == 2
                assert len(list(slow_graph.stream({}, stream_mode="custom"))) == 30
            print("worked", flush=True)
        threading.Thread(target=work).start()
        slow_graph.invoke({})  # its threads exist by now: newer Pythons start none at exit
        print("exiting", flush=True)
        """
    )
    assert lines == ["exiting", "worked"]


def test_c42_the_interpreter_exits_with_a_live_async_stream() -> None:
    lines = script(
        """
        import warnings
        warnings.simplefilter("ignore", ResourceWarning)
        async def main():
            global stream
            stream = graph.astream({}, stream_mode="custom")
            await stream.__anext__()
        for backend in ("asyncio", "trio"):
            anyio.run(main, backend=backend)
            print("ran", flush=True)
        """
    )
    assert lines == ["started", "finally", "ran"] * 2


def test_c42_one_graph_on_several_loops_one_after_the_other(backend_id: str) -> None:
    graph = in_a_row(add, sync_add)

    async def main() -> Any:
        return await collect(graph.astream({"n": 1}, stream_mode=BOTH)), (await graph.ainvoke({"n": 1}))["n"]

    results = [run_on(backend_id, main) for _ in range(3)]
    assert results == [(expected("add", 2) + expected("sync_add", 3), 3)] * 3
    assert graph.invoke({"n": 1})["n"] == 3


def test_c42_one_graph_on_several_loops_at_once() -> None:
    graph = in_a_row(add, sync_add)
    meet = threading.Barrier(4)
    results: list[Any] = []

    async def main() -> None:
        meet.wait(10)
        for n in range(20):
            chunks = await collect(graph.astream({"n": n}, stream_mode=BOTH))
            results.append(chunks == expected("add", n + 1) + expected("sync_add", n + 2))

    threads = [
        threading.Thread(target=lambda backend=backend: anyio.run(main, backend=backend))
        for backend in ("asyncio", "trio") * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 80


async def test_c42_a_stream_cannot_be_read_on_another_loop() -> None:
    go = anyio.Event()

    async def node(state: State, writer: Any) -> None:
        writer(0)
        await go.wait()
        writer(1)

    async with side_by_side(node).astream({"n": 1}, stream_mode="custom") as run:
        assert await run.__anext__() == 0

        def elsewhere() -> None:
            with pytest.raises(StreamBusyError):
                anyio.run(run.__anext__, backend="asyncio")

        await anyio.to_thread.run_sync(elsewhere)
        go.set()
        assert await run.__anext__() == 1
