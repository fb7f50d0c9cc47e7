"""Random producers, reader speeds, marks and moments of cancellation: bounded, in order, and nothing left behind."""

from __future__ import annotations

import operator
import threading
from collections import deque
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import StreamClosedError
from penstock.graph import START, CompiledStateGraph, StateGraph
from penstock.streams import Merger, Port
from penstock.types import StreamWriter
from tests.support import Recorder, checkpoints


class State(TypedDict):
    log: Annotated[list[str], operator.add]


@dataclass(frozen=True)
class Act:
    """Something a node does: `how` it writes, and how many chunks."""

    how: str
    n: int


@dataclass(frozen=True)
class Writer:
    """A node: what it does, and what its cleanup does."""

    acts: tuple[Act, ...]
    sync: bool
    cleanup: int

    @property
    def chunks(self) -> int:
        return sum(a.n for a in self.acts if a.how != "pause")

    @property
    def burst(self) -> int:
        """How many chunks over the mark it can write before it is held: plain ones, or one of each child."""
        plain = sum(a.n for a in self.acts if a.how == "plain")
        return 0 if self.sync else plain + max([0, *(a.n for a in self.acts if a.how == "children")])


acts = st.builds(Act, st.sampled_from(["awaited", "plain", "paused", "children", "thread", "pause"]), st.integers(1, 5))
writers = st.builds(Writer, st.lists(acts, max_size=4).map(tuple), st.booleans(), st.integers(0, 2))
supersteps = st.lists(st.lists(writers, min_size=1, max_size=3), min_size=1, max_size=3)


class Run:
    """A chain of supersteps of random writers, the second of which is a subgraph's, and what they did."""

    def __init__(self, steps: list[list[Writer]]) -> None:
        self.steps = steps
        self.seen = Recorder()
        self.graph = self._chain([(f"{i}", s) for i, s in enumerate(steps)])

    def _chain(self, steps: list[tuple[str, list[Writer]]]) -> CompiledStateGraph[Any, Any, Any, Any]:
        builder = StateGraph(State)
        before: list[str] = []
        for place, step in steps:
            names = []
            if place == "1":
                builder.add_node("sub", self._chain([("1.", step)]))
                names.append("sub")
            else:
                for i, writer in enumerate(step):
                    names.append(f"{place}/{i}")
                    builder.add_node(names[-1], self._node(names[-1], writer))
            for name in names:
                builder.add_edge(before or START, name)
            before = names
        return builder.compile()

    def _node(self, name: str, spec: Writer) -> Any:
        seen = self.seen

        def sync_node(state: State, writer: StreamWriter) -> dict[str, Any]:
            seen((name, "start"))
            try:
                for i in range(spec.chunks):
                    writer((name, i))
            finally:
                seen((name, "end"))
            return {"log": [name]}

        async def async_node(state: State, writer: StreamWriter) -> dict[str, Any]:
            seen((name, "start"))
            count = iter(range(10_000))
            cancelled = False
            try:
                for act in spec.acts:
                    await _act(act, writer, lambda: (name, next(count)))
            except anyio.get_cancelled_exc_class():
                cancelled = True
                raise
            finally:
                with anyio.CancelScope(shield=True):
                    for _ in range(spec.cleanup):
                        # One that was just done when the reader was cancelled writes like any other.
                        if cancelled and seen.marks.count("cancelled"):
                            await writer("from the cleanup")
                        await anyio.lowlevel.checkpoint()
                seen((name, "end"))
            return {"log": [name]}

        return sync_node if spec.sync else async_node

    def check(self, chunks: list[Any], *, complete: bool) -> None:
        """Every task that began has ended; chunks are a prefix of each producer's, superstep by superstep."""
        begun = sorted(name for name, mark in (m for m in self.seen if isinstance(m, tuple)) if mark == "start")
        ended = sorted(name for name, mark in (m for m in self.seen if isinstance(m, tuple)) if mark == "end")
        assert begun == ended
        expected = {
            f"{place}/{i}": writer.chunks
            for k, step in enumerate(self.steps)
            for place in ["1." if k == 1 else f"{k}"]
            for i, writer in enumerate(step)
        }
        for name, total in expected.items():
            own = [i for n, i in chunks if n == name]
            assert own == list(range(len(own)))
            assert not complete or len(own) == total
        order = [name.partition("/")[0] for name, _ in chunks]
        assert order == sorted(order)

    @property
    def bound(self) -> int:
        """Most chunks over the mark at a time, for the nodes of one superstep."""
        return max(sum(w.burst for w in step) for step in self.steps)

    @property
    def width(self) -> int:
        return max(len(step) for step in self.steps)


