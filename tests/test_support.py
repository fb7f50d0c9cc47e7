"""The test kit itself: virtual time, threads in it, and that leftovers are found."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import (
    BACKENDS,
    ExpectedNoise,
    Leftovers,
    Recorder,
    checkpoints,
    collect,
    leftover_tasks,
    leftover_threads,
    run_on,
)
from tests.support.leftovers import LogTrap, checked, penstock_threads
from tests.support.snippets import awaits, python_snippets, run_snippets

HOUR = 3600.0


@pytest.mark.virtual_time
async def test_an_hour_passes_at_once() -> None:
    real, virtual = time.monotonic(), anyio.current_time()
    await anyio.sleep(HOUR)
    assert anyio.current_time() - virtual == pytest.approx(HOUR)
    assert time.monotonic() - real < 10


@pytest.mark.virtual_time
async def test_timers_fire_in_order() -> None:
    seen = Recorder()

    async def mark(delay: float) -> None:
        await anyio.sleep(delay)
        seen(delay)

    async with anyio.create_task_group() as group:
        for delay in (3.0, 1.0, 2.0):
            group.start_soon(mark, delay)
    assert seen == [1.0, 2.0, 3.0]


@pytest.mark.virtual_time
async def test_time_waits_for_a_busy_thread() -> None:
    with anyio.fail_after(HOUR):
        result = await anyio.to_thread.run_sync(lambda: sum(range(1_000_000)))
    assert result == 499999500000


@pytest.mark.backends("asyncio", "asyncio+eager")
async def test_time_waits_for_the_executor() -> None:
    with anyio.fail_after(HOUR):
        for _ in range(200):
            assert await asyncio.to_thread(threading.get_ident) != threading.get_ident()


@pytest.mark.virtual_time
async def test_time_passes_for_a_thread_that_waits_for_it() -> None:
    released = threading.Event()

    async def release() -> None:
        await anyio.sleep(HOUR)
        released.set()

    async with anyio.create_task_group() as group:
        group.start_soon(release)
        await anyio.to_thread.run_sync(released.wait)
    await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(anyio.sleep, HOUR))


async def test_threads_hand_over_at_once() -> None:
    before = anyio.current_time()
    with anyio.fail_after(HOUR):
        for _ in range(200):
            assert await anyio.to_thread.run_sync(threading.get_ident) != threading.get_ident()
    assert anyio.current_time() - before < HOUR / 2


async def test_checkpoints_pass_no_time() -> None:
    before, seen = anyio.current_time(), Recorder()

    async def sibling() -> None:
        await checkpoints(3)
        seen("sibling")

    async with anyio.create_task_group() as group:
        group.start_soon(sibling)
        await checkpoints(10)
        assert seen.count("sibling") == 1
    assert anyio.current_time() - before < 1


@given(st.integers(0, 5))
async def test_hypothesis_runs_on_every_backend(turns: int) -> None:
    await checkpoints(turns)


@pytest.mark.backends("trio")
async def test_only_the_backends_named(backend_id: str) -> None:
    assert backend_id == "trio"


def test_run_on_from_a_sync_test(backend_id: str) -> None:
    async def add(a: int, b: int) -> int:
        await anyio.sleep(0)
        return a + b

    assert run_on(backend_id, add, 1, 2) == 3


def test_unknown_backend() -> None:
    with pytest.raises(ValueError, match="'curio'"):
        run_on("curio", anyio.sleep, 0)


async def test_a_live_task_is_a_leftover() -> None:
    async with anyio.create_task_group() as group:
        assert await leftover_tasks() == [] or all("sleep" not in task for task in await leftover_tasks())
        group.start_soon(anyio.sleep, 5, name="idler")
        assert any("idler" in task for task in await leftover_tasks())
        group.cancel_scope.cancel()


@pytest.mark.backends("asyncio", "asyncio+uvloop")
async def test_a_test_that_leaves_a_task_fails() -> None:
    tasks = []

    async def careless() -> None:
        tasks.append(asyncio.get_running_loop().create_task(asyncio.sleep(5), name="idler"))

    with pytest.raises(Leftovers, match="idler"):
        await checked(careless, lambda task: False)()
    tasks[0].cancel()
    await checkpoints(2)
    assert tasks[0].cancelled()


def test_a_live_thread_is_a_leftover(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.leftovers._SETTLE_SECONDS", 0.01)
    monkeypatch.setattr("tests.support.leftovers.CACHED_THREADS", re.compile("penstock-cached$"))
    known = penstock_threads()
    release = threading.Event()
    names = ("penstock-x", "penstock-cached", "penstock-cached", "other")
    threads = [threading.Thread(target=release.wait, name=name) for name in names]
    for thread in threads:
        thread.start()
    left = leftover_threads(known)
    release.set()
    for thread in threads:
        thread.join()
    assert sorted(left) == ["penstock-cached", "penstock-x"]
    assert leftover_threads(known) == []


def test_log_records_are_noise_unless_announced(expected_noise: ExpectedNoise) -> None:
    noise = ExpectedNoise()
    with LogTrap() as trap:
        logging.getLogger("penstock.runtime").warning("slow %s", "reader")
        logging.getLogger("penstock").info("fine")
    expected_noise.log("slow reader")  # this test's own trap hears it, too
    assert noise.complaints(trap.lines, []) == ["logged: penstock.runtime:WARNING:slow reader"]
    noise.allow("slow")
    noise.log("never")
    complaints = noise.complaints(trap.lines, ["penstock-x"])
    assert complaints == ["never logged: 'never'", "thread alive: penstock-x"]


def test_an_announced_record_passes(expected_noise: ExpectedNoise) -> None:
    expected_noise.log("^penstock:ERROR:boom")
    logging.getLogger("penstock").error("boom")


async def test_recorder_and_collect() -> None:
    seen = Recorder()

    class Numbers:
        def __aiter__(self) -> Numbers:
            self.next = 0
            return self

        async def __anext__(self) -> int:
            if self.next == 3:
                raise StopAsyncIteration
            self.next += 1
            return self.next

    assert await collect(Numbers()) == [1, 2, 3]
    assert await collect(Numbers(), 2) == [1, 2]
    with pytest.raises(TimeoutError), seen.span("a"):
        raise TimeoutError
    with anyio.CancelScope() as scope, seen.span("b"):
        scope.cancel()
        await anyio.sleep(1)
    assert seen == ["a started", "a ended: TimeoutError", "b started", "b ended: cancelled"]


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name in ("asyncio", "trio")])
def test_snippets_share_a_namespace_and_may_await(backend: str) -> None:
    text = """Text
```python
import anyio
x = 1
```
  ```python
  await anyio.sleep(0)
  x += 1
  ```
"""
    found = python_snippets(text)
    assert [snippet.line for snippet in found] == [3, 7]
    assert awaits(found)
    assert run_snippets(found, "page.md", backend)["x"] == 2
