"""Cancelling the reader of a stream, in every way and wherever its nodes are: cases 12 to 20."""

from __future__ import annotations

import asyncio
import gc
import operator
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import anyio
import pytest
from anyio import from_thread
from typing_extensions import TypedDict

from penstock.errors import NodeCancelledError
from penstock.graph import START, StateGraph
from penstock.types import RetryPolicy
from tests.support import ExpectedNoise, Recorder, checkpoints, collect, shortly

from ._leaving import (
    FEW_TURNS,
    INPUT,
    NATIVE,
    WAYS,
    chain,
    consume,
    counting,
    named,
    reading,
    shielded,
    stuck,
    unfinished,
)

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

all_ways = pytest.mark.parametrize("way", WAYS)
natively = pytest.mark.backends(*NATIVE)

CANCELLED = ["node started", "node ended: cancelled"]
DROPPED = "a stream was dropped while 'node' ran"


async def cancel_when(
    ready: Callable[[], Awaitable[Any]], body: Callable[[], Awaitable[Any]], *, turns: int = FEW_TURNS
) -> None:
    """Await `body()` and cancel its scope some turns after `ready()`; it must be cancelled, and nothing else."""
    async with anyio.create_task_group() as group:

        async def cancel() -> None:
            await ready()
            await checkpoints(turns)
            scope.cancel()

        group.start_soon(cancel)
        with anyio.CancelScope() as scope:
            await body()
    assert scope.cancelled_caught


# --- 12: anyio's timeouts --------------------------------------------------------------------------------


@all_ways
async def test_b12_move_on_after_around_the_loop(way: str) -> None:
    seen = Recorder()
    with anyio.move_on_after(shortly()) as scope:
        await consume(chain(stuck(seen, cleanup=0.01)), way)
    assert seen == CANCELLED
    assert scope.cancelled_caught


@all_ways
async def test_b12_fail_after_around_the_loop(way: str) -> None:
    seen = Recorder()
    with pytest.raises(TimeoutError) as caught:
        with anyio.fail_after(shortly()):
            await consume(chain([stuck(seen, "a", cleanup=0.01), stuck(seen, "b")]), way)
    assert unfinished(seen) == []
    assert len(seen) == 4
    assert not getattr(caught.value, "__notes__", None)


@all_ways
async def test_b12_a_deadline_that_has_passed_already(way: str) -> None:
    seen = Recorder()
    with anyio.move_on_after(0) as scope:
        await consume(chain(stuck(seen)), way)
    assert scope.cancelled_caught
    await checkpoints(FEW_TURNS)
    assert seen == []  # not even started


async def test_b12_around_one_chunk_of_a_bare_stream_ends_the_run() -> None:
    seen = Recorder()
    run = chain(stuck(seen, cleanup=0.01)).astream(INPUT, stream_mode="custom")
    assert await run.__anext__() == 0
    with anyio.move_on_after(0.01) as scope:
        await run.__anext__()
    assert scope.cancelled_caught
    assert seen == CANCELLED
    assert await collect(run) == []


@pytest.mark.parametrize("seconds", [0.0, 0.0005, 0.001])
async def test_b12_around_one_chunk_of_an_entered_stream_loses_nothing(seconds: float) -> None:
    seen, got = Recorder(), []
    timeouts = 0

    async def node(state: Any, writer: Any) -> None:
        for i in range(20):
            writer(i)
            await anyio.sleep(0.002)

    async with chain([node, counting(seen, "other")]).astream(INPUT, stream_mode="custom") as run:
        while len(got) < 23:
            with anyio.move_on_after(seconds) as scope:
                got.append(await run.__anext__())
            if scope.cancelled_caught:
                timeouts += 1
                await anyio.sleep(0.001)  # a heartbeat
        assert await collect(run) == []
        assert await run.result() is not None
    assert sorted(got) == sorted([*range(20), *range(3)])
    assert timeouts
    assert unfinished(seen) == []