async def _act(act: Act, writer: StreamWriter, chunk: Any) -> None:
    if act.how == "children":
        async with anyio.create_task_group() as group:
            for _ in range(act.n):
                group.start_soon(_write, writer, chunk)
    elif act.how == "thread":
        # In a thread of its own, one after the other.
        for _ in range(act.n):
            await anyio.to_thread.run_sync(writer, chunk())
    else:
        for _ in range(act.n):
            if act.how == "awaited":
                await writer(chunk())
            elif act.how != "pause":
                writer(chunk())
            if act.how in ("paused", "pause"):
                await anyio.lowlevel.checkpoint()


async def _write(writer: StreamWriter, chunk: Any) -> None:
    await writer(chunk())


async def read(run: Any, pauses: list[int], chunks: list[Any], limit: int | None = None) -> None:
    async for _, chunk in run:
        chunks.append(chunk)
        if len(chunks) == limit:
            return
        await checkpoints(pauses[len(chunks) % len(pauses)])


pauses = st.lists(st.integers(0, 4), min_size=1, max_size=4)
marks = st.sampled_from([1, 2, 3, 5, 64])


@settings(max_examples=25)
@given(supersteps, pauses, marks)
async def test_everything_arrives_in_order_and_within_the_bound(
    steps: list[list[Writer]], slow: list[int], mark: int
) -> None:
    run, chunks = Run(steps), list[Any]()
    async with run.graph.astream({"log": []}, stream_mode="custom", subgraphs=True, high_water_mark=mark) as stream:
        await read(stream, slow, chunks)
        statistics = stream.statistics()
    run.check(chunks, complete=True)
    assert statistics.peak <= run.width * mark + run.bound
    assert statistics.delivered == len(chunks)


@settings(max_examples=40)
@given(supersteps, pauses, marks, st.integers(0, 80), st.sampled_from(["scope", "cancel", "aclose"]), st.booleans())
async def test_cancelled_at_any_turn(
    steps: list[list[Writer]], slow: list[int], mark: int, turns: int, how: str, strict: bool
) -> None:
    run, chunks = Run(steps), list[Any]()
    scope = anyio.CancelScope()
    stream = run.graph.astream({"log": []}, stream_mode="custom", subgraphs=True, high_water_mark=mark)
    finished = anyio.Event()

    async def cancel() -> None:
        await checkpoints(turns)
        if finished.is_set():
            return
        run.seen("cancelled")
        if how == "scope":
            scope.cancel()
        elif how == "cancel":
            stream.cancel()
        else:
            await stream.aclose()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(cancel)
            with scope:
                try:
                    if strict:
                        async with stream:
                            await read(stream, slow, chunks)
                    else:
                        await read(stream, slow, chunks)
                finally:
                    with anyio.CancelScope(shield=True):
                        await stream.aclose()
                        finished.set()
    if strict and how == "scope":
        # The scope reaches the node, below it, as early as the reader, who may take one more chunk on its way out.
        chunks = [chunk for chunk in chunks if chunk != "from the cleanup"]
    run.check(chunks, complete="cancelled" not in run.seen)
    assert stream.statistics().running == ()


@settings(max_examples=20)
@given(supersteps, pauses, marks, st.integers(1, 12))
async def test_left_after_any_chunk(steps: list[list[Writer]], slow: list[int], mark: int, limit: int) -> None:
    run, chunks = Run(steps), list[Any]()
    async with run.graph.astream({"log": []}, stream_mode="custom", subgraphs=True, high_water_mark=mark) as stream:
        await read(stream, slow, chunks, limit)
        run.seen("cancelled")
    run.check(chunks, complete=False)


