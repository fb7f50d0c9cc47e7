"""Driving a coroutine that writes without awaiting, as a unit: held back, and otherwise none the wiser."""

from __future__ import annotations

import asyncio
import contextvars
import math
import sys
import traceback
from collections.abc import Coroutine
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from penstock.streams import Merger, Port, Throttle, drive
from tests.support import Recorder, checkpoints

from .test_merger import NewMerger, drained

T = TypeVar("T")

number = contextvars.ContextVar("number", default=0)


class Held:
    """A coroutine being driven, with a port of its own."""

    def __init__(self, merger: Merger, **throttle: Any) -> None:
        self.port = Port(merger)
        self.throttle = Throttle(**throttle)
        self.throttle.ports.append(self.port)
        self.port.clock = self.throttle
        self.result: Any = None

    async def run(self, coro: Coroutine[Any, Any, T]) -> T:
        self.result = await drive(coro, self.throttle, contextvars.copy_context())
        return self.result  # type: ignore[no-any-return]


# -------------------------------------------------------------------- held back


@pytest.mark.parametrize(("mark", "burst"), [(8, 1), (8, 3), (8, 10), (1, 1)])
async def test_held_at_the_next_await(new_merger: NewMerger, mark: int, burst: int) -> None:
    merger = new_merger(mark)
    held = Held(merger)
    chunks = 6 * mark * burst

    async def body() -> None:
        for i in range(chunks // burst):
            for j in range(burst):
                held.port(i * burst + j)
            await anyio.lowlevel.checkpoint()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(held.run, body())
            await checkpoints(50)
            assert mark <= merger.buffered <= mark + burst - 1
            got: list[object] = []
            while len(got) < chunks:
                got += drained(merger)
                await checkpoints(5)
    assert got == list(range(chunks))
    assert merger.peak <= mark + burst - 1


async def _sleep() -> None:
    await anyio.sleep(0.01)


async def _time_out() -> None:
    with anyio.move_on_after(0.01):
        await anyio.sleep_forever()


async def _thread() -> None:
    await anyio.to_thread.run_sync(lambda: None)


async def _failing_thread() -> None:
    def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        await anyio.to_thread.run_sync(fail)


@pytest.mark.parametrize("wait", [_sleep, _thread, _failing_thread])
@pytest.mark.virtual_time
async def test_held_whatever_it_awaits(new_merger: NewMerger, wait: Any) -> None:
    """trio's sleep ends by a cancellation, a failed future by an exception: answers like any other."""
    merger = new_merger(2)
    held = Held(merger)

    async def body() -> None:
        for i in range(50):
            held.port(i)
            await wait()

    async with anyio.create_task_group() as group:
        group.start_soon(held.run, body())
        await anyio.sleep(100)
        assert merger.buffered == 2
        group.cancel_scope.cancel()


@pytest.mark.backends("trio")
async def test_on_trio_held_even_after_a_timeout_of_its_own(new_merger: NewMerger) -> None:
    merger = new_merger(2)
    held = Held(merger)

    async def body() -> None:
        for i in range(50):
            held.port(i)
            await _time_out()

    async with anyio.create_task_group() as group:
        group.start_soon(held.run, body())
        await anyio.sleep(100)
        assert merger.buffered == 2
        group.cancel_scope.cancel()


async def test_children_fill_the_port_and_the_coroutine_is_held(new_merger: NewMerger) -> None:
    merger = new_merger(2)
    held = Held(merger)
    seen = Recorder()

    async def child() -> None:
        for i in range(5):
            held.port(i)

    async def body() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(child)
        seen("children done")
        await anyio.lowlevel.checkpoint()
        seen("went on")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(held.run, body())
            await checkpoints(20)
            assert "went on" not in seen
            drained(merger)
            await checkpoints(20)
            assert seen == ["children done", "went on"]


async def test_without_a_port_nothing_is_held() -> None:
    async def body() -> str:
        await checkpoints(3)
        return "done"

    assert await drive(body(), Throttle(), contextvars.copy_context()) == "done"


# -------------------------------------------------------------------- cancelled while it is held


async def test_a_value_in_hand_is_handed_over_when_a_scope_is_cancelled(new_merger: NewMerger) -> None:
    """For any moment of the cancellation: what was received is received, what was not stays where it was."""
    for turns in range(12):
        merger = new_merger(1)
        held = Held(merger)
        send, receive = anyio.create_memory_object_stream[str](1)
        got = Recorder()

        async def body(
            scope: anyio.CancelScope, held: Held = held, receive: Any = receive, got: Recorder = got
        ) -> None:
            with scope:
                got(await receive.receive())
                with anyio.CancelScope(shield=True):
                    await checkpoints(2)

        scope = anyio.CancelScope()
        with send, receive, anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(held.run, body(scope))
                await checkpoints(2)
                held.port("pressed")  # by a child, while the node waits
                send.send_nowait("value")
                await checkpoints(turns)
                scope.cancel()
                await checkpoints(5)
                drained(merger)
            left = receive.statistics().current_buffer_used
        assert len(got) + left == 1, turns


@pytest.mark.backends("asyncio", "asyncio+eager", "asyncio+uvloop")
async def test_a_native_cancellation_is_delivered_in_place_of_the_value(new_merger: NewMerger) -> None:
    merger = new_merger(1)
    held = Held(merger)
    seen = Recorder()
    blocker: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def body() -> None:
        try:
            await blocker
            seen("value")
        except asyncio.CancelledError:
            seen("cancelled")
            raise

    task = asyncio.ensure_future(held.run(body()))
    await checkpoints(3)
    held.port("pressed")
    blocker.set_result("value")
    await checkpoints(3)
    assert seen == []  # held
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


async def test_a_cancellation_from_outside_is_never_delayed(new_merger: NewMerger) -> None:
    merger = new_merger(1)
    held = Held(merger)
    seen = Recorder()

    async def body() -> None:
        held.port("pressed")
        with seen.span("wait"):
            await anyio.sleep_forever()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(held.run, body())
            await checkpoints(5)
            group.cancel_scope.cancel()
    assert seen == ["wait started", "wait ended: cancelled"]


async def test_nothing_is_held_once_the_port_is_closed(new_merger: NewMerger) -> None:
    merger = new_merger(1)
    held = Held(merger)
    seen = Recorder()

    async def body() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                for i in range(10):
                    held.port(i)
                    await anyio.lowlevel.checkpoint()
            seen("clean")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(held.run, body())
            await checkpoints(3)
            held.port("pressed")
            held.port.close(aborted=True)
            group.cancel_scope.cancel()
    assert seen == ["clean"]


# -------------------------------------------------------------------- deadlines


@pytest.mark.virtual_time
async def test_a_deadline_of_its_own_loses_half_at_most(new_merger: NewMerger) -> None:
    """Something unrelated, in many steps, under a deadline; the reader never reads."""
    merger = new_merger(4)
    held = Held(merger)

    async def body() -> float:
        for i in range(20):
            held.port(i)
        began = anyio.current_time()
        with anyio.fail_after(1.0):
            for _ in range(20):
                await anyio.sleep(0.01)
        return anyio.current_time() - began

    took = await held.run(body())
    assert 0.5 <= took <= 0.5 + 20 * 0.01 + 0.02


@pytest.mark.virtual_time
async def test_each_deadline_has_a_half_of_its_own(new_merger: NewMerger) -> None:
    merger = new_merger(1)
    held = Held(merger)

    async def body() -> list[float]:
        held.port("pressed")
        took = []
        for seconds in (1.0, 10.0):
            began = anyio.current_time()
            with anyio.fail_after(seconds):
                await anyio.sleep(0.001)
            took.append(anyio.current_time() - began)
        return took

    assert await held.run(body()) == pytest.approx([0.5, 5.0], rel=0.01)


@pytest.mark.virtual_time
async def test_a_deadline_of_its_own_is_no_way_around_the_mark(new_merger: NewMerger) -> None:
    """Half of the deadline is not spent, the other half is not there to fill the memory."""
    mark = 4
    merger = new_merger(mark)
    held = Held(merger)

    async def body() -> None:
        with anyio.move_on_after(60):
            for _ in range(2000):
                held.port("more")
                await anyio.sleep(0.001)

    await held.run(body())
    assert merger.peak <= 16 * mark + 1


@pytest.mark.virtual_time
async def test_a_deadline_from_outside_is_not_the_nodes_to_save(new_merger: NewMerger) -> None:
    """A reader with a deadline around it all holds the producers back like any other."""
    merger = new_merger(4)
    with anyio.move_on_after(60):
        held = Held(merger, outer_deadline=anyio.current_effective_deadline())

        async def body() -> None:
            while True:
                held.port("more")
                await anyio.sleep(0.001)

        await held.run(body())
    assert merger.peak <= 4 + 1  # the deadline itself sets the node free, until it awaits again


@pytest.mark.virtual_time
async def test_its_own_timeout_stands_still(new_merger: NewMerger) -> None:
    merger = new_merger(1)
    held = Held(merger)
    seen = Recorder()

    async def body() -> None:
        for i in range(10):
            held.port(i)
            await anyio.sleep(0.1)
        seen("done")

    async def run() -> None:
        with anyio.CancelScope(deadline=anyio.current_time() + 2) as scope:
            held.throttle.limit(scope)
            await held.run(body())

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        for _ in range(10):
            await anyio.sleep(5)
            merger.take()
    assert seen == ["done"]


@pytest.mark.virtual_time
async def test_its_own_timeout_goes_on_when_it_is_not_held(new_merger: NewMerger) -> None:
    held = Held(new_merger(4))
    with anyio.CancelScope(deadline=anyio.current_time() + 2) as scope:
        held.throttle.limit(scope)
        await held.run(anyio.sleep(10))
    assert scope.cancelled_caught
    assert anyio.current_time() < 3


async def test_pauses_are_counted() -> None:
    throttle = Throttle()
    with anyio.CancelScope(deadline=anyio.current_time() + 100) as scope:
        throttle.limit(scope)
        throttle.pause()
        throttle.pause()
        throttle.resume()
        assert scope.deadline == math.inf
        throttle.resume()
        assert scope.deadline == pytest.approx(anyio.current_time() + 100, abs=5)


async def test_over_when_any_timeout_around_it_has_fired() -> None:
    outer = Throttle()
    inner = Throttle(parent=outer)
    assert not inner.over
    with anyio.CancelScope() as scope:
        outer.limit(scope)
        assert not inner.over
        scope.cancel()
        assert outer.over
        assert inner.over


# -------------------------------------------------------------------- none the wiser


async def test_every_step_runs_in_the_context_given(new_merger: NewMerger) -> None:
    merger = new_merger(2)
    held = Held(merger)
    seen = Recorder()

    async def body() -> None:
        for i in range(1, 10):
            number.set(i)
            held.port(i)
            await anyio.lowlevel.checkpoint()
            seen(number.get())

    async def read() -> None:
        while len(seen) < 9:
            drained(merger)
            await checkpoints(2)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await held.run(body())
    assert seen == list(range(1, 10))
    assert number.get() == 0


async def test_an_exception_keeps_its_context_and_its_traceback(new_merger: NewMerger) -> None:
    held = Held(new_merger(8))

    async def deep() -> None:
        await anyio.lowlevel.checkpoint()
        raise ValueError

    async def body() -> None:
        with anyio.move_on_after(0):
            await anyio.sleep(1)
        await deep()

    with pytest.raises(ValueError) as caught:
        await held.run(body())
    assert caught.value.__context__ is None
    assert [f.name for f in traceback.extract_tb(caught.tb)][-2:] == ["body", "deep"]


async def test_an_exception_thrown_in_can_be_handled(new_merger: NewMerger) -> None:
    held = Held(new_merger(8))

    async def body() -> str:
        with anyio.move_on_after(0) as scope:
            await anyio.sleep(1)
        await anyio.lowlevel.checkpoint()
        return "timed out" if scope.cancelled_caught else "?"

    assert await held.run(body()) == "timed out"


async def test_closing_it_closes_the_coroutine(new_merger: NewMerger) -> None:
    """What happens to a task whose loop goes away: the coroutine sees GeneratorExit, nothing is awaited."""
    held = Held(new_merger(8))
    seen = Recorder()

    async def body() -> None:
        try:
            await anyio.lowlevel.checkpoint()
        finally:
            seen("closed")

    generator = drive(body(), held.throttle, contextvars.copy_context())
    generator.send(None)
    generator.close()
    assert seen == ["closed"]


@pytest.mark.backends("asyncio", "asyncio+eager", "asyncio+uvloop")
@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout")
async def test_asyncio_timeouts_inside_stay_balanced(new_merger: NewMerger) -> None:
    merger = new_merger(1)
    held = Held(merger)

    async def body() -> int:
        timeouts = 0
        for i in range(5):
            held.port(i)
            try:
                async with asyncio.timeout(0.001):
                    await anyio.sleep_forever()
            except TimeoutError:
                timeouts += 1
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
        return timeouts

    async def read() -> None:
        while held.result is None:
            drained(merger)
            await anyio.sleep(0.001)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            assert await held.run(body()) == 5