async def test_b12_a_cancellation_that_comes_with_a_chunk_loses_nothing() -> None:
    """The scope is cancelled in the very turn in which a chunk is handed to the waiting reader."""
    got: list[int] = []
    scopes: list[anyio.CancelScope] = []

    async def node(state: Any, writer: Any) -> None:
        for i in range(40):
            await checkpoints(3)
            if i % 2:
                writer(i)
            scopes[-1].cancel()
            if not i % 2:
                writer(i)

    async with chain(node).astream(INPUT, stream_mode="custom") as run:
        ended = False
        while not ended:
            with anyio.CancelScope() as scope:
                scopes.append(scope)
                try:
                    got.append(await run.__anext__())
                except StopAsyncIteration:
                    ended = True
    assert got == list(range(40))


async def test_b12_inside_the_body_of_a_bare_stream() -> None:
    seen = Recorder()
    with pytest.warns(ResourceWarning, match=DROPPED):
        with anyio.move_on_after(shortly()) as scope:
            async for _ in chain(stuck(seen)).astream(INPUT, stream_mode="custom"):
                await anyio.sleep_forever()
    assert scope.cancelled_caught
    await checkpoints(FEW_TURNS)
    assert seen == CANCELLED


async def test_b12_inside_the_body_of_an_entered_stream() -> None:
    seen = Recorder()
    with anyio.move_on_after(shortly()) as scope:
        async with chain(stuck(seen, cleanup=0.01)).astream(INPUT, stream_mode="custom") as run:
            async for _ in run:
                await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert seen == CANCELLED


@pytest.mark.parametrize("way", ["bare", "strict"])
async def test_b12_while_the_body_is_shielded(way: str) -> None:
    """An entered run ends with its scope, before the body does: the body still sees only the cancellation."""
    seen = Recorder()
    with anyio.CancelScope() as scope:
        async with reading(chain(stuck(seen)), way) as run:
            assert await run.__anext__() == 0
            scope.cancel()
            with anyio.CancelScope(shield=True):
                await checkpoints(3 * FEW_TURNS)
            seen("read on")
            await run.__anext__()
            seen("not reached")
    assert scope.cancelled_caught
    assert "not reached" not in seen
    assert unfinished([mark for mark in seen if mark != "read on"]) == []


async def test_b12_a_scope_that_was_cancelled_and_never_met() -> None:
    """A run that ended with its scope makes no error of its own at the end of the block."""
    seen = Recorder()
    with anyio.CancelScope() as scope:
        async with chain(stuck(seen)).astream(INPUT, stream_mode="custom") as run:
            assert await run.__anext__() == 0
            scope.cancel()
            with anyio.CancelScope(shield=True):
                await checkpoints(3 * FEW_TURNS)
    assert seen == CANCELLED


# --- 13: an outer task group -----------------------------------------------------------------------------


@all_ways
async def test_b13_a_sibling_of_the_reader_fails(way: str) -> None:
    seen = Recorder()

    async def sibling() -> None:
        await seen.wait_for("node started")
        raise OSError("sibling")

    with pytest.raises(ExceptionGroup) as caught:
        async with anyio.create_task_group() as group:
            group.start_soon(consume, chain(stuck(seen, cleanup=0.01)), way)
            group.start_soon(sibling)
    assert [repr(error) for error in caught.value.exceptions] == ["OSError('sibling')"]
    assert seen == CANCELLED


@all_ways
async def test_b13_the_task_group_is_cancelled(way: str) -> None:
    seen = Recorder()
    async with anyio.create_task_group() as group:
        for name in ("a", "b", "c"):
            group.start_soon(consume, chain(stuck(seen, name, cleanup=0.01)), way)
        for name in ("a", "b", "c"):
            await seen.wait_for(f"{name} started")
        group.cancel_scope.cancel()
    assert unfinished(seen) == []
    assert len(seen) == 6


@all_ways
async def test_b13_a_shielded_reader_is_left_alone(way: str) -> None:
    seen, got = Recorder(), []
    with anyio.CancelScope() as scope:
        scope.cancel()
        with anyio.CancelScope(shield=True):
            await consume(chain(counting(seen)), way, got)
        seen("read")
        await checkpoints(1)
    assert scope.cancelled_caught
    assert seen == ["node started", "node ended", "read"]


