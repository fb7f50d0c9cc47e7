"""Many runs: nothing adds up. Cases 47 and 48, for seconds; `PENSTOCK_SOAK=1` runs them at full length."""

from __future__ import annotations

import gc
import os
import random
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from penstock.types import RetryPolicy
from tests.support import checkpoints, collect, live_tasks

from ._failing import State, in_a_row, side_by_side

FULL = bool(os.environ.get("PENSTOCK_SOAK"))
SHORT_RUNS = 100_000 if FULL else 300
ABANDONED_RUNS = 10_000 if FULL else 150
SYNC_RUNS = 20_000 if FULL else 150
CONCURRENT_RUNS = 1_000 if FULL else 40
SECONDS = 60.0 if FULL else 0.5

FDS = Path("/proc/self/fd")


def resources() -> dict[str, int]:
    """What a leak would show in."""
    gc.collect()
    found = {
        "threads": threading.active_count(),
        "tasks": len(live_tasks()),
        "objects": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
    }
    if FDS.exists():
        found["file descriptors"] = len(list(FDS.iterdir()))
    return found


def compare(before: dict[str, int], after: dict[str, int], runs: int) -> None:
    """A leak of one object per run, or of a thread or descriptor in ten runs, would show."""
    growth = {kind: after[kind] - before[kind] for kind in before}
    allowed = {"threads": 2, "tasks": 0, "file descriptors": 2, "objects": runs // 2, "blocks": runs}
    assert all(growth[kind] <= allowed[kind] for kind in growth), growth


async def flat(run: Callable[[int], Awaitable[None]], runs: int) -> None:
    """Run something often; after the first tenth the process does not grow any more."""
    for i in range(max(20, runs // 10)):
        await run(i)
    await checkpoints(20)
    before = resources()
    for i in range(runs):
        await run(i)
    await checkpoints(20)
    compare(before, resources(), runs)


async def write_some(state: State, writer: Any) -> Any:
    for i in range(3):
        await writer(i)
    return {"log": ["done"]}


def write_in_thread(state: State, writer: Any) -> Any:
    for i in range(3):
        writer(i)


async def write_for_ever(state: State, writer: Any) -> None:
    i = 0
    while True:
        await writer(i)
        await checkpoints(1)
        i += 1


async def fail(state: State, writer: Any) -> None:
    writer(1)
    await checkpoints(1)
    raise ConnectionError


NESTED = in_a_row(write_some, ("inner", side_by_side(("a", write_some), ("b", write_some))))


async def test_c47_short_runs_leave_nothing() -> None:
    failing = side_by_side(("a", write_some), fail)

    async def run(i: int) -> None:
        if i % 3 == 0:
            assert (await NESTED.ainvoke({"n": 0}))["log"] == ["done"] * 4
        elif i % 3 == 1:
            assert len(await collect(NESTED.astream({"n": 0}, stream_mode=["custom", "updates", "values"]))) > 3
        else:
            with pytest.raises(ConnectionError):
                async with failing.astream({"n": 0}, stream_mode="custom") as stream:
                    await collect(stream)

    await flat(run, SHORT_RUNS)


async def test_c47_short_runs_with_threads_leave_nothing() -> None:
    graph = in_a_row(write_in_thread, write_some)

    async def run(i: int) -> None:
        assert len(await collect(graph.astream({"n": 0}, stream_mode="custom"))) == 6

    await flat(run, SHORT_RUNS // 4)


async def test_c47_abandoned_runs_leave_nothing() -> None:
    graph = side_by_side(write_for_ever, ("two", write_for_ever))

    async def run(i: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            async for _ in graph.astream({"n": 0}, stream_mode="custom"):
                break
        await checkpoints(10)

    await flat(run, ABANDONED_RUNS)


def test_c47_sync_runs_leave_nothing() -> None:
    graph = in_a_row(write_some, write_in_thread)
    endless = side_by_side(write_for_ever)

    def run(i: int) -> None:
        assert graph.invoke({"n": 0})["log"] == ["done"]
        assert len(list(graph.stream({"n": 0}, stream_mode="custom"))) == 6
        for _ in endless.stream({"n": 0}, stream_mode="custom"):
            break

    for i in range(20):
        run(i)
    before = sync_resources()
    for i in range(SYNC_RUNS):
        run(i)
    compare(before, sync_resources(), SYNC_RUNS)


def sync_resources() -> dict[str, int]:
    time.sleep(0.05)  # the portal's loop may still be clearing up
    gc.collect()
    found = {"threads": threading.active_count(), "objects": len(gc.get_objects()), "blocks": sys.getallocatedblocks()}
    if FDS.exists():
        found["file descriptors"] = len(list(FDS.iterdir()))
    return found


async def test_c48_concurrent_runs_with_random_cancellation_balance(expected_noise: Any) -> None:
    expected_noise.allow("penstock:ERROR:.*ConnectionError")  # of nodes that fail when their reader has just left
    choose = random.Random(48)
    counts: Counter[str] = Counter()

    async def work(state: State, writer: Any) -> Any:
        counts["started"] += 1
        try:
            for i in range(choose.randrange(8)):
                await writer(i)
                await checkpoints(choose.randrange(3))
            if choose.random() < 0.1:
                raise ConnectionError
        finally:
            with anyio.CancelScope(shield=True):
                await checkpoints(1)
            counts["ended"] += 1

    def thread_work(state: State, writer: Any) -> None:
        counts["started"] += 1
        try:
            for i in range(20):
                writer(i)
        finally:
            counts["ended"] += 1

    inner = side_by_side(("c", work), ("d", work))

    async def calls(state: State) -> None:
        counts["started"] += 1
        try:
            async with inner.astream({"n": 1}, stream_mode="custom", high_water_mark=1) as run:
                await collect(run, choose.choice([1, 2, None]))
        finally:
            counts["ended"] += 1

    policy = RetryPolicy(initial_interval=0.001, jitter=False)
    graph = side_by_side(("a", work), ("inner", inner), calls, ("t", thread_work), retry_policy=policy)

    async def one() -> None:
        counts["runs"] += 1
        with anyio.move_on_after(choose.choice([0, 0.001, 0.01, 10])):
            try:
                config = {"max_concurrency": choose.choice([1, 3, None])}
                async with graph.astream({"n": 1}, config, stream_mode="custom", high_water_mark=4) as run:
                    await collect(run, choose.choice([1, 5, None]))
            except ConnectionError:
                counts["failed"] += 1
        counts["done"] += 1

    async def repeat() -> None:
        while time.monotonic() < end:
            await one()

    await one()
    known = live_tasks()
    end = time.monotonic() + SECONDS
    with anyio.fail_after(None if FULL else 600):
        async with anyio.create_task_group() as group:
            for _ in range(CONCURRENT_RUNS):
                group.start_soon(repeat)
    assert counts["runs"] == counts["done"] >= CONCURRENT_RUNS
    assert counts["started"] == counts["ended"] > 0
    await checkpoints(20)
    assert live_tasks().keys() <= known.keys()