class Mailbox:
    """Hands items over through a wait, and takes back what was handed to a receiver that was cancelled in the same turn.

    anyio's memory object streams lose such an item.
    """

    def __init__(self) -> None:
        self.items: deque[int] = deque()
        self.waiting: deque[tuple[anyio.Event, list[int]]] = deque()

    def send(self, item: int) -> None:
        if not self.waiting:
            self.items.append(item)
            return
        event, hand = self.waiting.popleft()
        hand.append(item)
        event.set()

    async def receive(self) -> int:
        if self.items:
            await anyio.lowlevel.checkpoint()
            return self.items.popleft()
        waiter = anyio.Event(), list[int]()
        self.waiting.append(waiter)
        try:
            await waiter[0].wait()
        except BaseException:
            if waiter in self.waiting:
                self.waiting.remove(waiter)
            self.items.extendleft(waiter[1])
            raise
        return waiter[1].pop()


@settings(max_examples=25)
@given(
    st.integers(1, 3),
    st.lists(st.integers(0, 9), min_size=10, max_size=10),
    st.integers(0, 6),
    st.integers(0, 5),
    st.booleans(),
)
async def test_what_a_held_node_was_given_is_never_lost(
    mark: int, cuts: list[int], slow: int, gap: int, shield: bool
) -> None:
    """Items received in scopes that are cancelled at random moments, while children fill the buffer."""
    total = 12
    got: list[int] = []
    box = Mailbox()

    async def node(state: State, writer: StreamWriter) -> None:
        async def cut(scope: anyio.CancelScope, turns: int) -> None:
            for _ in range(turns):
                writer(None)  # the node is waiting for an item meanwhile
                await anyio.lowlevel.checkpoint()
            scope.cancel()

        async with anyio.create_task_group() as group:
            attempt = 0
            while len(got) < total:
                with anyio.CancelScope() as scope:
                    if attempt % 5 and cuts[attempt % 10]:  # every fifth attempt is left alone
                        group.start_soon(cut, scope, cuts[attempt % 10])
                    item = await box.receive()
                    got.append(item)
                    writer(item)
                    with anyio.CancelScope(shield=shield):
                        await anyio.lowlevel.checkpoint()
                attempt += 1
            group.cancel_scope.cancel()

    async def feed() -> None:
        for i in range(total):
            box.send(i)
            await checkpoints(gap)

    builder = StateGraph(State).add_node("node", node).add_edge(START, "node")
    read_back: list[int] = []
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(feed)
            async for chunk in builder.compile().astream({}, stream_mode="custom", high_water_mark=mark):
                if chunk is not None:
                    read_back.append(chunk)
                await checkpoints(slow)
    assert got == read_back == list(range(total))


@settings(max_examples=30)
@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from("wwtax"), st.integers(0, 2)), max_size=80))
async def test_the_fan_in_against_a_model(mark: int, operations: list[tuple[str, int]]) -> None:
    """Writes, takes, writes from another thread and closing, in any order, on three ports."""
    merger = Merger(mark)
    ports = [Port(merger) for _ in range(3)]
    unread: list[list[int]] = [[], [], []]
    counts = [0, 0, 0]
    closed: set[int] = set()
    try:
        for operation, index in operations:
            port = ports[index]
            if operation == "x":
                port.close()
                closed.add(index)
            elif operation == "a":
                if merger.in_stream:
                    name, i = merger.take()
                    assert unread[name].pop(0) == i
            elif index in closed:
                with pytest.raises(StreamClosedError):
                    port((index, -1))
            else:
                if operation == "t":
                    merger.stand_still_here()  # or the thread would wait for a reader
                    thread = threading.Thread(target=port, args=((index, counts[index]),))
                    thread.start()
                    thread.join()
                    merger.drain_inbox()
                else:
                    port((index, counts[index]))
                unread[index].append(counts[index])
                counts[index] += 1
            assert merger.buffered == sum(map(len, unread))
            assert (merger.in_stream == 0) == (merger.buffered == 0)
            assert merger.in_stream <= merger.capacity
            for number, other in enumerate(ports):
                assert other.pressed == (number not in closed and len(unread[number]) >= mark)
        while merger.in_stream:
            name, i = merger.take()
            assert unread[name].pop(0) == i
        assert unread == [[], [], []]
    finally:
        merger.close()