# --- 14: Task.cancel() -----------------------------------------------------------------------------------


@natively
@all_ways
async def test_b14_cancelled_natively_once(way: str) -> None:
    seen = Recorder()
    task = asyncio.ensure_future(consume(chain(stuck(seen, cleanup=0.01)), way))
    await seen.wait_for("node started")
    await checkpoints(FEW_TURNS)
    task.cancel("stop")
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert task.cancelled()
    assert caught.value.args in [("stop",), ()]
    assert seen == CANCELLED


@natively
@pytest.mark.parametrize("way", ["bare", "strict"])
@pytest.mark.parametrize("where", ["chunk", "body"])
async def test_b14_cancelled_natively_again_and_again_during_the_cleanup(way: str, where: str) -> None:
    """The reader goes on waiting: whoever cancels it once more cannot make it leave its nodes behind."""
    seen = Recorder()

    async def read() -> None:
        if way == "bare":
            run = chain(stuck(seen, cleanup=0.2)).astream(INPUT, stream_mode="custom")
            try:
                await _read(run)
            finally:
                await run.aclose()
        else:
            async with chain(stuck(seen, cleanup=0.2)).astream(INPUT, stream_mode="custom") as run:
                await _read(run)

    async def _read(run: Any) -> None:
        async for _ in run:
            if where == "body":
                await anyio.sleep_forever()

    task = asyncio.ensure_future(read())
    await seen.wait_for("node started")
    await checkpoints(FEW_TURNS)
    for _ in range(3):
        task.cancel()
        await anyio.sleep(0.05)
    assert not task.done()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == CANCELLED


@natively
@all_ways
@pytest.mark.parametrize("turns", [1, 2, 3])
async def test_b14_cancelled_natively_twice_in_a_row(way: str, turns: int) -> None:
    seen = Recorder()
    task = asyncio.ensure_future(consume(chain([stuck(seen, "a"), stuck(seen, "b")]), way))
    await seen.wait_for("b started")
    await checkpoints(FEW_TURNS)
    task.cancel()
    await checkpoints(turns)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert unfinished(seen) == []
    assert len(seen) == 4


@natively
@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.filterwarnings("ignore:a stream was dropped:ResourceWarning")
async def test_b14_cancelled_natively_while_runs_inside_a_node_clean_up(parallel: bool) -> None:
    """`ainvoke` runs its node in the caller's task, so a native cancellation strikes right inside the cleanup."""
    seen, kept = Recorder(), []

    async def node(state: Any) -> None:
        for name in ("inner1", "inner2", "inner3"):
            kept.append(chain(stuck(seen, name, cleanup=0.1)).astream(INPUT, stream_mode="custom"))
            await kept[-1].__anext__()
        seen("ready")
        await anyio.sleep_forever()

    graph = chain([node, counting(Recorder(), "other")] if parallel else node)
    task = asyncio.ensure_future(graph.ainvoke(INPUT))
    await seen.wait_for("ready")
    for _ in range(5):
        task.cancel()
        await anyio.sleep(0.01)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert unfinished([mark for mark in seen if mark != "ready"]) == []


# --- 15: asyncio's own timeouts --------------------------------------------------------------------------


@natively
@all_ways
async def test_b15_wait_for(way: str) -> None:
    seen = Recorder()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(consume(chain(stuck(seen, cleanup=0.01)), way), shortly())
    assert seen == CANCELLED


@natively
async def test_b15_wait_for_around_one_chunk() -> None:
    seen = Recorder()
    run = chain(stuck(seen, cleanup=0.01)).astream(INPUT, stream_mode="custom")
    assert await asyncio.wait_for(run.__anext__(), 5) == 0
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(run.__anext__(), shortly())
    assert seen == CANCELLED
    assert await collect(run) == []


