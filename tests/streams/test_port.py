"""One producer's end as a unit: pressure, policies, threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from penstock.errors import StreamClosedError, StreamOverflowError
from penstock.streams import DONE, Merger, Port
from penstock.types import Overflow
from tests.support import Recorder, checkpoints

from .test_merger import NewMerger, drained


class StoppedClock:
    """Counts pauses."""

    def __init__(self) -> None:
        self.running = 0
        self.pauses = 0
        self.over = False

    def pause(self) -> None:
        self.running += 1
        self.pauses += 1

    def resume(self) -> None:
        self.running -= 1


async def taken(merger: Merger, n: int) -> list[object]:
    """The next `n` items, as they come."""
    items: list[object] = []
    while len(items) < n:
        if not merger.in_stream:
            await merger.wait()
        while merger.in_stream and len(items) < n:
            items.append(merger.take())
            await checkpoints(1)
    return items


# -------------------------------------------------------------------- waiting


@pytest.mark.parametrize("mark", [1, 2, 3, 64])
async def test_an_awaited_write_returns_at_once_below_the_mark_and_waits_at_it(
    new_merger: NewMerger, mark: int
) -> None:
    merger = new_merger(mark)
    port = Port(merger)
    seen = Recorder()

    async def produce() -> None:
        for i in range(3 * mark):
            await port(i)
            seen(i)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(produce)
            await checkpoints(20)
            assert seen == list(range(mark - 1))  # the mark-th is written, and waits
            assert merger.buffered == mark
            got = []
            while len(got) < 3 * mark:
                got += drained(merger)
                await checkpoints(10)
    assert got == list(range(3 * mark))
    assert merger.peak == mark


async def test_awaiting_below_the_mark_is_free(new_merger: NewMerger) -> None:
    """No checkpoint, so no other task can come between."""
    merger = new_merger(8)
    port = Port(merger)
    others = Recorder()

    async def other() -> None:
        others("ran")

    async with anyio.create_task_group() as group:
        group.start_soon(other)
        before = len(others)
        for i in range(4):
            await port(i)
        assert len(others) == before


async def test_released_at_half_the_mark(new_merger: NewMerger) -> None:
    merger = new_merger(8)
    port = Port(merger)
    released = anyio.Event()

    async def produce() -> None:
        for i in range(8):
            await port(i)
        released.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(produce)
            await checkpoints(5)
            for _ in range(3):
                merger.take()
                await checkpoints(3)
                assert not released.is_set()  # woken once per batch, not once per chunk
            merger.take()
            await released.wait()


async def test_a_cancelled_wait_leaves_the_chunk_written_and_no_waiter(new_merger: NewMerger) -> None:
    merger = new_merger(1)
    port = Port(merger)
    with anyio.move_on_after(0):
        await port("written")
    assert not port.waiting
    assert drained(merger) == ["written"]


async def test_the_clock_stands_still_while_a_write_waits(new_merger: NewMerger) -> None:
    merger = new_merger(1)
    port = Port(merger)
    clock = port.clock = StoppedClock()

    async def produce() -> None:
        await port(1)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(produce)
            await checkpoints(3)
            assert clock.running == 1
            merger.take()
    assert (clock.running, clock.pauses) == (0, 1)


async def test_nobody_waits_once_the_clock_is_over(new_merger: NewMerger) -> None:
    merger = new_merger(1)
    port = Port(merger)
    clock = port.clock = StoppedClock()
    clock.over = True
    with anyio.fail_after(1):
        for i in range(5):
            await port(i)
    assert drained(merger) == list(range(5))


@pytest.mark.virtual_time
async def test_blocked_time_is_added_up(new_merger: NewMerger) -> None:
    merger = new_merger(1)
    port = Port(merger)

    async def produce() -> None:
        await port(1)

    async with anyio.create_task_group() as group:
        group.start_soon(produce)
        await anyio.sleep(3)
        merger.take()
    assert merger.blocked_time == pytest.approx(3, abs=0.1)


async def test_flush_waits_for_the_lane_only(new_merger: NewMerger) -> None:
    merger = new_merger(2)
    port = Port(merger)
    for i in range(4):
        port(i)
    port.close()
    assert port.pending
    flushed = anyio.Event()

    async def flush() -> None:
        await port.flush()
        flushed.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(flush)
            await checkpoints(3)
            merger.take()
            await checkpoints(3)
            assert not flushed.is_set()
            merger.take()
            await flushed.wait()
            assert merger.buffered == 2


async def test_the_shape_is_applied_to_each_chunk(new_merger: NewMerger) -> None:
    merger = new_merger(8)
    port = Port(merger, shape=lambda chunk: ("custom", chunk))
    port(1)
    await anyio.to_thread.run_sync(port, 2)
    merger.drain_inbox()
    assert drained(merger) == [("custom", 1), ("custom", 2)]


# -------------------------------------------------------------------- policies


@pytest.mark.parametrize(
    ("policy", "kept", "dropped"),
    [
        ("drop_oldest", [6, 7, 8, 9], 6),
        ("drop_newest", [0, 1, 2, 3], 6),
        ("latest", [9], 9),
        ("wait", list(range(10)), 0),
    ],
)
async def test_what_a_policy_keeps(new_merger: NewMerger, policy: Overflow, kept: list[int], dropped: int) -> None:
    merger = new_merger(4)
    port = Port(merger, policy)
    for i in range(10):
        port(i)
    assert drained(merger) == kept
    assert merger.dropped == dropped
    assert merger.peak == len(kept)


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "latest"])
async def test_who_drops_never_waits(new_merger: NewMerger, policy: Overflow) -> None:
    merger = new_merger(2)
    port = Port(merger, policy)
    with anyio.fail_after(1):
        for i in range(10):
            await port(i)
        await port.flush()
    assert not port.pressed
    assert not port.pending
    assert merger.buffered + merger.dropped == 10


async def test_raise_refuses_the_chunk_over_the_mark(new_merger: NewMerger) -> None:
    merger = new_merger(3)
    port = Port(merger, "raise")
    for i in range(3):
        port(i)
    with pytest.raises(StreamOverflowError, match=r"3 chunks .* high-water mark of 3"):
        port(3)
    assert merger.dropped == 0
    merger.take()
    port(4)
    assert drained(merger) == [1, 2, 4]


@pytest.mark.parametrize("policy", ["raise", "drop_oldest", "drop_newest", "latest"])
async def test_order_with_other_producers_is_that_of_writing(new_merger: NewMerger, policy: Overflow) -> None:
    merger = new_merger(4)
    lossy, patient = Port(merger, policy), Port(merger)
    lossy("a")
    patient("b")
    merger.take()
    lossy("c")
    assert drained(merger) == ["b", "c"]


@pytest.mark.parametrize("policy", ["raise", "drop_oldest", "drop_newest", "latest"])
async def test_full_neighbours_cost_nobody_a_chunk(new_merger: NewMerger, policy: Overflow) -> None:
    """What is unread of others counts for them alone."""
    merger = new_merger(2)
    for _ in range(20):
        port = Port(merger)
        for i in range(5):
            port(("neighbour", i))
    own = Port(merger, policy)
    own("mine")
    assert merger.dropped == 0
    items = drained(merger)
    assert items.count("mine") == 1
    assert len(items) == 101


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "latest"])
async def test_those_who_drop_are_bounded_together(new_merger: NewMerger, policy: Overflow) -> None:
    """A loop of nodes that never wait, and a reader that never reads: each node's port is a new one."""
    merger = new_merger(4)
    for _ in range(1000):
        port = Port(merger, policy)
        port("chunk")
        port.close()
    assert merger.buffered <= merger.capacity + 1
    assert merger.buffered + merger.dropped == 1000
    assert len(drained(merger)) == merger.taken


