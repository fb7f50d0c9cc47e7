"""Cancelling a run at the n-th scheduling point, for every n until it ends by itself: case 21."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from penstock.types import RetryPolicy
from tests.support import Recorder, checkpoints, leftover_tasks, live_tasks

from ._leaving import INPUT, NATIVE, READING, WAYS, cancelled_at, chain, consume, named, unfinished

MOST_TURNS = 3000
"""A run that has not ended after so many turns never will."""

EXPECTED = {"a": 3, "b": 4, "inner": 2, "last": 2}
"""How many chunks each node of `everything` writes."""
STEP = {"a": 1, "b": 1, "inner": 2, "last": 3}
"""The superstep each of them belongs to."""

CUT_OFF = "cut off"
STARTS_AT_ONCE = [f"{name} started" for name in ("a", "b", "inner", "caller")]
"""What lies in the scope that is cancelled, and needs no thread: it does not start any more once that is cancelled."""


def everything(seen: Recorder, *, threads: bool = False) -> Any:
    """A graph that does what a run can do: write in every way, clean up, nest, call, retry, fan out."""

    @named("a")
    async def plain(state: Any, writer: Any) -> Any:
        with seen.span("a"):
            try:
                for i in range(EXPECTED["a"]):
                    writer(("a", i))
                    await anyio.lowlevel.checkpoint()
            finally:
                with anyio.CancelScope(shield=True):
                    await checkpoints(2)
        return {"log": ["a"]}

    @named("b")
    async def awaiting(state: Any, writer: Any) -> Any:
        with seen.span("b"):
            async with anyio.create_task_group() as group:
                for i in range(EXPECTED["b"]):
                    await writer(("b", i))
                    group.start_soon(anyio.lowlevel.checkpoint)
        return {"log": ["b"]}

    @named("inner")
    async def inner(state: Any, writer: Any) -> Any:
        with seen.span("inner"):
            for i in range(EXPECTED["inner"]):
                await writer(("inner", i))
        return {"log": ["inner"]}

    @named("child")
    async def child(state: Any, writer: Any) -> Any:
        with seen.span("child"):
            writer("child")
            await checkpoints(2)
            if "tried" not in seen:
                seen("tried")
                raise ConnectionError
        return {"log": ["child"]}

    calls = chain(child, retry_policy=RetryPolicy(initial_interval=0, jitter=False))

    @named("caller")
    async def caller(state: Any) -> Any:
        with seen.span("caller"):
            left = calls.astream(INPUT, stream_mode="custom")
            await left.__anext__()
            await calls.ainvoke(INPUT)
        return {"log": ["caller"]}

    @named("last")
    def in_thread(state: Any, writer: Any) -> Any:
        seen("last started")
        try:
            for i in range(EXPECTED["last"]):
                writer(("last", i))
        finally:
            seen("last ended")
        return {"log": ["last"]}

    @named("last")
    async def last(state: Any, writer: Any) -> Any:
        with seen.span("last"):
            for i in range(EXPECTED["last"]):
                writer(("last", i))
        return {"log": ["last"]}

    return chain([plain, awaiting], [("sub", chain(inner)), caller], in_thread if threads else last)


def numbers_of(name: str, got: list[Any]) -> list[int]:
    """What the chunks of one node say."""
    return [chunk[1] for _, chunk in got if chunk[0] == name]


def check(seen: Recorder, got: list[Any], turn: int) -> None:
    """What holds wherever a run was cut off."""
    assert unfinished(seen) == [], turn
    for name in EXPECTED:
        numbers = numbers_of(name, got)
        assert numbers == list(range(len(numbers))), turn  # nothing lost, doubled or overtaken
    steps = [STEP[chunk[0]] for _, chunk in got if chunk != "child"]
    assert steps == sorted(steps), turn


def check_complete(seen: Recorder, got: list[Any], way: str) -> None:
    """What holds for the run that was not cut off any more."""
    check(seen, got, 0)
    for name, chunks in EXPECTED.items():
        assert f"{name} ended" in seen
        if way != "ainvoke":
            assert len(numbers_of(name, got)) == chunks
    assert "child ended" in seen


async def run(graph: Any, way: str, got: list[Any]) -> None:
    """One run, read from its start to its end, with next to no room between the nodes and the reader."""
    if way == "ainvoke":
        await graph.ainvoke(INPUT)
    else:
        await consume(graph, way, got, subgraphs=True, high_water_mark=2)


async def at_every_turn(
    way: str, threads: bool, cut_off: Callable[[int, Callable[[], Awaitable[None]], Recorder], Awaitable[bool]]
) -> None:
    """Cut runs off at ever later turns until one ends by itself."""
    for turn in range(1, MOST_TURNS):
        seen, got = Recorder(), list[Any]()
        known = live_tasks()
        graph = everything(seen, threads=threads)
        if not await cut_off(turn, lambda graph=graph, got=got: run(graph, way, got), seen):
            check_complete(seen, got, way)
            assert turn > 20
            return
        check(seen, got, turn)
        assert await leftover_tasks(known) == [], turn
    raise AssertionError(f"not ended after {MOST_TURNS} turns")


THREADS = pytest.mark.parametrize("threads", [False, True], ids=["async", "threads"])


@pytest.mark.parametrize("way", WAYS)
@THREADS
@pytest.mark.filterwarnings("ignore:a stream was dropped:ResourceWarning")
async def test_b21_a_scope_cancelled_at_every_point(way: str, threads: bool, backend_id: str) -> None:
    async def cut_off(turn: int, body: Callable[[], Awaitable[None]], seen: Recorder) -> bool:
        cancelled = await cancelled_at(turn, body, lambda: seen(CUT_OFF), trio=backend_id == "trio")
        if cancelled and way != "bare":  # whose nodes hear of it from the reader
            late = [mark for mark in list(seen)[list(seen).index(CUT_OFF) :] if mark in STARTS_AT_ONCE]
            assert late == [], turn
        return cancelled

    await at_every_turn(way, threads, cut_off)


@pytest.mark.backends(*NATIVE)
@pytest.mark.parametrize("way", WAYS)
@THREADS
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.filterwarnings("ignore:a stream was dropped:ResourceWarning")
async def test_b21_a_task_cancelled_natively_at_every_point(way: str, threads: bool, times: int) -> None:
    async def cut_off(turn: int, body: Callable[[], Awaitable[None]], seen: Recorder) -> bool:
        task = asyncio.ensure_future(body())
        await checkpoints(turn)
        for _ in range(times):
            task.cancel()
            await checkpoints(1)
        try:
            await task
        except asyncio.CancelledError:
            assert task.cancelled()
            return True
        return False

    await at_every_turn(way, threads, cut_off)


@pytest.mark.parametrize("way", READING)
@pytest.mark.parametrize("end", ["cancel", "aclose"])
@pytest.mark.filterwarnings("ignore:a stream was dropped:ResourceWarning")
async def test_b21_a_run_ended_by_another_task_at_every_point(way: str, end: str) -> None:
    """The reader is not cancelled: its iteration just ends."""
    for turn in range(1, MOST_TURNS):
        seen, got = Recorder(), list[Any]()
        stream = everything(seen).astream(INPUT, stream_mode="custom", subgraphs=True, high_water_mark=2)

        async def end_it(stream: Any = stream, seen: Recorder = seen, turn: int = turn) -> None:
            await checkpoints(turn)
            if end == "cancel":
                stream.cancel()
            else:
                await stream.aclose()
                assert unfinished(seen) == [], turn

        async with anyio.create_task_group() as group:
            group.start_soon(end_it)
            if way == "bare":
                got += [chunk async for chunk in stream]
                assert unfinished(seen) == [], turn
            else:
                async with stream as run:
                    got += [chunk async for chunk in run]
            group.cancel_scope.cancel()
        check(seen, got, turn)
        if len(numbers_of("last", got)) == EXPECTED["last"]:
            check_complete(seen, got, way)
            assert turn > 20
            return
    raise AssertionError(f"not ended after {MOST_TURNS} turns")