@natively
async def test_b15_wait_for_around_one_chunk_of_an_entered_stream_loses_nothing() -> None:
    got, timeouts = [], 0

    async def node(state: Any, writer: Any) -> None:
        for i in range(10):
            writer(i)
            await anyio.sleep(0.003)

    async with chain(node).astream(INPUT, stream_mode="custom") as run:
        while True:
            try:
                got.append(await asyncio.wait_for(run.__anext__(), 0.001))
            except asyncio.TimeoutError:
                timeouts += 1
            except StopAsyncIteration:
                break
    assert got == list(range(10))
    assert timeouts


@natively
@all_ways
@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout is new in Python 3.11")
async def test_b15_timeout(way: str) -> None:
    seen = Recorder()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(shortly()):
            await consume(chain(stuck(seen, cleanup=0.01)), way)
    assert seen == CANCELLED
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


class Items(TypedDict):
    items: Annotated[list[str], operator.add]


@natively
async def test_b15_a_node_that_cancels_its_own_task_and_ends_fails_by_its_name() -> None:
    async def cancels_itself(state: Any) -> dict[str, Any]:  # noqa: ASYNC124 - that it awaits nothing is the point
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return {"items": ["a"]}

    async def waits(state: Any) -> dict[str, Any]:
        await checkpoints(3)
        return {"items": ["b"]}

    builder: Any = StateGraph(Items)
    builder.add_node("a", cancels_itself).add_edge(START, "a")
    builder.add_node("b", waits).add_edge(START, "b")
    # Until Python 3.11 a task does not know that it was cancelled, and the other node is missed instead.
    name = "a" if sys.version_info >= (3, 11) else "b"
    with pytest.raises(NodeCancelledError, match=f"node '{name}' was cancelled, but not by its run"):
        await builder.compile().ainvoke({"items": []})


# --- 16: a web server's client goes away -----------------------------------------------------------------


