"""Leaving the stream, in every way it can be left: cases 1 to 11."""

from __future__ import annotations

import gc
import itertools
import os
import subprocess
import sys
import threading
import time
import weakref
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

import penstock
from penstock.errors import NodeCancelledError, RunCancelledError, StreamBusyError
from penstock.types import Command
from tests.support import ExpectedNoise, Recorder, checkpoints, collect, run_on, shortly

from ._leaving import (
    FEW_TURNS,
    INPUT,
    NATIVE,
    READING,
    WAYS,
    chain,
    consume,
    counting,
    named,
    reading,
    shielded,
    stuck,
    unfinished,
    without_collector,
)

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

DROPPED = "a stream was dropped while 'node' ran"
CANCELLED = ["node started", "node ended: cancelled"]

reading_ways = pytest.mark.parametrize("way", READING)
all_ways = pytest.mark.parametrize("way", WAYS)


# --- 1: read to the end ----------------------------------------------------------------------------------


@reading_ways
async def test_a01_read_to_the_end(way: str) -> None:
    seen = Recorder()
    async with reading(chain(counting(seen, "a"), counting(seen, "b", chunks=2)), way) as run:
        assert await collect(run) == [0, 1, 2, 0, 1]
        assert seen == ["a started", "a ended", "b started", "b ended"]
        assert await collect(run) == []
        with pytest.raises(StopAsyncIteration):
            await run.__anext__()
        assert await run.result() == {"log": ["a", "b"]}


@reading_ways
async def test_a01_all_cleanup_has_ended_when_the_iteration_ends(way: str) -> None:
    seen = Recorder()

    async def node(state: Any, writer: Any) -> None:
        with seen.span("node"):
            writer(0)
            await shielded(0.01)

    async with reading(chain(node), way) as run:
        async for _ in run:
            pass
        seen("read")
    assert seen == ["node started", "node ended", "read"]


# --- 2: break with a temporary iterator ------------------------------------------------------------------


async def test_a02_break_with_a_temporary_iterator() -> None:
    seen = Recorder()
    with pytest.warns(ResourceWarning, match=DROPPED):
        async for _ in chain(stuck(seen)).astream(INPUT, stream_mode="custom"):
            break
    assert seen == ["node started"]  # the finaliser runs nothing itself: it may be called from anywhere
    await checkpoints(FEW_TURNS)
    assert seen == CANCELLED


async def test_a02_break_leaves_every_nested_and_parallel_node() -> None:
    seen = Recorder()
    inner = chain([stuck(seen, "a"), stuck(seen, "b")])
    with pytest.warns(ResourceWarning, match=r"dropped while .*'[abc]', '[abc]', '[abc]' ran"):
        async for _ in chain([("sub", inner), stuck(seen, "c")]).astream(INPUT, stream_mode="custom", subgraphs=True):
            if len(seen) == 3:
                break
    await checkpoints(2 * FEW_TURNS)
    assert unfinished(seen) == []
    assert len(seen) == 6


async def test_a02_async_with_waits_for_the_finally_blocks() -> None:
    seen = Recorder()
    async with chain(stuck(seen, cleanup=0.05)).astream(INPUT, stream_mode="custom") as run:
        async for _ in run:
            break
    assert seen == CANCELLED


async def test_a02_return_out_of_the_loop() -> None:
    seen = Recorder()

    async def first() -> Any:
        async for chunk in chain(stuck(seen)).astream(INPUT, stream_mode="custom"):
            return chunk

    with pytest.warns(ResourceWarning, match=DROPPED):
        assert await first() == 0
    await checkpoints(FEW_TURNS)
    assert seen == CANCELLED


async def test_a02_no_warning_when_no_node_runs() -> None:
    seen = Recorder()
    async for _ in chain(counting(seen, "a"), counting(seen, "b")).astream(INPUT):
        break
    await checkpoints(FEW_TURNS)
    assert seen == ["a started", "a ended"]  # nor does the next superstep start


async def test_a02_the_run_ends_although_the_warning_is_made_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, ignored = Recorder(), []
    monkeypatch.setattr(sys, "unraisablehook", lambda event: ignored.append(event.exc_type))
    async for _ in chain(stuck(seen)).astream(INPUT, stream_mode="custom"):
        break
    await checkpoints(FEW_TURNS)
    assert seen == CANCELLED
    assert ignored == [ResourceWarning]


