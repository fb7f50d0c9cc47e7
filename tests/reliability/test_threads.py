"""Worker threads, `max_concurrency`, and threads of the user's own: cases 36, 38 and 41 as far as threads go."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from penstock.errors import NodeCancelledError, StreamClosedError
from penstock.graph import START, StateGraph
from penstock.types import RetryPolicy, Send
from tests.support import Recorder, checkpoints, collect, shortly

from ._failing import State, in_a_row, side_by_side


class Meter:
    """How many node bodies run at the same time; what a body waits for inside `waiting` does not count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now = 0
        self.peak = 0
        self.bodies = 0

    def _add(self, n: int) -> None:
        with self._lock:
            self.now += n
            self.peak = max(self.peak, self.now)

    @contextmanager
    def body(self) -> Iterator[None]:
        self.bodies += 1
        self._add(1)
        try:
            yield
        finally:
            self._add(-1)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        self._add(-1)
        try:
            yield
        finally:
            self._add(1)


def async_leaf(meter: Meter) -> Any:
    async def leaf(state: State, writer: Any) -> Any:
        with meter.body():
            for i in range(3):
                await writer(i)
                await checkpoints(1)
        return {"log": [1]}

    return leaf


def sync_leaf(meter: Meter) -> Any:
    def leaf(state: State, writer: Any) -> Any:
        with meter.body():
            for i in range(3):
                writer(i)
        return {"log": [1]}

    return leaf


def generator_leaf(meter: Meter) -> Any:
    async def leaf(state: State) -> Any:
        with meter.body():
            for i in range(3):
                yield {"log": [i]}

    return leaf


LEAVES = [async_leaf, sync_leaf, generator_leaf]


def callers(meter: Meter, inner: Any) -> list[tuple[str, Any]]:
    """Every way in which a node can run a graph."""

    async def ainvokes(state: State) -> Any:
        with meter.body():
            with meter.waiting():
                await inner.ainvoke({"n": 1})

    async def astreams(state: State) -> Any:
        with meter.body():
            with meter.waiting():
                async for _ in inner.astream({"n": 1}):
                    pass

    async def enters(state: State) -> Any:
        with meter.body():
            with meter.waiting():
                async with inner.astream({"n": 1}, stream_mode="custom", high_water_mark=1) as run:
                    await collect(run)

    async def gathers(state: State) -> Any:
        with meter.body():
            with meter.waiting():
                async with anyio.create_task_group() as group:
                    for _ in range(3):
                        group.start_soon(inner.ainvoke, {"n": 1})

    def invokes(state: State) -> Any:
        with meter.body():
            with meter.waiting():
                inner.invoke({"n": 1})

    def streams(state: State) -> Any:
        with meter.body():
            with meter.waiting():
                list(inner.stream({"n": 1}, high_water_mark=1))

    functions = (ainvokes, astreams, enters, gathers, invokes, streams)
    return [("inner", inner), *((f.__name__, f) for f in functions)]


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_c36_max_concurrency_limits_and_never_deadlocks(leaf: Any, limit: int) -> None:
    meter = Meter()
    inner = side_by_side(("a", leaf(meter)), ("b", leaf(meter)))
    nodes = callers(meter, inner)
    graph = side_by_side(*nodes)
    with anyio.fail_after(60):
        await collect(graph.astream({"n": 1}, {"max_concurrency": limit}, high_water_mark=1))
    assert meter.bodies == 2 * (len(nodes) + 2) + len(nodes) - 1
    assert meter.peak <= limit


@pytest.mark.parametrize("limit", [1, 2])
async def test_c36_max_concurrency_three_deep(limit: int) -> None:
    meter = Meter()
    leaves = side_by_side(("a", async_leaf(meter)), ("s", sync_leaf(meter)))
    middle = side_by_side(*callers(meter, leaves))
    graph = side_by_side(*callers(meter, middle)[:3], *callers(meter, middle)[-2:])
    with anyio.fail_after(60):
        await graph.ainvoke({"n": 1}, {"max_concurrency": limit})
    assert meter.peak == limit


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
async def test_c36_max_concurrency_limits_sends(leaf: Any) -> None:
    meter = Meter()
    builder = StateGraph(State).add_node("work", leaf(meter))
    graph = builder.add_conditional_edges(START, lambda s: [Send("work", {"n": i}) for i in range(20)]).compile()
    with anyio.fail_after(60):
        await graph.ainvoke({"n": 1}, {"max_concurrency": 3})
    assert meter.bodies == 20
    assert meter.peak <= 3