class Client:
    """The other end of an ASGI connection, which goes away after some messages."""

    def __init__(self, stays_for: int) -> None:
        self.received: list[Any] = []
        self.gone = anyio.Event()
        self._stays_for = stays_for

    async def send(self, message: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.received.append(message)
        if len(self.received) == self._stays_for:
            self.gone.set()

    async def receive(self) -> dict[str, str]:
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def _respond(chunks: Any, client: Client) -> None:
    """What an ASGI framework's streaming response does: the first of the two tasks to end cancels the other."""
    async with anyio.create_task_group() as group:

        async def first_to_end(work: Callable[[], Awaitable[None]]) -> None:
            await work()
            group.cancel_scope.cancel()

        async def stream_response() -> None:
            async for chunk in chunks:
                await client.send(chunk)
            await client.send("")

        async def listen_for_disconnect() -> None:
            while (await client.receive())["type"] != "http.disconnect":
                pass

        group.start_soon(first_to_end, stream_response)
        await first_to_end(listen_for_disconnect)


async def _events(graph: Any, way: str) -> Any:
    async with reading(graph, way) as run:
        async for chunk in run:
            yield f"data: {chunk}"


@pytest.mark.parametrize("direct", [True, False])
async def test_b16_the_client_disconnects_while_the_model_thinks(direct: bool) -> None:
    seen, client = Recorder(), Client(stays_for=2)
    graph = chain([stuck(seen, "a", cleanup=0.01), stuck(seen, "b")])
    chunks = graph.astream(INPUT, stream_mode="custom") if direct else _events(graph, "bare")
    await _respond(chunks, client)
    assert unfinished(seen) == []
    assert len(seen) == 4


async def test_b16_the_client_reads_to_the_end() -> None:
    seen, client = Recorder(), Client(stays_for=100)
    await _respond(_events(chain(counting(seen)), "bare"), client)
    assert client.received == ["data: 0", "data: 1", "data: 2", ""]


async def test_b16_the_client_stops_receiving() -> None:
    """The connection stalls in `send`, the node waits for the reader, and then the client is gone."""
    seen = Recorder()
    client = Client(stays_for=1)

    async def node(state: Any, writer: Any) -> None:
        with seen.span("node"):
            for i in range(1000):
                await writer(i)

    async def stalled(message: Any) -> None:
        client.received.append(message)
        client.gone.set()
        await anyio.sleep_forever()

    client.send = stalled  # type: ignore[method-assign]
    graph = chain(node)
    with pytest.warns(ResourceWarning, match=DROPPED):
        await _respond(graph.astream(INPUT, stream_mode="custom", high_water_mark=4), client)
        await checkpoints(1)
        gc.collect()  # a stream that others still refer to has not been dropped
    await checkpoints(FEW_TURNS)
    assert seen == CANCELLED


# --- 17: what finally blocks do --------------------------------------------------------------------------


@all_ways
async def test_b17_all_kinds_of_finally_blocks_have_ended_when_the_reader_resumes(way: str) -> None:
    seen = Recorder()

    def cleaning(name: str, clean: Callable[[], Awaitable[Any]]) -> Any:
        @named(name)
        async def node(state: Any, writer: Any) -> None:
            try:
                seen(f"{name} started")
                await anyio.sleep_forever()
            finally:
                try:
                    await clean()
                    seen(f"{name} cleaned")
                finally:
                    writer("too late")  # into nowhere, silently
                    seen(f"{name} ended")

        return node

    graph = chain(
        [
            cleaning("awaiting", lambda: anyio.sleep(1)),  # is cancelled again
            cleaning("shielded", lambda: shielded(0.03)),
            cleaning("slow", lambda: shielded(0.2)),
            cleaning("turning", lambda: _shielded_turns(50)),
        ]
    )

    async def all_started() -> None:
        for name in ("awaiting", "shielded", "slow", "turning"):
            await seen.wait_for(f"{name} started")

    await cancel_when(all_started, lambda: consume(graph, way))
    assert unfinished([mark for mark in seen if "cleaned" not in str(mark)]) == []
    cleaned = {str(mark) for mark in seen if "cleaned" in str(mark)}
    assert cleaned == {"shielded cleaned", "slow cleaned", "turning cleaned"}


async def _shielded_turns(turns: int) -> None:
    with anyio.CancelScope(shield=True):
        await checkpoints(turns)


@pytest.mark.parametrize("way", ["bare", "strict"])
@pytest.mark.parametrize("parallel", [False, True])
async def test_b17_a_failing_finally_block_is_not_lost(way: str, parallel: bool, expected_noise: ExpectedNoise) -> None:
    expected_noise.log(r"penstock:ERROR:error in a run .* \(OSError\('cleanup'\)\)")
    seen = Recorder()
    failing = stuck(seen, cleanup=0.01, error=OSError("cleanup"))
    graph = chain([failing, stuck(seen, "other", cleanup=0.02)] if parallel else failing)
    await cancel_when(lambda: seen.wait_for("node started"), lambda: consume(graph, way))
    assert unfinished(seen) == []
    assert "node ended: OSError" in seen


@pytest.mark.parametrize("parallel", [False, True])
async def test_b17_a_failing_finally_block_replaces_the_cancellation_of_ainvoke(parallel: bool) -> None:
    """As it does in any coroutine."""
    seen = Recorder()
    failing = stuck(seen, cleanup=0.01, error=OSError("cleanup"))
    graph = chain([failing, stuck(seen, "other", cleanup=0.02)] if parallel else failing)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:

            async def cancel() -> None:
                await seen.wait_for("node started")
                scope.cancel()

            group.start_soon(cancel)
            with pytest.raises(OSError, match="cleanup"):
                await graph.ainvoke(INPUT)
    assert unfinished(seen) == []


@pytest.mark.virtual_time
@all_ways
async def test_b17_a_very_slow_finally_block_is_named(way: str, expected_noise: ExpectedNoise) -> None:
    if way != "ainvoke":  # which has nobody who waits for it
        expected_noise.log("penstock:WARNING:waiting for a cancelled run to end: still running 'node'")
    seen = Recorder()
    with anyio.move_on_after(1) as scope:
        await consume(chain(stuck(seen, cleanup=25)), way)
    assert seen == CANCELLED
    assert scope.cancelled_caught


# --- 18: wherever the node is ----------------------------------------------------------------------------


@all_ways
async def test_b18_in_a_node_with_a_timeout(way: str) -> None:
    seen = Recorder()
    graph = chain(stuck(seen, cleanup=0.01), timeout=30)
    await cancel_when(lambda: seen.wait_for("node started"), lambda: consume(graph, way))
    assert seen == CANCELLED


@all_ways
async def test_b18_in_a_node_whose_timeout_is_over(way: str) -> None:
    """Its cleanup goes on when the reader is cancelled as well."""
    seen = Recorder()

    async def node(state: Any) -> None:
        with seen.span("node"):
            try:
                await anyio.sleep_forever()
            finally:
                seen("too late")
                await shielded(0.03)

    graph = chain(node, timeout=0.01)
    await cancel_when(lambda: seen.wait_for("too late"), lambda: consume(graph, way))
    assert seen == ["node started", "too late", "node ended: cancelled"]


@all_ways
@pytest.mark.parametrize("parallel", [False, True])
async def test_b18_while_waiting_for_the_next_attempt(way: str, parallel: bool) -> None:
    seen = Recorder()

    async def node(state: Any, writer: Any) -> None:
        with seen.span("node"):
            writer("tried")
            raise ConnectionError

    graph = chain(
        [node, stuck(seen, "other")] if parallel else node,
        retry_policy=RetryPolicy(initial_interval=3600, jitter=False),
    )
    await cancel_when(lambda: seen.wait_for("node ended: ConnectionError"), lambda: consume(graph, way))
    assert seen.count("node started") == 1
    assert unfinished(seen) == []


@all_ways
async def test_b18_while_waiting_for_a_slot(way: str) -> None:
    seen = Recorder()
    graph = chain([stuck(seen, name, cleanup=0.01) for name in ("a", "b", "c")])

    async def run() -> None:
        config = {"max_concurrency": 1}
        if way == "ainvoke":
            await graph.ainvoke(INPUT, config)
        else:
            await consume(graph, way, config=config)

    await cancel_when(lambda: seen.wait_for("a started"), run)
    assert seen == ["a started", "a ended: cancelled"]


@pytest.mark.parametrize("way", ["bare", "strict"])
@pytest.mark.parametrize("awaited", [True, False])
async def test_b18_while_blocked_by_a_full_buffer(way: str, awaited: bool) -> None:
    seen = Recorder()

    async def node(state: Any, writer: Any) -> None:
        with seen.span("node"):
            for i in range(1000):
                if awaited:
                    await writer(i)
                else:
                    writer(i)
                    await anyio.lowlevel.checkpoint()

    async with reading(chain(node), way, high_water_mark=2) as run:
        await run.__anext__()
        await checkpoints(50)
        assert 2 <= run.statistics().buffered <= 4
        if way == "strict":
            with anyio.CancelScope() as scope:
                async with run_is_closed(run):
                    scope.cancel()
                    await anyio.lowlevel.checkpoint()
        else:
            await run.aclose()
        assert seen == CANCELLED


class run_is_closed:
    """A block after which a run has been closed, however it is left."""

    def __init__(self, run: Any) -> None:
        self._run = run

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *exc: object) -> None:
        await self._run.aclose()