# --- 3: break with the iterator kept ---------------------------------------------------------------------


@reading_ways
async def test_a03_a_kept_iterator_can_be_read_on(way: str) -> None:
    seen = Recorder()
    async with reading(chain(counting(seen, "a"), counting(seen, "b")), way) as run:
        assert await collect(run, limit=2) == [0, 1]
        await checkpoints(FEW_TURNS)
        assert await collect(run, limit=2) == [2, 0]
        assert await collect(run) == [1, 2]
    assert unfinished(seen) == []


async def test_a03_a_kept_iterator_keeps_the_run_until_it_is_dropped() -> None:
    seen = Recorder()
    run = chain(stuck(seen)).astream(INPUT, stream_mode="custom")
    await collect(run, limit=1)
    await checkpoints(FEW_TURNS)
    assert seen == ["node started"]
    with pytest.warns(ResourceWarning, match=DROPPED):
        del run
    await checkpoints(FEW_TURNS)
    assert seen == CANCELLED


async def _in_a_cycle(seen: Recorder) -> None:
    run = chain(stuck(seen)).astream(INPUT, stream_mode="custom")
    await collect(run, limit=1)
    cycle: dict[str, Any] = {"run": run}
    cycle["cycle"] = cycle


@pytest.mark.parametrize("where", ["task", "thread"])
async def test_a03_collected_as_garbage_somewhere_else(where: str) -> None:
    seen = Recorder()

    async def collect_garbage() -> None:
        if where == "thread":
            await to_thread.run_sync(gc.collect)
        else:
            gc.collect()

    with without_collector():
        await _in_a_cycle(seen)
        await checkpoints(FEW_TURNS)
        assert seen == ["node started"]
        with pytest.warns(ResourceWarning, match=DROPPED):
            async with anyio.create_task_group() as group:
                group.start_soon(collect_garbage)
    await checkpoints(FEW_TURNS)
    assert seen == CANCELLED


async def test_a03_collected_inside_a_node_of_the_same_run() -> None:
    seen, kept = Recorder(), []

    async def node(state: Any, writer: Any) -> None:
        with seen.span("node"):
            writer(0)
            await checkpoints(1)
            kept.clear()
            seen("collected")
            await anyio.sleep_forever()

    kept.append(chain(node).astream(INPUT, stream_mode="custom"))
    with pytest.warns(ResourceWarning, match=DROPPED):
        assert await kept[0].__anext__() == 0
        await seen.wait_for("collected")
    await checkpoints(FEW_TURNS)
    assert seen == ["node started", "collected", "node ended: cancelled"]


async def test_a03_dropping_an_error_that_nobody_fetched_logs_it(expected_noise: ExpectedNoise) -> None:
    expected_noise.log(r"penstock:ERROR:error in a run whose stream was abandoned \(ValueError\('late'\)\)")

    async def node(state: Any, writer: Any) -> None:
        writer(0)
        raise ValueError("late")

    async for _ in chain(node).astream(INPUT, stream_mode="custom"):
        await checkpoints(FEW_TURNS)
        break


SCRIPT = """
import asyncio, sys
from typing import TypedDict
from penstock.graph import START, StateGraph

class State(TypedDict, total=False):
    n: int

async def node(state: State, writer):
    writer(0)
    await anyio.sleep_forever()

def sync_node(state: State, writer):
    while True:
        writer(0)

import anyio
graph = StateGraph(State).add_node(node).add_edge(START, "node").compile()
threaded = StateGraph(State).add_node(sync_node).add_edge(START, "sync_node").compile()
kept = []

async def main(graph=graph):
    kept.append(graph.astream({"n": 1}, stream_mode="custom"))
    assert await kept[0].__anext__() == 0
"""