# -------------------------------------------------------------------- threads


async def test_a_worker_thread_blocks_at_the_mark(new_merger: NewMerger) -> None:
    merger = new_merger(4)
    port = Port(merger, blocking=True)
    written = Recorder()

    def produce() -> None:
        for i in range(40):
            port(i)
            written(i)

    got: list[object] = []
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, produce)
            while merger.buffered < 4:
                await merger.wait()
            while len(written) < 4:  # the thread has let go of the fourth, and may not have noted it yet
                await anyio.lowlevel.checkpoint()
            await anyio.sleep(0.01)
            assert len(written) == 4
            assert merger.buffered == 4
            got += await taken(merger, 40)
    assert got == list(range(40))
    assert merger.peak == 4


async def test_several_threads_of_one_node_share_its_mark(new_merger: NewMerger) -> None:
    merger = new_merger(3)
    port = Port(merger, blocking=True)

    def produce(name: int) -> None:
        for i in range(50):
            port((name, i))

    got: list[Any] = []
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for name in range(4):
                group.start_soon(anyio.to_thread.run_sync, produce, name)
            got += await taken(merger, 200)
    for name in range(4):
        assert [i for n, i in got if n == name] == list(range(50))
    assert merger.peak <= 3


async def test_a_thread_does_not_wait_for_a_loop_that_stands_still(new_merger: NewMerger) -> None:
    """An async node can be waiting, synchronously, for its own threads."""
    merger = new_merger(2)
    port = Port(merger)
    thread = threading.Thread(target=lambda: [port(i) for i in range(20)])
    thread.start()
    thread.join(5)  # the loop stands still meanwhile
    assert not thread.is_alive()
    merger.drain_inbox()
    assert port.pressed
    assert drained(merger) == list(range(20))