@pytest.mark.parametrize("way", ["bare", "strict"])
async def test_b18_a_sync_node_blocked_by_a_full_buffer(way: str) -> None:
    seen = Recorder()

    def node(state: Any, writer: Any) -> None:
        seen("node started")
        try:
            while True:
                writer(0)
        finally:
            seen("node ended")

    async def main() -> None:
        async with reading(chain(node), way, high_water_mark=2) as run:
            try:
                async for _ in run:
                    await anyio.sleep(0.001)
                    seen("reading")
            finally:
                await run.aclose()

    await cancel_when(lambda: seen.wait_for("reading"), main)
    assert [mark for mark in seen if mark != "reading"] == ["node started", "node ended"]


@all_ways
async def test_b18_in_a_worker_thread(way: str) -> None:
    """A thread cannot be stopped: the reader waits for it, and its result is thrown away."""
    seen, go_on = Recorder(), threading.Event()

    def node(state: Any) -> None:
        seen("node started")
        assert go_on.wait(10)
        seen("node ended")

    @named("after")
    async def after(state: Any) -> None:
        seen("not reached")

    async with anyio.create_task_group() as group:

        async def release() -> None:
            await seen.wait_for("cancelling")
            await checkpoints(20)
            assert "node ended" not in seen
            go_on.set()

        async def ready() -> None:
            await seen.wait_for("node started")
            seen("cancelling")

        group.start_soon(release)
        await cancel_when(ready, lambda: consume(chain(node, after), way))
        assert seen == ["node started", "cancelling", "node ended"]