EXITS = {
    "kept": "anyio.run(main, backend=BACKEND)",
    "kept, sync node": "anyio.run(main, threaded, backend=BACKEND)",
    "sys.exit": """
async def leave():
    await main()
    sys.exit(0)
anyio.run(leave, backend=BACKEND)
""",
    "in a cycle": """
async def leave():
    await main()
    kept.append(kept)
    del globals()["kept"]
anyio.run(leave, backend=BACKEND)
""",
    "in a module": "sys.stream = kept; anyio.run(main, backend=BACKEND)",
    "reader in a daemon thread": """
import threading
async def read():
    await main()
    reading.set()
    async for _ in kept[0]:
        pass
reading = threading.Event()
threading.Thread(target=lambda: anyio.run(read, backend=BACKEND), daemon=True).start()
reading.wait()
""",
}
ASYNCIO_EXITS = {
    "loop left open": """
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
""",
    "loop closed without a shutdown": """
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
""",
    "reader left in a closed loop": """
async def read():
    await main()
    async for _ in kept[0]:
        pass
loop = asyncio.new_event_loop()
reader = read()
async def start():
    for _ in range(10):
        waits_for = reader.send(None)
        if waits_for is not None:
            waits_for._asyncio_future_blocking = False
        await asyncio.sleep(0)
    assert kept[0].statistics().delivered == 1
loop.run_until_complete(start())
loop.close()
""",
    "sync stream": "s = graph.stream({'n': 1}, stream_mode='custom'); kept.append(s); next(s)",
}