async def test_a_thread_waits_for_a_loop_that_is_alive(new_merger: NewMerger) -> None:
    merger = new_merger(2)
    port = Port(merger)
    got: list[object] = []
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, lambda: [port(i) for i in range(40)])
            while merger.buffered < 2:
                await merger.wait()
            got += await taken(merger, 40)
    assert got == list(range(40))
    assert merger.peak <= 2


async def test_a_task_on_another_loop_waits_by_awaiting(new_merger: NewMerger) -> None:
    merger = new_merger(2)
    port = Port(merger)

    async def other_loop() -> None:
        for i in range(40):
            await port(i)

    got: list[object] = []
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, anyio.run, other_loop)
        got += await taken(merger, 40)
    assert got == list(range(40))
    assert merger.peak <= 4  # what is on its way is not seen


async def test_a_thread_that_never_stops_writing_does_not_keep_the_loop(new_merger: NewMerger) -> None:
    merger = new_merger(2)

    class Endless(Port):
        """Whenever one of its items goes into the stream, a thread has already handed the next one over."""

        def put(self, item: Any) -> None:
            super().put(item)
            if item < 1000:
                with merger.lock:
                    self.in_inbox += 1
                    merger.from_thread(self, item + 1)

    port = Endless(merger)
    with merger.lock:
        port.in_inbox += 1
        merger.from_thread(port, 0)
    merger.drain_inbox()
    assert drained(merger) == [0]
    merger.drain_inbox()
    assert drained(merger) == [1]
    port.close(aborted=True)


async def test_raise_reaches_the_thread_that_writes(new_merger: NewMerger) -> None:
    merger = new_merger(3)
    port = Port(merger, "raise", blocking=True)

    def produce() -> int:
        for i in range(10):
            try:
                port(i)
            except StreamOverflowError as error:
                assert "3 chunks" in str(error)
                return i
        return -1

    with anyio.fail_after(5):
        assert await anyio.to_thread.run_sync(produce) == 3
    merger.drain_inbox()
    assert drained(merger) == [0, 1, 2]
    assert merger.dropped == 0


@pytest.mark.parametrize(("policy", "kept"), [("drop_oldest", [8, 9]), ("drop_newest", [0, 1]), ("latest", [9])])
async def test_dropping_works_from_a_thread(new_merger: NewMerger, policy: Overflow, kept: list[int]) -> None:
    merger = new_merger(2)
    port = Port(merger, policy, blocking=True)
    with anyio.fail_after(5):
        await anyio.to_thread.run_sync(lambda: [port(i) for i in range(10)])
    merger.drain_inbox()
    assert drained(merger) == kept
    assert merger.dropped == 10 - len(kept)


def _close_merger(merger: Merger, port: Port) -> None:
    merger.close()


def _abort_port(merger: Merger, port: Port) -> None:
    port.close(aborted=True)


@pytest.mark.parametrize("end", [_close_merger, _abort_port])
async def test_a_blocked_thread_unwinds_when_its_run_ends(
    new_merger: NewMerger, end: Callable[[Merger, Port], None]
) -> None:
    merger = new_merger(1)
    port = Port(merger, blocking=True)
    seen = Recorder()

    def produce() -> None:
        try:
            for i in range(10):
                port(i)
                seen(i)
        except StreamClosedError:
            seen("unwound")

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:

            async def node() -> None:
                await anyio.to_thread.run_sync(produce)

            group.start_soon(node)
            await seen.wait_for(0)
            await anyio.sleep(0.01)
            end(merger, port)
    assert seen == [0, "unwound"]


async def test_a_blocked_thread_notices_the_cancellation_of_its_node(new_merger: NewMerger) -> None:
    merger = new_merger(1)
    port = Port(merger, blocking=True)
    seen = Recorder()

    def produce() -> None:
        try:
            for i in range(10):
                port(i)
                seen(i)
        finally:
            seen("unwound")

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, produce)
            await seen.wait_for(0)
            group.cancel_scope.cancel()
    assert seen == [0, "unwound"]
    merger.close()


async def test_a_thread_outside_of_the_run_is_told_that_it_is_over(new_merger: NewMerger) -> None:
    merger = new_merger(4)
    port = Port(merger)
    merger.close()
    errors = []

    def write() -> None:
        try:
            port(1)
        except StreamClosedError as error:
            errors.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    thread.join(5)
    assert "over" in str(errors[0])


async def test_a_thread_that_writes_after_the_loop_has_ended_is_told(new_merger: NewMerger) -> None:
    merger = new_merger(4)
    port = Port(merger)

    def gone(fn: object) -> None:
        raise RuntimeError("Event loop is closed")

    merger.post = gone
    with pytest.raises(StreamClosedError, match="event loop has ended"):
        await anyio.to_thread.run_sync(port, 1)


async def test_done_is_awaitable() -> None:
    assert await DONE is None