@natively
@all_ways
@pytest.mark.parametrize("parallel", [False, True])
async def test_b18_in_a_worker_thread_cancelled_natively(way: str, parallel: bool) -> None:
    seen, go_on = Recorder(), threading.Event()

    def node(state: Any) -> None:
        seen("node started")
        assert go_on.wait(10)
        seen("node ended")

    graph = chain([node, counting(Recorder(), "other")] if parallel else node)
    task = asyncio.ensure_future(consume(graph, way))
    await seen.wait_for("node started")
    await checkpoints(FEW_TURNS)
    for _ in range(3):
        task.cancel()
        await checkpoints(FEW_TURNS)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["node started", "node ended"]


@all_ways
async def test_b18_in_a_worker_thread_that_asks_for_cancellation(way: str) -> None:
    seen = Recorder()

    def node(state: Any) -> None:
        seen("node started")
        try:
            for _ in range(10_000):
                time.sleep(0.001)
                from_thread.check_cancelled()
            seen("not reached")
        finally:
            seen("node ended")

    await cancel_when(lambda: seen.wait_for("node started"), lambda: consume(chain(node), way))
    assert seen == ["node started", "node ended"]


@natively
async def test_b18_in_a_worker_thread_that_asks_for_native_cancellation() -> None:
    seen = Recorder()

    def node(state: Any) -> None:
        seen("node started")
        try:
            while True:
                time.sleep(0.001)
                from_thread.check_cancelled()
        finally:
            seen("node ended")

    task = asyncio.ensure_future(chain(node).ainvoke(INPUT))
    await seen.wait_for("node started")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["node started", "node ended"]


@all_ways
async def test_b18_in_a_generator_node(way: str) -> None:
    seen = Recorder()

    async def node(state: Any) -> Any:
        with seen.span("node"):
            try:
                yield {"log": ["one"]}
                await anyio.sleep_forever()
            finally:
                await shielded(0.01)

    await cancel_when(lambda: seen.wait_for("node started"), lambda: consume(chain(node), way))
    assert unfinished(seen) == []
    assert len(seen) == 2


@all_ways
async def test_b18_in_a_router(way: str) -> None:
    from penstock.graph import END, START, StateGraph

    from ._leaving import State

    seen = Recorder()

    async def route(state: State) -> str:
        with seen.span("router"):
            try:
                await anyio.sleep_forever()
            finally:
                await shielded(0.01)
        return END

    graph: Any = StateGraph(State).add_node(counting(seen)).add_edge(START, "node")
    graph = graph.add_conditional_edges("node", route, [END]).compile()
    await cancel_when(lambda: seen.wait_for("router started"), lambda: consume(graph, way))
    assert seen == ["node started", "node ended", "router started", "router ended: cancelled"]


# --- 19: subgraphs ---------------------------------------------------------------------------------------


def _calling(name: str, graph: Any, how: str) -> Any:
    @named(name)
    async def node(state: Any, writer: Any) -> None:
        if how == "ainvoke":
            await graph.ainvoke(INPUT)
        else:
            await consume(graph, how)

    return node