def run_script(text: str, backend: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh interpreter."""
    source = str(Path(penstock.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(
        [sys.executable, "-c", f"BACKEND = {backend!r}\n{SCRIPT}\n{text}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("how", EXITS)
def test_a03_interpreter_exit_with_a_live_stream(how: str, backend: str) -> None:
    if backend == "trio":
        pytest.importorskip("trio")
    ended = run_script(EXITS[how], backend)
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "")


@pytest.mark.parametrize("how", ASYNCIO_EXITS)
def test_a03_interpreter_exit_on_asyncio(how: str) -> None:
    ended = run_script(ASYNCIO_EXITS[how], "asyncio")
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "")


# --- 4: the loop body raises -----------------------------------------------------------------------------


@reading_ways
async def test_a04_an_exception_of_the_body_leaves_as_itself(way: str) -> None:
    seen = Recorder()
    error = KeyError("body")

    async def bare() -> None:
        async for _ in chain(stuck(seen, cleanup=0.01)).astream(INPUT, stream_mode="custom"):
            raise error

    async def strict() -> None:
        async with chain(stuck(seen, cleanup=0.01)).astream(INPUT, stream_mode="custom") as run:
            async for _ in run:
                raise error

    with pytest.raises(KeyError) as caught:
        if way == "bare":
            with pytest.warns(ResourceWarning, match=DROPPED):
                await bare()
        else:
            await strict()
    assert caught.value is error
    assert error.__context__ is None
    assert error.__cause__ is None
    assert not getattr(error, "__notes__", None)
    if way == "bare":
        await seen.wait_for("node ended: cancelled")
    assert seen == CANCELLED


async def test_a04_a_stored_traceback_does_not_keep_the_run_alive() -> None:
    seen = Recorder()
    stored: list[BaseException] = []
    with pytest.warns(ResourceWarning, match=DROPPED):
        try:
            async for _ in chain(stuck(seen)).astream(INPUT, stream_mode="custom"):
                raise KeyError("body")
        except KeyError as error:
            stored.append(error)
    await checkpoints(FEW_TURNS)
    assert seen == CANCELLED


@reading_ways
async def test_a04_an_exception_group_of_the_body_is_not_taken_apart(way: str) -> None:
    group = ExceptionGroup("body", [ValueError("one"), KeyError("two")])
    with pytest.raises(ExceptionGroup) as caught:
        async with reading(chain(counting(Recorder())), way) as run:
            async for _ in run:
                await checkpoints(FEW_TURNS)
                raise group
    assert caught.value is group
    assert [type(e) for e in group.exceptions] == [ValueError, KeyError]


async def test_a04_the_body_wins_over_an_error_of_the_cleanup(expected_noise: ExpectedNoise) -> None:
    expected_noise.log(r"penstock:ERROR:error in a run whose reader had failed before \(OSError\('cleanup'\)\)")
    seen = Recorder()
    with pytest.raises(KeyError, match="body") as caught:
        async with chain(stuck(seen, error=OSError("cleanup"))).astream(INPUT, stream_mode="custom") as run:
            async for _ in run:
                raise KeyError("body")
    assert repr(caught.value.__context__) == "OSError('cleanup')"
    assert seen == ["node started", "node ended: OSError"]


async def test_a04_an_error_of_the_cleanup_is_raised_if_the_body_ended_well() -> None:
    seen = Recorder()
    with pytest.raises(OSError, match="cleanup"):
        async with chain(stuck(seen, error=OSError("cleanup"))).astream(INPUT, stream_mode="custom") as run:
            async for _ in run:
                break
    assert seen == ["node started", "node ended: OSError"]


# --- 5: never iterated -----------------------------------------------------------------------------------


async def test_a05_never_iterated() -> None:
    seen = Recorder()
    graph = chain(stuck(seen))
    graph.astream(INPUT)
    iterator = graph.astream(INPUT).__aiter__()
    del iterator
    await checkpoints(FEW_TURNS)
    assert seen == []


def test_a05_never_iterated_outside_of_any_loop() -> None:
    seen = Recorder()
    run = chain(stuck(seen)).astream(INPUT)
    assert run.statistics().delivered == 0
    run.cancel()
    del run
    assert seen == []


async def test_a05_entered_and_never_iterated() -> None:
    seen = Recorder()
    async with chain(stuck(seen)).astream(INPUT):
        await checkpoints(FEW_TURNS)
    assert seen == []


# --- 6: iterated once, never closed ----------------------------------------------------------------------


async def test_a06_iterated_once_never_closed() -> None:
    seen = Recorder()

    async def first_chunk() -> Any:
        return await chain(stuck(seen)).astream(INPUT, stream_mode="custom").__anext__()

    with pytest.warns(ResourceWarning, match=DROPPED):
        assert await first_chunk() == 0
    await checkpoints(FEW_TURNS)
    assert seen == CANCELLED


async def test_a06_read_to_the_last_chunk_but_not_to_the_end() -> None:
    seen = Recorder()
    run = chain(counting(seen)).astream(INPUT)
    assert await run.__anext__() == {"node": {"log": ["node"]}}
    del run
    await checkpoints(FEW_TURNS)
    assert seen == ["node started", "node ended"]


async def test_a06_cancelled_and_dropped_gives_no_warning() -> None:
    seen = Recorder()
    run = chain(stuck(seen)).astream(INPUT, stream_mode="custom")
    await run.__anext__()
    run.cancel()  # who does this has decided not to wait
    del run
    await checkpoints(FEW_TURNS)
    assert seen == CANCELLED


# --- 7: aclose() and cancel() ----------------------------------------------------------------------------


@reading_ways
async def test_a07_aclose_any_number_of_times(way: str) -> None:
    seen = Recorder()
    async with reading(chain(stuck(seen, cleanup=0.01)), way) as run:
        await collect(run, limit=1)
        await run.aclose()
        assert seen == CANCELLED
        await run.aclose()
        run.cancel()
        await run.aclose()
        assert await collect(run) == []


@reading_ways
async def test_a07_aclose_from_many_tasks_at_once(way: str) -> None:
    seen = Recorder()

    async def close(run: Any) -> None:
        await run.aclose()
        assert unfinished(seen) == []
        seen("closed")

    async with reading(chain(stuck(seen, cleanup=0.01)), way) as run:
        await collect(run, limit=1)
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(close, run)
    assert seen == [*CANCELLED, *["closed"] * 5]


@reading_ways
@pytest.mark.parametrize("end", ["aclose", "cancel"])
async def test_a07_from_another_task_while_a_chunk_is_awaited(way: str, end: str) -> None:
    seen = Recorder()

    async def finish(run: Any) -> None:
        await seen.wait_for("waiting")
        await checkpoints(FEW_TURNS)
        if end == "cancel":
            run.cancel()
        else:
            await run.aclose()
            assert unfinished(seen) == []

    async with reading(chain(stuck(seen, cleanup=0.01)), way) as run:
        async with anyio.create_task_group() as group:
            group.start_soon(finish, run)
            assert await run.__anext__() == 0
            seen("waiting")
            assert await collect(run) == []  # ended, without an error
            assert unfinished(seen) == []
        with pytest.raises(RunCancelledError):
            await run.result()


async def test_a07_unread_chunks_are_dropped() -> None:
    seen = Recorder()
    run = chain(counting(seen)).astream(INPUT, stream_mode="custom")
    assert await run.__anext__() == 0
    await checkpoints(FEW_TURNS)
    await run.aclose()
    assert await collect(run) == []
    assert run.statistics().buffered == 0


@pytest.mark.parametrize("end", ["aclose", "cancel"])
async def test_a07_before_the_start(end: str) -> None:
    seen = Recorder()
    run = chain(stuck(seen)).astream(INPUT)
    if end == "cancel":
        run.cancel()
    else:
        await run.aclose()
    assert await collect(run) == []
    await run.aclose()
    assert seen == []


@reading_ways
async def test_a07_after_the_end(way: str) -> None:
    seen = Recorder()
    async with reading(chain(counting(seen)), way) as run:
        assert await collect(run) == [0, 1, 2]
        await run.aclose()
        run.cancel()
        assert await run.result() == {"log": ["node"]}
    await run.aclose()
    run.cancel()


@reading_ways
async def test_a07_after_an_error(way: str) -> None:
    async def node() -> None:
        raise ValueError("node")

    async with reading(chain(node), way) as run:
        with pytest.raises(ValueError, match="node"):
            await run.__anext__()
        await run.aclose()
        assert await collect(run) == []


async def test_a07_contextlib_aclosing() -> None:
    seen = Recorder()
    async with aclosing(chain(stuck(seen, cleanup=0.01)).astream(INPUT, stream_mode="custom")) as run:
        async for _ in run:
            break
    assert seen == CANCELLED


async def test_a07_an_error_of_the_cleanup_is_logged(expected_noise: ExpectedNoise) -> None:
    expected_noise.log(r"penstock:ERROR:error in a run that was being closed \(OSError\('cleanup'\)\)")
    run = chain(stuck(Recorder(), error=OSError("cleanup"))).astream(INPUT, stream_mode="custom")
    await run.__anext__()
    await run.aclose()
    await run.aclose()


async def test_a07_by_a_node_of_the_run_itself() -> None:
    seen, kept = Recorder(), []

    async def node() -> None:
        with seen.span("node"):
            await kept[0].aclose()
            seen("not reached")

    kept.append(chain(node).astream(INPUT))
    with anyio.fail_after(5):
        assert await collect(kept[0]) == []
    assert seen == CANCELLED


# --- 8: two readers --------------------------------------------------------------------------------------


@reading_ways
async def test_a08_a_second_reader_is_refused_and_the_run_unharmed(way: str) -> None:
    seen, got = Recorder(), []

    async def node(state: Any, writer: Any) -> None:
        for i in range(3):
            writer(i)
            await seen.wait_for(f"refused {i}")

    async def read(run: Any) -> None:
        async for chunk in run:
            got.append(chunk)

    async with reading(chain(node), way) as run:
        async with anyio.create_task_group() as group:
            group.start_soon(read, run)
            for i in range(3):
                while len(got) <= i:
                    await anyio.sleep(0.001)
                await checkpoints(2)
                with pytest.raises(StreamBusyError, match="being read by another task"):
                    await run.__anext__()
                seen(f"refused {i}")
    assert got == [0, 1, 2]


async def test_a08_result_is_a_reader_too() -> None:
    seen = Recorder()
    run = chain(stuck(seen)).astream(INPUT, stream_mode="custom")
    async with anyio.create_task_group() as group:
        group.start_soon(collect, run)
        await seen.wait_for("node started")
        await checkpoints(FEW_TURNS)
        with pytest.raises(StreamBusyError):
            await run.result()
        assert seen == ["node started"]
        await run.aclose()


@pytest.mark.parametrize("readers", [2, 5])
async def test_a08_readers_that_start_together_lose_nothing(readers: int) -> None:
    """All chunks arrive exactly once, however the readers take turns, and no reader waits for ever."""
    got: list[int] = []
    refused = 0

    async def node(state: Any, writer: Any) -> None:
        for i in range(500):
            writer(i)
            if i % 7 == 0:
                await checkpoints(1)

    async def read(run: Any) -> None:
        nonlocal refused
        while True:
            try:
                got.append(await run.__anext__())
            except StopAsyncIteration:
                return
            except StreamBusyError:
                refused += 1
                await checkpoints(1)

    run = chain(node).astream(INPUT, stream_mode="custom")
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for _ in range(readers):
                group.start_soon(read, run)
    assert sorted(got) == list(range(500))
    assert refused


async def test_a08_a_reader_on_another_loop(backend_id: str) -> None:
    seen = Recorder()
    run = chain(stuck(seen)).astream(INPUT, stream_mode="custom")
    await run.__anext__()
    with pytest.raises(StreamBusyError, match="event loop in which it was started"):
        await to_thread.run_sync(run_on, backend_id, run.__anext__)
    assert seen == ["node started"]
    await run.aclose()


async def test_a08_entering_a_stream_that_was_started() -> None:
    seen = Recorder()
    run = chain(stuck(seen)).astream(INPUT, stream_mode="custom")
    await run.__anext__()
    with pytest.raises(StreamBusyError, match="started already"):
        async with run:
            pass
    assert seen == ["node started"]
    await run.aclose()


# --- 9: iteration moves to another task ------------------------------------------------------------------


@reading_ways
async def test_a09_every_chunk_read_by_another_task(way: str) -> None:
    seen, got = Recorder(), []

    async def read_one(run: Any) -> None:
        got.append(await run.__anext__())

    async with reading(chain(counting(seen, "a"), counting(seen, "b")), way) as run:
        for _ in range(6):
            async with anyio.create_task_group() as group:
                group.start_soon(read_one, run)
        assert await collect(run) == []
    assert got == [0, 1, 2, 0, 1, 2]


async def test_a09_the_task_that_started_it_may_end_first() -> None:
    seen, handed_over = Recorder(), []

    async def start() -> None:
        handed_over.append(chain(counting(seen)).astream(INPUT, stream_mode="custom"))
        assert await handed_over[0].__anext__() == 0

    async with anyio.create_task_group() as group:
        group.start_soon(start)
    assert await collect(handed_over[0]) == [1, 2]


# --- 10: wrapped by an async generator of the user's -----------------------------------------------------


async def _wrapped(graph: Any, way: str) -> Any:
    async with reading(graph, way) as run:
        async for chunk in run:
            yield chunk


@reading_ways
async def test_a10_a_generator_around_it_that_is_closed(way: str) -> None:
    seen = Recorder()
    async with aclosing(_wrapped(chain(counting(seen)), way)) as chunks:
        assert [chunk async for chunk in chunks] == [0, 1, 2]
    async with aclosing(_wrapped(chain(stuck(seen)), "strict")) as chunks:
        async for _ in chunks:
            break
    assert unfinished(seen) == []


async def test_a10_a_generator_around_it_that_is_closed_early() -> None:
    seen = Recorder()
    with pytest.warns(ResourceWarning, match=DROPPED):
        async with aclosing(_plain(chain(stuck(seen)))) as chunks:
            async for _ in chunks:
                break
    await checkpoints(FEW_TURNS)
    assert seen == CANCELLED


async def _plain(graph: Any) -> Any:
    async for chunk in graph.astream(INPUT, stream_mode="custom"):
        yield chunk


async def test_a10_a_generator_around_it_that_is_abandoned() -> None:
    seen = Recorder()
    with pytest.warns(ResourceWarning) as warned:
        async for _ in _plain(chain(stuck(seen))):
            break
        gc.collect()
        await seen.wait_for("node ended: cancelled")
    ours = [w for w in warned if "Async generator" not in str(w.message)]  # which is trio's, about the generator
    assert [str(w.message).startswith(DROPPED) for w in ours] == [True]
    assert seen == CANCELLED


# --- 11: the loop shuts down -----------------------------------------------------------------------------


@pytest.mark.usefixtures("backend_id")
@pytest.mark.parametrize("cleanup", [0.0, 0.01])
@pytest.mark.parametrize("parallel", [False, True])
def test_a11_the_loop_ends_with_a_live_run(backend_id: str, cleanup: float, parallel: bool) -> None:
    seen, kept = Recorder(), []

    async def node(state: Any, writer: Any) -> None:
        with seen.span("node"):
            writer(0)
            try:
                await anyio.sleep_forever()
            finally:
                if cleanup:
                    await anyio.sleep(cleanup)

    async def main() -> None:
        nodes = [node, stuck(seen, "other")] if parallel else node
        kept.append(chain(nodes).astream(INPUT, stream_mode="custom"))
        await kept[0].__anext__()

    run_on(backend_id, main)
    assert unfinished(seen) == []
    kept.clear()  # after the loop has gone: silent as well


def test_a11_break_as_the_last_statement(backend_id: str) -> None:
    seen = Recorder()

    async def main() -> None:
        async for _ in chain(stuck(seen)).astream(INPUT, stream_mode="custom"):
            break

    with pytest.warns(ResourceWarning, match=DROPPED):
        run_on(backend_id, main)
    assert seen == CANCELLED


def test_a11_between_two_supersteps(backend_id: str) -> None:
    seen, kept = Recorder(), []

    async def main() -> None:
        kept.append(chain(counting(seen, "a"), counting(seen, "b")).astream(INPUT))
        await kept[0].__anext__()

    run_on(backend_id, main)
    assert seen == ["a started", "a ended"]


def test_a11_with_a_sync_node(backend_id: str) -> None:
    seen, kept = Recorder(), []

    def node(state: Any, writer: Any) -> None:
        seen("started")
        try:
            while True:
                writer(0)
        finally:
            seen("ended")

    async def main() -> None:
        kept.append(chain(node).astream(INPUT, stream_mode="custom"))
        await kept[0].__anext__()

    run_on(backend_id, main)
    assert seen == ["started", "ended"]
    for thread in threading.enumerate():
        if "AnyIO worker" in thread.name and not thread.daemon:
            thread.join(10)  # anyio has told it to stop, and does not wait for it
            assert not thread.is_alive()


def test_a11_with_a_reader_in_a_background_task(backend_id: str) -> None:
    """Host, node and reader are cancelled by the loop itself, in any order."""
    seen, tasks = Recorder(), []

    async def read() -> None:
        with seen.span("reader"):
            async for _ in chain([stuck(seen, "a"), stuck(seen, "b")]).astream(INPUT, stream_mode="custom"):
                pass

    async def main() -> None:
        if backend_id == "trio":
            import trio

            trio.lowlevel.spawn_system_task(read)
        else:
            import asyncio

            tasks.append(asyncio.ensure_future(read()))
        await seen.wait_for("b started")
        await checkpoints(FEW_TURNS)

    run_on(backend_id, main)
    assert unfinished(seen) == []
    assert "reader ended: cancelled" in seen


def test_a11_the_stream_says_so_when_it_is_read_on_another_loop(backend_id: str) -> None:
    kept: list[Any] = []

    async def main() -> None:
        kept.append(chain(stuck(Recorder())).astream(INPUT, stream_mode="custom"))
        await kept[0].__anext__()

    async def again() -> None:
        with pytest.raises((RunCancelledError, NodeCancelledError), match="event loop was shut down|from outside"):
            await kept[0].__anext__()
        await kept[0].aclose()

    run_on(backend_id, main)
    run_on(backend_id, again)


@pytest.mark.backends(*NATIVE)
async def test_a11_the_reader_is_closed_where_it_waits() -> None:
    """`coroutine.close()` gives the reader no chance to wait."""
    seen = Recorder()

    async def read() -> None:
        async for _ in chain(stuck(seen)).astream(INPUT, stream_mode="custom"):
            pass

    reader = read()
    for _ in range(10):
        waits_for = reader.send(None)
        if waits_for is not None:
            waits_for._asyncio_future_blocking = False
        await checkpoints(1)
    assert seen == ["node started"]
    with pytest.warns(ResourceWarning, match=DROPPED):
        reader.close()
    await checkpoints(FEW_TURNS)
    assert seen == CANCELLED


# --- runs inside nodes -----------------------------------------------------------------------------------


@all_ways
@pytest.mark.parametrize("how", ["kept", "dropped", "raised"])
@pytest.mark.filterwarnings("ignore:a stream was dropped:ResourceWarning")
async def test_a06_a_run_abandoned_inside_a_node_ends_before_the_node(way: str, how: str) -> None:
    seen, kept = Recorder(), []
    inner = [chain(stuck(seen, name, cleanup=0.01)) for name in ("inner1", "inner2")]

    async def node() -> None:
        for graph in inner:
            run = graph.astream(INPUT, stream_mode="custom")
            assert await run.__anext__() == 0
            if how != "dropped":
                kept.append(run)
        if how == "raised":
            raise ValueError("node")

    @named("after")
    async def after() -> None:
        seen("after")
        assert unfinished(seen) == []

    if how == "raised":
        with pytest.raises(ValueError, match="node"):
            await consume(chain(node, after), way)
    else:
        await consume(chain(node, after), way)
        assert "after" in seen
    assert unfinished(seen) == []
    assert len([mark for mark in seen if "inner" in str(mark)]) == 4


# --- nothing is left for the garbage collector -----------------------------------------------------------


class Thing:
    """Something in the state, or on a node's stack, that must not outlive the run."""


class Watch:
    """Makes things and knows which of them are alive."""

    def __init__(self) -> None:
        self._refs: list[tuple[str, weakref.ref[Thing]]] = []

    def thing(self, name: str) -> Thing:
        made = Thing()
        self._refs.append((name, weakref.ref(made)))
        return made

    @property
    def alive(self) -> list[str]:
        return [name for name, ref in self._refs if ref() is not None]


def _watched(watch: Watch, ending: str) -> Any:
    async def node(state: Any, writer: Any) -> Any:
        local = watch.thing("local")
        writer(watch.thing("chunk"))
        await checkpoints(1)
        if ending in ("fail", "cleanup fails"):
            raise ValueError("node")
        if ending in ("bad update", "bad updates"):
            return local
        if ending in ("break", "aclose", "body", "cancelled"):
            await anyio.sleep_forever()
        return {"log": [watch.thing("update")]}

    @named("other")
    async def other(state: Any, writer: Any) -> None:
        await writer(watch.thing("chunk"))
        if ending == "cleanup fails":
            local = watch.thing("local")
            try:
                await anyio.sleep_forever()
            finally:
                del local
                raise OSError("cleanup")
        if ending == "late":
            raise ValueError("late")

    def sync(state: Any, writer: Any) -> None:
        writer(watch.thing("chunk"))

    if ending == "subgraph fails":
        failing = _watched(watch, "fail")

        async def calls(state: Any) -> Any:
            return await failing.ainvoke(state)

        return chain(calls)
    if ending == "bad updates":
        return chain([node, other])
    if ending == "handover":
        return chain(("sub", chain([_handing_over(watch), other])), node)
    if ending == "nested":
        return chain(("sub", chain(node, sync)), [node, sync])
    if ending == "timeout":
        return chain(stuck(Recorder()), timeout=0.01)
    return chain(node, [other, sync])


def _handing_over(watch: Watch) -> Any:
    async def node(state: Any) -> Command[Any]:
        local = watch.thing("local")
        await checkpoints(1)
        del local
        return Command(graph=Command.PARENT, update={"log": [watch.thing("update")]}, goto="node")

    return node


async def _end(graph: Any, way: str, ending: str, watch: Watch) -> None:
    """One run, ended somehow; afterwards nobody refers to it."""
    given = {"log": [watch.thing("input")]}
    try:
        with anyio.move_on_after(shortly() if ending == "cancelled" else 10):
            if way == "ainvoke":
                await graph.ainvoke(given)
                return
            stream = graph.astream(given, stream_mode=["custom", "updates", "values"])
            if way == "strict":
                async with stream as run:
                    await _leave(run, ending)
                return
            if ending == "aclose":
                await _leave(stream, ending)
                await stream.aclose()
            else:
                await _leave(stream, ending)
    except (ValueError, KeyError, OSError):
        pass


async def _leave(run: Any, ending: str) -> None:
    async for mode, _ in run:
        if ending == "body":
            raise KeyError("body")
        if mode == "custom" and ending in ("break", "aclose", "late"):
            if ending == "late":
                await checkpoints(FEW_TURNS)
            break


COMMON = [
    "complete",
    "nested",
    "handover",
    "fail",
    "subgraph fails",
    "bad update",
    "bad updates",
    "cleanup fails",
    "timeout",
    "cancelled",
]


@pytest.mark.parametrize(
    ("way", "ending"),
    [*itertools.product(WAYS, COMMON), *itertools.product(READING, ["break", "aclose", "body", "late"])],
)
@pytest.mark.filterwarnings("ignore:a stream was dropped:ResourceWarning")
async def test_a01_nothing_of_a_run_waits_for_the_garbage_collector(
    way: str, ending: str, expected_noise: ExpectedNoise
) -> None:
    expected_noise.allow("OSError", "late")
    watch = Watch()
    graph = _watched(watch, ending)
    await _end(graph, way, "complete" if ending == "nested" else ending, watch)  # warms caches up
    with without_collector():
        await _end(graph, way, ending, watch)
        patience = time.monotonic() + 2
        while watch.alive and time.monotonic() < patience:
            await checkpoints(1)
            time.sleep(0.001)  # a worker thread may still be putting its last call away
        assert watch.alive == []
