"""What `astream()` and `stream()` return: pace, `result()`, `statistics()`, `drain()`, `cancel()`, `aclose()`."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from penstock.errors import RunCancelledError, StreamBusyError
from penstock.graph import START, CompiledStateGraph, StateGraph
from penstock.runtime import RunStream, SyncRunStream
from tests.support import Recorder, checkpoints, collect

from ._graphs import State, line

INPUT: dict[str, Any] = {"log": [], "text": "t"}


def recorded(seen: Recorder, *names: str) -> CompiledStateGraph[State]:
    """Nodes in a line that note when they run."""

    def node(name: str) -> Any:
        async def run(state: State) -> Any:
            with seen.span(name):
                await anyio.sleep(0)
            return {"log": [name]}

        return run

    return StateGraph(State).add_sequence([(n, node(n)) for n in names]).add_edge(START, names[0]).compile()


def sleeper(seen: Recorder) -> CompiledStateGraph[State]:
    async def sleep(state: State) -> None:
        with seen.span("sleep"):
            await anyio.sleep(1000)

    return StateGraph(State).add_node(sleep).add_edge(START, "sleep").compile()


# ---------------------------------------------------------------- pace


async def test_nothing_runs_before_the_first_chunk_is_asked_for() -> None:
    seen = Recorder()
    stream = recorded(seen, "a").astream(INPUT)
    await checkpoints(20)
    assert seen == []
    await stream.aclose()
    assert await collect(stream) == []
    assert seen == []


@pytest.mark.parametrize(("run_ahead", "ran"), [(0, "a"), (1, "ab"), (2, "abc"), (9, "abcde")])
async def test_run_ahead_is_how_many_supersteps_may_be_finished_unread(run_ahead: int, ran: str) -> None:
    seen = Recorder()
    async with recorded(seen, *"abcde").astream(INPUT, run_ahead=run_ahead) as run:
        assert await anext(run) == {"a": {"log": ["a"]}}
        await checkpoints(200)
        assert [mark for mark in seen if str(mark).endswith("started")] == [f"{n} started" for n in ran]
        assert [list(chunk) for chunk in await collect(run)] == [["b"], ["c"], ["d"], ["e"]]


async def test_leaving_the_loop_ends_the_run() -> None:
    seen = Recorder()
    async for _ in recorded(seen, "a", "b").astream(INPUT):
        break
    await checkpoints(20)
    assert seen == ["a started", "a ended"]


# ---------------------------------------------------------------- result


async def test_result_is_what_ainvoke_returns() -> None:
    graph = line("a", "b")
    async with graph.astream(INPUT, stream_mode="custom") as run:
        assert await run.result() == await graph.ainvoke(INPUT)
        assert await run.result() == {"log": ["a", "b"]}, "and again"
        assert await collect(run) == [], "what was unread is gone"


async def test_result_after_the_last_chunk_and_after_the_block() -> None:
    async with line("a").astream(INPUT) as run:
        assert await collect(run) == [{"a": {"log": ["a"]}}]
        assert await run.result() == {"log": ["a"]}
    assert await run.result() == {"log": ["a"]}
    bare = line("a").astream(INPUT, output_keys="log")
    assert await bare.result() == ["a"]


async def test_result_raises_the_error_of_the_run() -> None:
    def fail(state: State) -> None:
        raise ValueError("no")

    graph = StateGraph(State).add_node(fail).add_edge(START, "fail").compile()
    run = graph.astream(INPUT)
    with pytest.raises(ValueError, match="no"):
        await run.result()
    with pytest.raises(RunCancelledError, match=r"no result; its error was raised before: ValueError\('no'\)"):
        await run.result()


async def test_a_cancelled_run_has_no_result() -> None:
    async with sleeper(Recorder()).astream(INPUT) as run:
        run.cancel()
        with pytest.raises(RunCancelledError, match="cancelled before it had a result"):
            await run.result()
    unstarted = line("a").astream(INPUT)
    unstarted.cancel()
    with pytest.raises(RunCancelledError):
        await unstarted.result()


# ---------------------------------------------------------------- statistics


async def test_statistics_tell_what_was_read_and_what_is_left() -> None:
    async with line("a", "b").astream(INPUT, stream_mode=["custom", "updates"], high_water_mark=7) as run:
        before = run.statistics()
        assert (before.delivered, before.buffered, before.high_water_mark) == (0, 0, 7)
        await anext(run)
        await checkpoints(20)
        during = run.statistics()
        assert (during.delivered, during.buffered, during.dropped) == (1, 1, 0)
        await collect(run)
        after = run.statistics()
        assert (after.delivered, after.buffered, after.running) == (4, 0, ())
        assert after.peak >= 1
    assert run.statistics().delivered == 4


async def test_statistics_name_the_nodes_that_run_the_innermost_of_nested_ones() -> None:
    seen = Recorder()
    graph = StateGraph(State).add_node("sub", sleeper(seen)).add_edge(START, "sub").compile()
    async with graph.astream(INPUT) as run:
        async with anyio.create_task_group() as group:
            group.start_soon(collect, run)
            await seen.wait_for("sleep started")
            assert run.statistics().running == ("sleep",)
            run.cancel()
    assert run.statistics().running == ()


async def test_statistics_of_a_stream_that_has_not_been_started() -> None:
    statistics = line("a").astream(INPUT, high_water_mark=5).statistics()
    assert (statistics.high_water_mark, statistics.delivered, statistics.running) == (5, 0, ())


# ---------------------------------------------------------------- drain, cancel, aclose


async def test_drain_finishes_the_superstep_and_starts_no_other() -> None:
    seen = Recorder()
    async with recorded(seen, "a", "b", "c").astream(INPUT, stream_mode="values") as run:
        await anext(run)
        run.drain()
        assert await collect(run) == []
        assert await run.result() == {"log": [], "text": "t"}
    assert seen == []
    async with recorded(seen, "a", "b").astream(INPUT, stream_mode=["custom", "updates", "values"]) as run:
        await anext(run)
        async for mode, chunk in run:
            await run.drain()
            assert (mode, chunk) in [("updates", {"a": {"log": ["a"]}}), ("values", {"log": ["a"], "text": "t"})]
    assert "b started" not in seen


async def test_a_drained_run_has_the_result_so_far() -> None:
    async with line("a", "b").astream(INPUT) as run:
        await anext(run)
        run.drain()
        assert await run.result() == {"log": ["a"]}


@pytest.mark.parametrize("times", [1, 3])
async def test_cancel_ends_the_nodes_and_the_iteration(times: int) -> None:
    seen = Recorder()
    async with sleeper(seen).astream(INPUT) as run:
        async with anyio.create_task_group() as group:

            async def cancel() -> None:
                await seen.wait_for("sleep started")
                for _ in range(times):
                    run.cancel()

            group.start_soon(cancel)
            assert await collect(run) == []
    assert seen == ["sleep started", "sleep ended: cancelled"]


async def test_cancel_and_aclose_before_the_start_and_after_the_end() -> None:
    for end in ("cancel", "aclose"):
        stream = line("a").astream(INPUT)
        for _ in range(2):
            result = getattr(stream, end)()
            if result is not None:
                await result
        assert await collect(stream) == []
        finished = line("a").astream(INPUT)
        await collect(finished)
        finished.cancel()
        await finished.aclose()


async def test_a_stream_is_started_once() -> None:
    stream = line("a").astream(INPUT)
    await anext(stream)
    with pytest.raises(StreamBusyError, match=r"started already; call astream\(\) again"):
        async with stream:
            pass
    await stream.aclose()
    async with line("a").astream(INPUT) as run:
        assert isinstance(run, RunStream)
        with pytest.raises(StreamBusyError):
            async with run:
                pass


async def test_a_stream_has_one_reader() -> None:
    seen = Recorder()
    async with sleeper(seen).astream(INPUT) as run:
        async with anyio.create_task_group() as group:
            group.start_soon(collect, run)
            await seen.wait_for("sleep started")
            with pytest.raises(StreamBusyError, match="read by another task; a run has one reader"):
                await anext(run)
            run.cancel()


# ---------------------------------------------------------------- the sync API


def test_a_sync_stream_is_an_iterator_and_a_context_manager() -> None:
    with line("a", "b").stream(INPUT) as run:
        assert isinstance(run, SyncRunStream)
        assert iter(run) is run
        assert next(run) == {"a": {"log": ["a"]}}
        assert run.result() == {"log": ["a", "b"]}
    assert list(run) == []


def test_close_of_a_sync_stream_before_during_and_after() -> None:
    unstarted = line("a").stream(INPUT)
    unstarted.close()
    assert list(unstarted) == []
    seen = Recorder()
    started = recorded(seen, "a", "b").stream(INPUT)
    next(started)
    started.close()
    started.close()
    assert list(started) == []
    assert seen == ["a started", "a ended"]
    finished = line("a").stream(INPUT)
    assert len(list(finished)) == 1
    finished.close()


def test_leaving_a_sync_loop_ends_the_run() -> None:
    seen = Recorder()
    for _ in recorded(seen, "a", "b").stream(INPUT):
        break
    assert seen == ["a started", "a ended"]