@all_ways
@pytest.mark.parametrize("how", ["node", *WAYS])
async def test_b19_three_graphs_deep(way: str, how: str) -> None:
    seen = Recorder()
    graph = chain([stuck(seen, "a", cleanup=0.01), stuck(seen, "b", cleanup=0.02)])
    for level in ("one", "two", "three"):
        inner: Any = (f"sub_{level}", graph) if how == "node" else _calling(f"sub_{level}", graph, how)
        graph = chain([inner, stuck(seen, level, cleanup=0.01)])

    async def all_started() -> None:
        for name in ("a", "b", "one", "two", "three"):
            await seen.wait_for(f"{name} started")

    await cancel_when(all_started, lambda: consume(graph, way))
    assert unfinished(seen) == []
    assert len(seen) == 10


@natively
@all_ways
@pytest.mark.parametrize("how", ["node", *WAYS])
async def test_b19_three_graphs_deep_cancelled_natively(way: str, how: str) -> None:
    seen = Recorder()
    graph = chain(stuck(seen, "innermost", cleanup=0.05))
    for level in ("one", "two", "three"):
        graph = chain((f"sub_{level}", graph) if how == "node" else _calling(f"sub_{level}", graph, how))
    task = asyncio.ensure_future(consume(graph, way))
    await seen.wait_for("innermost started")
    await checkpoints(FEW_TURNS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["innermost started", "innermost ended: cancelled"]


async def test_b19_the_deepest_node_is_named() -> None:
    seen = Recorder()
    graph = chain(stuck(seen, "innermost"))
    for level in ("one", "two"):
        graph = chain((level, graph))
    with pytest.warns(ResourceWarning, match="while 'innermost' ran"):
        async for _ in graph.astream(INPUT, stream_mode=["custom"], subgraphs=True):
            break
    await checkpoints(2 * FEW_TURNS)
    assert unfinished(seen) == []


# --- 20: nodes that do not play along --------------------------------------------------------------------


@all_ways
@pytest.mark.parametrize("parallel", [False, True])
async def test_b20_a_node_that_swallows_the_cancellation_once(way: str, parallel: bool) -> None:
    seen = Recorder()
    cancelled = anyio.get_cancelled_exc_class()

    async def node(state: Any, writer: Any) -> Any:
        with seen.span("node"):
            try:
                await anyio.sleep_forever()
            except cancelled:
                seen("swallowed")
            await anyio.sleep(0.01)
            seen("not reached")

    @named("after")
    async def after(state: Any) -> None:
        seen("not reached")

    graph = chain([node, stuck(seen, "other")] if parallel else node, after)
    await cancel_when(lambda: seen.wait_for("node started"), lambda: consume(graph, way))
    assert unfinished([mark for mark in seen if mark != "swallowed"]) == []
    assert "swallowed" in seen
    assert "not reached" not in seen


@all_ways
async def test_b20_a_node_that_swallows_the_cancellation_and_returns(way: str) -> None:
    seen = Recorder()
    cancelled = anyio.get_cancelled_exc_class()

    async def node(state: Any, writer: Any) -> Any:
        with seen.span("node"):
            try:
                await anyio.sleep_forever()
            except cancelled:
                pass
            return {"log": ["node"]}

    @named("after")
    async def after(state: Any) -> None:
        seen("not reached")

    await cancel_when(lambda: seen.wait_for("node started"), lambda: consume(chain(node, after), way))
    assert seen == ["node started", "node ended"]


@all_ways
async def test_b20_a_node_with_a_task_group_of_its_own(way: str) -> None:
    seen = Recorder()

    async def child(name: str, writer: Any) -> None:
        with seen.span(name):
            try:
                while True:
                    await writer(name)
                    await anyio.sleep(0.001)
            finally:
                await shielded(0.01)

    async def node(state: Any, writer: Any) -> None:
        with seen.span("node"):
            async with anyio.create_task_group() as group:
                for name in ("x", "y", "z"):
                    group.start_soon(child, name, writer)

    await cancel_when(lambda: seen.wait_for("z started"), lambda: consume(chain(node), way))
    assert unfinished(seen) == []
    assert len(seen) == 8
    assert list(seen)[-1] == "node ended: cancelled"