async def test_c36_max_concurrency_lets_as_many_run() -> None:
    meet = threading.Barrier(3)

    def leaf(state: Any) -> None:
        meet.wait(10)

    builder = StateGraph(State).add_node(leaf)
    graph = builder.add_conditional_edges(START, lambda s: [Send("leaf", {}) for _ in range(9)]).compile()
    await graph.ainvoke({"n": 1}, {"max_concurrency": 3})


async def test_c36_max_concurrency_one_with_failures_retries_and_cancellation() -> None:
    meter = Meter()

    async def flaky(state: State, runtime: Any) -> Any:
        with meter.body():
            await checkpoints(2)
            if runtime.execution_info.node_attempt < 3:
                raise ConnectionError

    async def handled(state: State) -> Any:
        with meter.body():
            raise ValueError

    async def handler(state: State) -> Any:
        with meter.body():
            await checkpoints(2)

    inner = side_by_side(("a", async_leaf(meter)), ("b", sync_leaf(meter)))

    async def gives_up(state: State) -> Any:
        with meter.body():
            with anyio.move_on_after(0), meter.waiting():
                await inner.ainvoke({"n": 1})
            with meter.waiting():
                async with inner.astream({"n": 1}, stream_mode="custom") as run:
                    await collect(run, 1)
            await checkpoints(2)

    policy = RetryPolicy(initial_interval=0.001, jitter=False)
    builder = StateGraph(State).add_node(flaky, retry_policy=policy).add_node(handled, error_handler=handler)
    builder.add_node(gives_up)
    for name in ("flaky", "handled", "gives_up"):
        builder.add_edge(START, name)
    graph = builder.compile()
    with anyio.fail_after(60):
        for _ in range(3):
            await graph.ainvoke({"n": 1}, {"max_concurrency": 1})


async def test_c36_without_a_limit_more_sync_nodes_than_threads() -> None:
    meter = Meter()
    inner = side_by_side(("leaf", sync_leaf(meter)))

    def calls(state: Any) -> Any:
        with meter.body(), meter.waiting():
            inner.invoke({"n": 1})
        return {"log": [state["n"]]}

    builder = StateGraph(State).add_node(calls)
    graph = builder.add_conditional_edges(START, lambda s: [Send("calls", {"n": i}) for i in range(100)]).compile()
    with anyio.fail_after(60):
        assert (await graph.ainvoke({"n": 1}))["log"] == list(range(100))


async def test_c36_a_reader_that_needs_threads_while_sync_nodes_are_blocked() -> None:
    def writes(state: Any, writer: Any) -> None:
        for i in range(5):
            writer(i)

    builder = StateGraph(State).add_node(writes)
    graph = builder.add_conditional_edges(START, lambda s: [Send("writes", {}) for _ in range(60)]).compile()
    chunks = []
    with anyio.fail_after(60):
        async for chunk in graph.astream({"n": 1}, stream_mode="custom", high_water_mark=1):
            chunks.append(await anyio.to_thread.run_sync(lambda chunk=chunk: chunk))
    assert sorted(chunks) == sorted([*range(5)] * 60)


# ---------------------------------------------------------------- threads of the user's own


