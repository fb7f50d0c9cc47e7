"""The fan-in as a unit: bounds, order, fairness, and what happens at its end."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.to_thread
import pytest

from penstock.errors import StreamClosedError
from penstock.streams import DONE, Merger, Port
from tests.support import checkpoints

NewMerger = Callable[[int], Merger]


def drained(merger: Merger) -> list[object]:
    """Everything that can be taken now."""
    items = []
    while merger.in_stream:
        items.append(merger.take())
    return items


async def test_items_come_out_in_the_order_of_one_producer(new_merger: NewMerger) -> None:
    merger = new_merger(4)
    port = Port(merger)
    for i in range(100):
        port(i)
    assert drained(merger) == list(range(100))


async def test_taking_from_an_empty_stream_never_waits(new_merger: NewMerger) -> None:
    with pytest.raises(anyio.WouldBlock):
        new_merger(1).take()


async def test_counters(new_merger: NewMerger) -> None:
    merger = new_merger(2)
    port = Port(merger)
    for i in range(5):
        port(i)
    assert (merger.buffered, merger.peak, merger.taken, merger.written) == (5, 5, 0, 5)
    merger.take()
    merger.take()
    assert (merger.buffered, merger.peak, merger.taken, merger.written) == (3, 5, 2, 5)
    port(5)
    assert (merger.buffered, merger.peak, merger.written) == (4, 5, 6)


@pytest.mark.parametrize("burst", [64, 2000])
async def test_a_burst_delays_another_producer_by_the_mark_at_most(new_merger: NewMerger, burst: int) -> None:
    merger = new_merger(64)
    firehose, quiet = Port(merger), Port(merger)
    for i in range(burst):
        firehose(("firehose", i))
    quiet("quiet")
    items = drained(merger)
    assert items.index("quiet") <= 64
    assert [i for i in items if i != "quiet"] == [("firehose", i) for i in range(burst)]


async def test_waiting_lanes_are_served_in_turn(new_merger: NewMerger) -> None:
    """Many bursts at once: whatever has been taken, no producer is ahead of another by more than its mark."""
    mark, producers, burst = 4, 10, 40
    merger = new_merger(mark)
    for name in range(producers):
        port = Port(merger)
        for _ in range(burst):
            port(name)
    seen = [0] * producers
    for item in drained(merger):
        assert isinstance(item, int)
        seen[item] += 1
        behind = min(n for n in seen)
        assert max(seen) - behind <= 2 * mark or max(seen) == burst
    assert seen == [burst] * producers


async def test_a_newcomer_waits_for_no_more_than_the_stream_holds(new_merger: NewMerger) -> None:
    """The stream is bounded: a chunk behind many full producers has so many ahead of it, not all of theirs."""
    mark = 4
    merger = new_merger(mark)
    for name in range(50):
        port = Port(merger)
        for _ in range(mark):
            port(name)
    late = Port(merger)
    late("late")
    items = drained(merger)
    assert len(items) == 50 * mark + 1
    # one round of the lanes, and once the length of the stream
    assert items.index("late") <= 2 * merger.capacity + 50


async def test_the_lanes_follow_before_the_stream_runs_dry(new_merger: NewMerger) -> None:
    merger = new_merger(2)
    ports = [Port(merger) for _ in range(6)]  # 12 credits, 8 places
    for port in ports:
        port(port)
        port(port)
    assert merger.in_stream == merger.capacity
    waiting = [port for port in ports if port.pending]
    for left in range(12, 0, -1):
        assert merger.in_stream > 0
        if merger.in_stream < 2 and left > 2:
            raise AssertionError("a producer with credit stays in its lane")
        merger.take()
    assert len(waiting) == 2
    assert not any(port.pending for port in ports)


async def test_the_consumer_waits_and_is_woken_by_a_write(new_merger: NewMerger) -> None:
    merger = new_merger(2)
    port = Port(merger)
    got = []

    async def consume() -> None:
        while not got:
            await merger.wait()
            got.extend(drained(merger))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(consume)
            await checkpoints(5)
            assert merger.asking
            port("item")
    assert got == ["item"]
    assert not merger.asking


async def test_a_consumer_that_is_cancelled_while_it_waits_loses_nothing(new_merger: NewMerger) -> None:
    """For any number of turns between the wait, the write and the cancellation."""
    for turns in range(6):
        merger = new_merger(2)
        port = Port(merger)
        taken = []

        async def consume(scope: anyio.CancelScope, merger: Merger = merger, taken: list[object] = taken) -> None:
            with scope:
                await merger.wait()
                taken.append(merger.take())

        scope = anyio.CancelScope()
        async with anyio.create_task_group() as group:
            group.start_soon(consume, scope)
            await checkpoints(turns)
            port("item")
            scope.cancel()
        assert taken + drained(merger) == ["item"]
        assert not merger.asking


async def test_demand_comes_when_everything_was_taken_and_more_is_asked_for(new_merger: NewMerger) -> None:
    merger = new_merger(4)
    port = Port(merger)
    port("item")
    passed = anyio.Event()

    async def produce() -> None:
        await merger.demand()
        passed.set()
        port("more")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(produce)
            await checkpoints(5)
            assert merger.take() == "item"
            await checkpoints(5)
            assert not passed.is_set()  # taken, but nobody asks for more
            await merger.wait()
            assert passed.is_set()
            assert merger.take() == "more"


async def test_taken_up_to(new_merger: NewMerger) -> None:
    merger = new_merger(4)
    port = Port(merger)
    for i in range(4):
        port(i)
    passed = anyio.Event()

    async def produce() -> None:
        await merger.taken_up_to(3)
        passed.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(produce)
            for _ in range(2):
                merger.take()
                await checkpoints(3)
            assert not passed.is_set()
            merger.take()
            await passed.wait()


async def test_close_drops_what_is_unread_and_lets_everybody_go(new_merger: NewMerger) -> None:
    merger = new_merger(1)
    port = Port(merger)
    for i in range(3):
        port(i)

    async def write() -> None:
        await port(3)

    async def read() -> None:
        await merger.wait()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(write)
            group.start_soon(read)
            await checkpoints(3)
            merger.close()
        await merger.demand()
        await merger.taken_up_to(100)
    assert merger.buffered == 0
    assert port("cleanup") is DONE  # a cancelled producer's cleanup may write, into nowhere
    assert not port.pressed
    assert not port.pending


async def test_a_write_after_the_producers_end_is_refused(new_merger: NewMerger) -> None:
    merger = new_merger(4)
    port = Port(merger)
    port("before")
    port.close()
    with pytest.raises(StreamClosedError, match="after its node had ended"):
        port("after")
    assert drained(merger) == ["before"]


async def test_what_is_left_of_a_closed_port_is_still_delivered(new_merger: NewMerger) -> None:
    merger = new_merger(2)
    port = Port(merger)
    for i in range(10):
        port(i)
    port.close()
    assert drained(merger) == list(range(10))


async def test_items_of_threads_come_before_what_the_loop_writes_later(new_merger: NewMerger) -> None:
    merger = new_merger(64)
    port = Port(merger)

    def in_thread() -> None:
        for i in range(10):
            port(("thread", i))

    with anyio.fail_after(5):
        port("first")
        await anyio.to_thread.run_sync(in_thread)
        port("last")
    merger.drain_inbox()
    assert drained(merger) == ["first", *(("thread", i) for i in range(10)), "last"]


async def test_a_batch_of_a_thread_is_posted_once(new_merger: NewMerger) -> None:
    merger = new_merger(64)
    port = Port(merger)
    posts = []
    post = merger.post

    def counted(fn: object) -> None:
        posts.append(fn)

    merger.post = counted
    await anyio.to_thread.run_sync(lambda: [port(i) for i in range(50)])
    assert len(posts) == 1
    merger.post = post
    merger.drain_inbox()
    assert drained(merger) == list(range(50))