async def test_c38_a_foreign_thread_may_write_until_its_node_ends() -> None:
    go = threading.Event()
    result: list[Any] = []

    def late(writer: Any) -> None:
        writer("in time")
        result.append("in time")
        assert go.wait(10)
        try:
            writer("late")
        except BaseException as error:
            result.append(error)

    threads: list[threading.Thread] = []

    async def node(state: State, writer: Any) -> None:
        threads.append(threading.Thread(target=late, args=(writer,)))
        threads[0].start()
        while not result:
            await anyio.sleep(0.001)

    async def after(state: State, writer: Any) -> None:
        go.set()
        await anyio.to_thread.run_sync(threads[0].join)
        writer("after")

    chunks = await collect(in_a_row(node, after).astream({"n": 1}, stream_mode="custom"))
    assert chunks == ["in time", "after"]
    assert result[0] == "in time" and type(result[1]) is StreamClosedError


@pytest.mark.parametrize("how", ["to the end", "left", "failed"])
async def test_c38_a_foreign_thread_that_writes_after_the_run(how: str) -> None:
    kept: list[Any] = []

    async def node(state: State, writer: Any) -> None:
        kept.append(writer)
        writer("x")
        if how == "failed":
            raise ValueError

    async with side_by_side(node).astream({"n": 1}, stream_mode="custom") as run:
        try:
            await collect(run, 1 if how == "left" else None)
        except ValueError:
            assert how == "failed"
    errors: list[Any] = []

    def late() -> None:
        try:
            kept[0]("late")
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=late)
    thread.start()
    await anyio.to_thread.run_sync(thread.join)
    assert [type(error) for error in errors] == [StreamClosedError]


async def test_c38_many_threads_of_one_node_lose_nothing() -> None:
    def write(writer: Any, name: int) -> None:
        for i in range(50):
            writer((name, i))

    async def node(state: State, writer: Any) -> None:
        async with anyio.create_task_group() as group:
            for name in range(8):
                group.start_soon(anyio.to_thread.run_sync, write, writer, name)

    def sync_node(state: State, writer: Any) -> None:
        threads = [threading.Thread(target=write, args=(writer, name)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    for function in (node, sync_node):
        with anyio.fail_after(60):
            chunks = await collect(
                side_by_side(("node", function)).astream({"n": 1}, stream_mode="custom", high_water_mark=4)
            )
        assert len(chunks) == 400
        for name in range(8):
            assert [i for n, i in chunks if n == name] == list(range(50))


async def test_c38_a_cancelled_sync_node_unwinds_at_its_next_write() -> None:
    seen = Recorder()

    def node(state: State, writer: Any) -> None:
        try:
            while True:
                writer("x")
        finally:
            seen("unwound")

    async with side_by_side(node).astream({"n": 1}, stream_mode="custom", high_water_mark=4) as run:
        await collect(run, 10)
    assert seen == ["unwound"]
    with anyio.move_on_after(shortly()):
        await side_by_side(node).ainvoke({"n": 1})  # nobody reads, but the writer is a cancellation point
    assert seen == ["unwound", "unwound"]


@pytest.mark.virtual_time
@pytest.mark.parametrize("strict", [False, True], ids=["bare", "strict"])
async def test_c41_who_waits_for_a_stuck_sync_node_is_told_its_name(strict: bool, expected_noise: Any) -> None:
    expected_noise.log("penstock:WARNING:.*'stuck'")
    go = threading.Event()
    seen = Recorder()

    def stuck(state: State, writer: Any) -> None:
        writer("x")
        go.wait(60)
        seen("ended")

    async def release() -> None:
        await anyio.sleep(25)
        go.set()

    async with anyio.create_task_group() as group:
        group.start_soon(release)
        stream = side_by_side(stuck).astream({"n": 1}, stream_mode="custom")
        if strict:
            async with stream as run:
                await collect(run, 1)
        else:
            await collect(stream, 1)
            await stream.aclose()
        assert seen == ["ended"]


async def test_c26_a_cancellation_kept_by_a_thread_is_no_secret() -> None:
    def node(state: State) -> None:
        async def stray() -> None:
            with anyio.CancelScope() as scope:
                scope.cancel()
                try:
                    await anyio.sleep_forever()
                except BaseException as error:
                    kept.append(error)
                    raise

        kept: list[BaseException] = []
        anyio.from_thread.run(stray)
        raise kept[0]

    with pytest.raises(NodeCancelledError):
        await side_by_side(node).ainvoke({"n": 1})
