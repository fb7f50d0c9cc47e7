"""A reader that is slow, or has stopped for ever: memory stays bounded, and nothing is lost or out of order."""

from __future__ import annotations

import contextlib
import contextvars
import operator
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypedDict

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from penstock.config import get_stream_writer
from penstock.errors import NodeTimeoutError, RunCancelledError, StreamClosedError, StreamOverflowError
from penstock.graph import START, CompiledStateGraph, StateGraph
from penstock.streams import MODES
from penstock.streams._backend import loop_poster
from penstock.types import Overflow, Send, StreamMode, StreamWriter
from tests.support import Recorder, checkpoints, collect

MARK = 4
CHUNKS = 60
LONG = 10_000.0


class State(TypedDict):
    log: Annotated[list[Any], operator.add]


Graph = CompiledStateGraph[Any, Any, Any, Any]


def parallel(**nodes: Any) -> Graph:
    """A graph whose nodes all run in the first superstep."""
    builder = StateGraph(State)
    for name, node in nodes.items():
        builder.add_node(name, node).add_edge(START, name)
    return builder.compile()


def chain(*nodes: tuple[str, Any], **options: Any) -> Graph:
    """A graph whose nodes run one after the other."""
    builder = StateGraph(State)
    before = START
    for name, node in nodes:
        builder.add_node(name, node, **options).add_edge(before, name)
        before = name
    return builder.compile()


def nested(graph: Graph, levels: int) -> Graph:
    """The graph as a node of a graph, as a node of a graph, ..."""
    for _ in range(levels):
        graph = chain(("sub", graph))
    return graph


# -------------------------------------------------------------------- producers


async def awaited(state: State, writer: StreamWriter) -> None:
    for i in range(CHUNKS):
        await writer(i)


async def plain(state: State, writer: StreamWriter) -> None:
    for i in range(CHUNKS):
        writer(i)
        await anyio.lowlevel.checkpoint()


async def plain_and_sleep(state: State, writer: StreamWriter) -> None:
    for i in range(CHUNKS):
        writer(i)
        await anyio.sleep(0.001)


def sync(state: State, writer: StreamWriter) -> None:
    for i in range(CHUNKS):
        writer(i)


async def async_generator(state: State, writer: StreamWriter) -> Any:
    for i in range(CHUNKS):
        writer(i)
        yield {"log": [i]}


async def in_a_function_below(state: State) -> None:
    async def helper() -> None:
        for i in range(CHUNKS):
            await get_stream_writer()(i)

    await helper()


async def awaiting_children(state: State, writer: StreamWriter) -> None:
    async def child(name: int) -> None:
        for i in range(CHUNKS // 3):
            await writer((name, i))

    async with anyio.create_task_group() as group:
        for name in range(3):
            group.start_soon(child, name)


async def helper_thread(state: State, writer: StreamWriter) -> None:
    for i in range(CHUNKS):
        await anyio.to_thread.run_sync(writer, i)


async def thread_of_its_own(state: State, writer: StreamWriter) -> None:
    def work() -> None:
        for i in range(CHUNKS):
            writer(i)

    await anyio.to_thread.run_sync(work, abandon_on_cancel=False)


def _on_another_loop(node: Any) -> Any:
    """A node whose nested graph runs on a portal's loop, for it is called in a thread of the user's own."""
    inner = parallel(node=node)

    async def outer(state: State, writer: StreamWriter) -> None:
        done = anyio.Event()
        post, context = loop_poster(), contextvars.copy_context()

        def work() -> None:
            with contextlib.suppress(RunCancelledError):
                context.run(inner.invoke, {})
            with contextlib.suppress(RuntimeError):
                post(done.set)

        threading.Thread(target=work).start()
        await done.wait()

    return outer


PRODUCERS = {
    "awaited": (awaited, 0),
    "plain": (plain, 0),
    "plain_and_sleep": (plain_and_sleep, 0),
    "sync": (sync, 0),
    "in_a_function_below": (in_a_function_below, 0),
    "awaiting_children": (awaiting_children, 2),  # each child has written before it waits
    "helper_thread": (helper_thread, 0),
    "thread_of_its_own": (thread_of_its_own, 0),
}
every_producer = pytest.mark.parametrize("name", PRODUCERS)


async def stopped(stream: Any) -> Any:
    """Read until the nodes run, then stop reading for longer than anything takes; returns the statistics."""
    async with stream as run:
        async for _ in run:
            if run.statistics().running or run.statistics().delivered == 10:
                break
        await anyio.sleep(LONG)
        return run.statistics()


# -------------------------------------------------------------------- 31: the reader has stopped for ever


@pytest.mark.virtual_time
@every_producer
@pytest.mark.parametrize("mark", [1, MARK])
async def test_d31_one_producer_stops_at_the_mark(name: str, mark: int) -> None:
    node, more = PRODUCERS[name]
    statistics = await stopped(parallel(node=node).astream({}, stream_mode="custom", high_water_mark=mark))
    assert statistics.peak <= mark + more
    assert statistics.buffered >= mark - 1
    assert statistics.delivered == 1
    assert statistics.running == ("node",)


@pytest.mark.parametrize("name", ["awaited", "plain", "sync"])
async def test_d31_a_graph_on_another_loop_stops_at_the_mark(name: str) -> None:
    """Not in virtual time: the other loop lives in real time."""
    outer = parallel(outer=_on_another_loop(PRODUCERS[name][0]))
    async with outer.astream({}, stream_mode="custom", subgraphs=True, high_water_mark=MARK) as run:
        async for _ in run:
            break
        never = threading.Event()
        for _ in range(10):  # it writes as long as it can
            before = run.statistics().peak
            await anyio.to_thread.run_sync(never.wait, 0.02)
        statistics = run.statistics()
    assert before == statistics.peak <= MARK + 2
    assert statistics.delivered == 1


@pytest.mark.virtual_time
@pytest.mark.parametrize("burst", [1, 3, 10])
async def test_d31_plain_writes_stop_at_the_mark_and_one_burst(burst: int) -> None:
    async def node(state: State, writer: StreamWriter) -> None:
        for _ in range(CHUNKS):
            for i in range(burst):
                writer(i)
            await anyio.lowlevel.checkpoint()

    statistics = await stopped(parallel(node=node).astream({}, stream_mode="custom", high_water_mark=8))
    assert statistics.peak <= 8 + burst - 1


@pytest.mark.virtual_time
async def test_d31_plain_writes_of_children_hold_the_node_back() -> None:
    """The children of a node are not driven; what they write counts for the node, which pauses for them."""

    async def node(state: State, writer: StreamWriter) -> None:
        async def child() -> None:
            writer("chunk")

        for _ in range(CHUNKS):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(child)

    statistics = await stopped(parallel(node=node).astream({}, stream_mode="custom", high_water_mark=MARK))
    assert statistics.peak <= MARK + 3 - 1 + 3


@pytest.mark.virtual_time
@every_producer
async def test_d31_eight_at_once(name: str) -> None:
    node, more = PRODUCERS[name]
    graph = parallel(**{f"node{i}": node for i in range(8)})
    statistics = await stopped(graph.astream({}, stream_mode="custom", high_water_mark=MARK))
    assert 4 * MARK <= statistics.peak <= 8 * (MARK + more)
    assert len(statistics.running) == 8


@pytest.mark.virtual_time
@every_producer
async def test_d31_three_levels_deep(name: str) -> None:
    node, more = PRODUCERS[name]
    graph = nested(parallel(node=node), 3)
    stream = graph.astream({}, stream_mode="custom", subgraphs=True, high_water_mark=MARK)
    statistics = await stopped(stream)
    assert statistics.peak <= MARK + more
    assert statistics.running == ("node",)


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    "mode",
    ["values", "updates", "custom", "tasks", "debug", list(MODES)],
    ids=lambda mode: mode if isinstance(mode, str) else "all",
)
@pytest.mark.parametrize("shape", ["sends", "subgraph_loop", "run_ahead", "generator"])
async def test_d31_every_mode(mode: Any, shape: str) -> None:
    """Whatever makes chunks without the reader: wide supersteps, loops below, supersteps run ahead, generators.

    The bound is what the stream holds, and one chunk for each task that runs.
    """
    statistics = await stopped(ENDLESS[shape](mode))
    assert statistics.peak <= 4 * MARK + 4


async def _short(state: State, writer: StreamWriter) -> dict[str, Any]:
    writer("chunk")
    return {"log": ["x"]}


def _endless_sends(mode: Any) -> Any:
    graph = (
        StateGraph(State)
        .add_node("leaf", _short)
        .add_conditional_edges(START, lambda state: [Send("leaf", {"log": []})] * 100, ["leaf"])
        .compile()
    )
    options = {"max_concurrency": 3}
    return graph.astream({"log": []}, options, stream_mode=mode, high_water_mark=MARK)


def _loop_of(node: Any) -> Graph:
    return StateGraph(State).add_node("again", node).add_edge(START, "again").add_edge("again", "again").compile()


def _endless_loop_below(mode: Any) -> Any:
    options = {"recursion_limit": 100}
    graph = nested(_loop_of(_short), 1)
    return graph.astream({"log": []}, options, stream_mode=mode, subgraphs=True, high_water_mark=MARK)


def _endless_run_ahead(mode: Any) -> Any:
    options = {"recursion_limit": 100}
    return _loop_of(_short).astream({"log": []}, options, stream_mode=mode, high_water_mark=MARK, run_ahead=10_000)


def _endless_generator(mode: Any) -> Any:
    graph = parallel(node=async_generator)
    return graph.astream({"log": []}, stream_mode=mode, high_water_mark=MARK)


ENDLESS = {
    "sends": _endless_sends,
    "subgraph_loop": _endless_loop_below,
    "run_ahead": _endless_run_ahead,
    "generator": _endless_generator,
}


@pytest.mark.virtual_time
async def test_d31_a_readers_own_deadline_does_not_let_producers_go() -> None:
    peaks = []
    with anyio.move_on_after(60):
        async with parallel(node=plain_and_sleep).astream({}, stream_mode="custom", high_water_mark=MARK) as run:
            await run.__anext__()
            await anyio.sleep(59)
            peaks.append(run.statistics().peak)
            await anyio.sleep_forever()
    assert peaks == [MARK]


@pytest.mark.virtual_time
async def test_d31_a_deadline_in_the_node_does_not_let_it_go_either() -> None:
    async def node(state: State, writer: StreamWriter) -> None:
        with anyio.move_on_after(600):
            for _ in range(2000):
                writer("chunk")
                await anyio.sleep(0.001)

    statistics = await stopped(parallel(node=node).astream({}, stream_mode="custom", high_water_mark=MARK))
    assert statistics.peak <= 16 * MARK + 1


@pytest.mark.backends("asyncio+eager", "asyncio+uvloop", "trio")  # debug mode would take too long
async def test_d31_memory_does_not_grow() -> None:
    """200,000 chunks of 1 KiB through a slow reader; unread they would be 200 MB."""
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("needs /proc")

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    async def node(state: State, writer: StreamWriter) -> None:
        for i in range(2_000):
            for j in range(100):
                writer(bytes(1024) + b"%d" % (100 * i + j))
            await anyio.lowlevel.checkpoint()

    before, highest, read = resident(), 0, 0
    async with parallel(node=node).astream({}, stream_mode="custom") as run:
        async for chunk in run:
            assert int(chunk[1024:]) == read
            read += 1
            if read % 500 == 0:
                await checkpoints(5)
            if read % 10_000 == 0:
                highest = max(highest, resident())
        assert run.statistics().peak <= 64 + 100
    assert read == 200_000
    assert highest - before < 60 * 2**20


# -------------------------------------------------------------------- 32: the reader goes on


@pytest.mark.virtual_time
@every_producer
@pytest.mark.parametrize("mark", [1, 3])
async def test_d32_every_chunk_once_and_in_order(name: str, mark: int) -> None:
    node, _ = PRODUCERS[name]
    chunks: list[Any] = []
    async with parallel(node=node).astream({}, stream_mode="custom", high_water_mark=mark) as run:
        async for chunk in run:
            chunks.append(chunk)
            if len(chunks) in (1, 20, 21):
                await anyio.sleep(LONG)
            elif len(chunks) % 7 == 0:
                await checkpoints(3)
    if name == "awaiting_children":
        for child in range(3):
            assert [i for n, i in chunks if n == child] == list(range(CHUNKS // 3))
        assert len(chunks) == CHUNKS
    else:
        assert chunks == list(range(CHUNKS))


@pytest.mark.virtual_time
async def test_d32_blocked_time_is_told() -> None:
    async with parallel(node=awaited).astream({}, stream_mode="custom", high_water_mark=MARK) as run:
        await run.__anext__()
        await anyio.sleep(100)
        await run.result()
        assert run.statistics().blocked_time == pytest.approx(100, rel=0.05)


# -------------------------------------------------------------------- 33: a firehose and a quiet node


@pytest.mark.parametrize("burst", [1, 2000])
async def test_d33_a_firehose_does_not_starve_a_quiet_node(burst: int) -> None:
    seen = Recorder()

    async def firehose(state: State, writer: StreamWriter) -> None:
        for start in range(0, 2000, burst):
            for i in range(start, start + burst):
                writer(i)
            await anyio.lowlevel.checkpoint()

    async def quiet(state: State, writer: StreamWriter) -> None:
        await checkpoints(10)
        seen("written")
        writer("quiet")

    async for chunk in parallel(firehose=firehose, quiet=quiet).astream({}, stream_mode="custom"):
        seen(chunk)
        if len(seen) % 8 == 0:
            await anyio.lowlevel.checkpoint()
    marks = list(seen)
    assert marks.index("quiet") - marks.index("written") <= 64 + 1
    assert [m for m in marks if isinstance(m, int)] == list(range(2000))


async def test_d33_a_burst_does_not_delay_a_siblings_update() -> None:
    async def burst(state: State, writer: StreamWriter) -> None:
        for i in range(3000):
            writer(i)
        await anyio.lowlevel.checkpoint()

    async def quick(state: State) -> dict[str, Any]:
        return {"log": ["quick"]}

    graph = parallel(burst=burst, quick=quick)
    chunks = await collect(graph.astream({}, stream_mode=["custom", "updates"]))
    assert chunks.index(("updates", {"quick": {"log": ["quick"]}})) <= 64
    assert chunks[-1] == ("updates", {"burst": None})
    assert len(chunks) == 3002


async def test_d33_a_sync_firehose_does_not_starve_an_async_node() -> None:
    async def quiet(state: State, writer: StreamWriter) -> None:
        for i in range(20):
            await writer(("quiet", i))

    chunks = await collect(parallel(sync=sync, quiet=quiet).astream({}, stream_mode="custom", high_water_mark=2))
    assert [c[1] for c in chunks if isinstance(c, tuple)] == list(range(20))
    assert [c for c in chunks if isinstance(c, int)] == list(range(CHUNKS))


# -------------------------------------------------------------------- 34: order


@pytest.mark.parametrize("mark", [1, 3, 64])
async def test_d34_supersteps_tasks_and_subgraphs_in_order(mark: int) -> None:
    def bursts(name: str, n: int) -> Any:
        async def node(state: State, writer: StreamWriter) -> dict[str, Any]:
            for i in range(n):
                writer((name, i))
            return {"log": [name]}

        return node

    inner = chain(("leaf1", bursts("leaf1", 10)), ("leaf2", bursts("leaf2", 10)))
    builder = StateGraph(State)
    for name, n in (("a", 5), ("b", 30)):
        builder.add_node(name, bursts(name, n)).add_edge(START, name)
    builder.add_node("sub", inner).add_edge(["a", "b"], "sub")
    builder.add_node("last", bursts("last", 3)).add_edge("sub", "last")
    graph = builder.compile()
    stream = graph.astream(
        {"log": []}, stream_mode=["custom", "updates", "values"], subgraphs=True, high_water_mark=mark
    )
    chunks = await collect(stream)
    events = [name_of(c) for c in chunks]
    for first, then in [
        ("custom a", "updates a"),
        ("custom b", "updates b"),
        ("updates a", "custom leaf1"),
        ("updates b", "custom leaf1"),
        ("custom leaf1", "updates leaf1"),
        ("updates leaf1", "custom leaf2"),
        ("custom leaf2", "updates leaf2"),
        ("updates leaf2", "updates sub"),
        ("updates sub", "custom last"),
        ("custom last", "updates last"),
    ]:
        last_of_first = len(events) - 1 - events[::-1].index(first)
        assert last_of_first < events.index(then), (first, then)
    for name, n in (("a", 5), ("b", 30), ("leaf1", 10), ("leaf2", 10), ("last", 3)):
        assert [c[2][1] for c in chunks if name_of(c) == f"custom {name}"] == list(range(n))
    values = [i for i, (ns, mode, _) in enumerate(chunks) if ns == () and mode == "values"]
    assert len(values) == 4
    assert events.index("updates sub") < values[2] < events.index("custom last") < values[3]


def name_of(chunk: Any) -> str:
    """What a (namespace, mode, data) chunk is of."""
    _, mode, data = chunk
    if mode == "custom":
        return f"custom {data[0]}"
    return f"updates {next(iter(data))}" if mode == "updates" else mode


@pytest.mark.virtual_time
async def test_d34_updates_come_as_tasks_end_and_the_state_as_tasks_are_ordered() -> None:
    def sleeper(name: str, seconds: float) -> Any:
        async def node(state: State) -> dict[str, Any]:
            await anyio.sleep(seconds)
            return {"log": [name]}

        return node

    graph = parallel(a=sleeper("a", 3), b=sleeper("b", 1), c=sleeper("c", 2))
    chunks = await collect(graph.astream({}, stream_mode=["updates", "values"]))
    assert [list(c) for mode, c in chunks if mode == "updates"] == [["b"], ["c"], ["a"]]
    assert chunks[-1] == ("values", {"log": ["a", "b", "c"]})


async def test_d34_what_a_thread_wrote_last_precedes_its_update() -> None:
    def node(state: State, writer: StreamWriter) -> dict[str, Any]:
        for i in range(5):
            writer(i)
        return {"log": ["x"]}

    for _ in range(20):
        chunks = await collect(parallel(node=node).astream({}, stream_mode=["custom", "updates"]))
        assert chunks == [*(("custom", i) for i in range(5)), ("updates", {"node": {"log": ["x"]}})]


# -------------------------------------------------------------------- 35: policies

KEPT: dict[Overflow, tuple[list[int], int]] = {
    "drop_oldest": ([7, 8, 9], 7),
    "drop_newest": ([0, 1, 2], 7),
    "latest": ([9], 9),
}


def ten(kind: str) -> Any:
    """A node that writes ten chunks."""

    async def async_node(state: State, writer: StreamWriter) -> dict[str, Any]:
        for i in range(10):
            await writer(i)
        return {"log": ["x"]}

    def sync_node(state: State, writer: StreamWriter) -> dict[str, Any]:
        for i in range(10):
            writer(i)
        return {"log": ["x"]}

    return async_node if kind == "async" else sync_node


def ten_later(kind: str, gate: threading.Event, write: Callable[[StreamWriter, int], Any]) -> Any:
    """A node that writes a chunk, and when the gate is open, so that the reader has stopped, ten more."""

    async def async_node(state: State, writer: StreamWriter) -> dict[str, Any]:
        await writer("ready")
        while not gate.is_set():
            await anyio.sleep(0.1)
        for i in range(10):
            write(writer, i)
        return {"log": ["x"]}

    def sync_node(state: State, writer: StreamWriter) -> dict[str, Any]:
        writer("ready")
        gate.wait()
        for i in range(10):
            write(writer, i)
        return {"log": ["x"]}

    return async_node if kind == "async" else sync_node


async def read_around(stream: Any, gate: threading.Event) -> list[Any]:
    """Read until a node is ready, stop for a while, and read the rest."""
    chunks = []
    async for chunk in stream:
        chunks.append(chunk)
        if chunk[-1] == "ready":
            gate.set()
            await anyio.sleep(10)
    return chunks


@pytest.mark.virtual_time
@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("policy", KEPT)
async def test_d35_a_policy_keeps_the_right_chunks(policy: Overflow, kind: str) -> None:
    """And drops nothing of what tells the state."""
    gate = threading.Event()
    graph = parallel(node=ten_later(kind, gate, lambda writer, i: writer(i)))
    async with graph.astream(
        {"log": []},
        stream_mode=["updates", "custom", "values", "tasks"],
        high_water_mark=3,
        overflow={"custom": policy},
    ) as run:
        chunks = await read_around(run, gate)
        statistics = run.statistics()
    kept, dropped = KEPT[policy]
    assert [data for mode, data in chunks if mode == "custom"] == ["ready", *kept]
    assert statistics.dropped == dropped
    modes = [mode for mode, _ in chunks if mode != "custom"]
    assert modes == ["values", "tasks", "updates", "tasks", "values"]


@pytest.mark.virtual_time
async def test_d35_one_policy_for_all_spares_what_tells_the_state() -> None:
    """A hundred tasks, a mark of one, a reader that sleeps: every update and every task event arrives."""

    async def leaf(state: State, writer: StreamWriter) -> dict[str, Any]:
        for i in range(3):
            writer(i)
        return {"log": ["x"]}

    graph = (
        StateGraph(State)
        .add_node("leaf", leaf)
        .add_conditional_edges(START, lambda state: [Send("leaf", {"log": []})] * 100, ["leaf"])
        .compile()
    )
    async with graph.astream({"log": []}, stream_mode=list(MODES), high_water_mark=1, overflow="drop_newest") as run:
        counts: dict[str, int] = {}
        async for mode, _ in run:
            counts[mode] = counts.get(mode, 0) + 1
            await anyio.sleep(0.1)
        statistics = run.statistics()
    assert {m: n for m, n in counts.items() if m != "custom"} == {
        "values": 2,
        "updates": 100,
        "tasks": 200,
        "debug": 200,
    }
    assert counts["custom"] + statistics.dropped == 300
    assert statistics.dropped > 0


@pytest.mark.virtual_time
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_d35_raise_reaches_the_node_at_the_write(kind: str) -> None:
    caught = Recorder()
    gate = threading.Event()

    def write(writer: StreamWriter, i: int) -> None:
        try:
            writer(i)
        except StreamOverflowError:
            caught(i)

    graph = parallel(node=ten_later(kind, gate, write))
    async with graph.astream({}, stream_mode=["custom"], high_water_mark=3, overflow="raise") as run:
        chunks = await read_around(run, gate)
        assert run.statistics().dropped == 0
    assert chunks == [("custom", c) for c in ("ready", 0, 1, 2)]
    assert caught == list(range(3, 10))


async def test_d35_raise_that_is_not_handled_fails_the_node() -> None:
    async def node(state: State, writer: StreamWriter) -> None:
        for i in range(10):
            writer(i)

    chunks: list[Any] = []
    with pytest.raises(StreamOverflowError, match="overflow='raise'") as caught:
        async for chunk in parallel(node=node).astream({}, stream_mode="custom", high_water_mark=3, overflow="raise"):
            chunks.append(chunk)
    assert chunks == [0, 1, 2]
    assert any("'node'" in note for note in caught.value.__notes__)


@pytest.mark.virtual_time
async def test_d35_the_latest_is_never_lost_among_others() -> None:
    """Full neighbours may fill the stream: the last chunk of each node arrives all the same."""

    def progress(name: int) -> Any:
        async def node(state: State, writer: StreamWriter) -> dict[str, Any]:
            for i in range(50):
                writer((name, i))
                await anyio.sleep(0.01)
            return {"log": ["x"]}

        return node

    graph = parallel(**{f"node{i}": progress(i) for i in range(12)})
    last: dict[int, int] = {}
    async with graph.astream(
        {}, stream_mode=["custom", "updates", "tasks"], high_water_mark=1, overflow={"custom": "latest"}
    ) as run:
        async for mode, data in run:
            if mode == "custom":
                last[data[0]] = data[1]
            await anyio.sleep(0.1)
    assert last == dict.fromkeys(range(12), 49)


# -------------------------------------------------------------------- 36: no deadlock


@pytest.mark.virtual_time
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("mark", [1, 3])
async def test_d36_nodes_that_read_streams_they_started(mark: int, strict: bool) -> None:
    """Three levels, two nodes each, tiny buffers."""

    def forward(graph: Graph) -> Any:
        async def node(state: State, writer: StreamWriter) -> None:
            stream = graph.astream({}, stream_mode="custom", high_water_mark=mark)
            if strict:
                async with stream as run:
                    async for chunk in run:
                        await writer(chunk)
            else:
                async for chunk in stream:
                    writer(chunk)

        return node

    graph = parallel(a=ten("async"), b=ten("sync"))
    for _ in range(3):
        graph = parallel(a=forward(graph), b=forward(graph))
    with anyio.fail_after(LONG):
        chunks = await collect(graph.astream({}, stream_mode="custom", high_water_mark=mark))
    assert sorted(chunks) == sorted([*range(10)] * 16)


@pytest.mark.virtual_time
@pytest.mark.parametrize("below", ["async", "sync", "sends"])
@pytest.mark.parametrize("how", ["node", "called", "streamed", "sync_called"])
async def test_d36_one_slot_is_enough(how: str, below: str) -> None:
    """`max_concurrency=1` with nodes in subgraphs, sends, sync nodes, and a reader with a tiny buffer."""

    def leaf_graph() -> Graph:
        if below == "sends":
            return (
                StateGraph(State)
                .add_node("leaf", ten("async"))
                .add_conditional_edges(START, lambda state: [Send("leaf", {"log": []})] * 3, ["leaf"])
                .compile()
            )
        return parallel(x=ten(below), y=ten("async"))

    inner = leaf_graph()

    async def called(state: State) -> dict[str, Any]:
        return {"log": (await inner.ainvoke({"log": []}))["log"]}

    async def streamed(state: State, writer: StreamWriter) -> dict[str, Any]:
        async for chunk in inner.astream({"log": []}, stream_mode="custom", high_water_mark=1):
            writer(chunk)
        return {"log": ["x"]}

    def sync_called(state: State) -> dict[str, Any]:
        return {"log": inner.invoke({"log": []})["log"]}

    node: Any = {"node": inner, "called": called, "streamed": streamed, "sync_called": sync_called}[how]
    graph = parallel(a=node, b=node, c=ten("sync"))
    with anyio.fail_after(LONG):
        async with graph.astream(
            {"log": []}, {"max_concurrency": 1}, stream_mode="custom", subgraphs=True, high_water_mark=1
        ) as run:
            chunks = [chunk async for chunk in run]
            result = await run.result()
    leaves = 3 if below == "sends" else 2
    assert len(chunks) == 10 * (2 * leaves + 1)
    assert len(result["log"]) == 1 + 2 * (1 if how == "streamed" else leaves)


# -------------------------------------------------------------------- 37: values in hand


@pytest.mark.virtual_time
async def test_d37_a_value_is_not_lost_when_a_timeout_expires_while_the_node_is_held() -> None:
    got: list[int] = []
    send, receive = anyio.create_memory_object_stream[int](100)

    async def node(state: State, writer: StreamWriter) -> None:
        while not got or got[-1] != 19:
            item = None
            with anyio.move_on_after(0.002):
                item = await receive.receive()
                got.append(item)
            if item is not None:
                writer(item)

    async def feed() -> None:
        for i in range(20):
            await send.send(i)
            await anyio.sleep(0.0005)

    with send, receive, anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(feed)
            async for _ in parallel(node=node).astream({}, stream_mode="custom", high_water_mark=1):
                await anyio.sleep(0.004)
    assert got == list(range(20))


@pytest.mark.virtual_time
async def test_d37_timeouts_of_the_node_lose_half_at_most() -> None:
    seen = Recorder()

    async def node(state: State, writer: StreamWriter) -> None:
        for i in range(20):
            writer(i)
        with anyio.fail_after(1):
            for _ in range(20):
                await anyio.sleep(0.01)
        seen("in time")

    async for chunk in parallel(node=node).astream({}, stream_mode="custom", high_water_mark=4):
        if chunk == 0:
            await anyio.sleep(5)
    assert seen == ["in time"]


@pytest.mark.virtual_time
@pytest.mark.parametrize("name", ["awaited", "plain", "plain_and_sleep"])
async def test_d37_the_timeout_of_a_node_stands_still_while_it_is_held(name: str) -> None:
    node, _ = PRODUCERS[name]
    graph = chain(("node", node), timeout=2.0)
    chunks: list[Any] = []
    async for chunk in graph.astream({}, stream_mode="custom", high_water_mark=1):
        chunks.append(chunk)
        await anyio.sleep(5)
    assert chunks == list(range(CHUNKS))


@pytest.mark.virtual_time
async def test_d37_the_timeout_of_a_node_strikes_when_it_is_not_held() -> None:
    async def node(state: State, writer: StreamWriter) -> None:
        await writer("chunk")
        await anyio.sleep_forever()

    with pytest.raises(NodeTimeoutError):
        await collect(chain(("node", node), timeout=2.0).astream({}, stream_mode="custom", high_water_mark=1))
    assert anyio.current_time() < 10


# -------------------------------------------------------------------- cleanup and worker threads


async def _cancel(run: Any) -> None:
    run.cancel()


async def _close(run: Any) -> None:
    await run.aclose()


async def _leave(run: Any) -> None:
    pass


@pytest.mark.virtual_time
@pytest.mark.parametrize("end", [_cancel, _close, _leave])
@pytest.mark.parametrize("level", [0, 2])
async def test_d31_cleanup_is_never_held_back(end: Callable[[Any], Awaitable[None]], level: int) -> None:
    seen = Recorder()

    async def node(state: State, writer: StreamWriter) -> None:
        try:
            while True:
                writer("chunk")
                await anyio.sleep(0.001)
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(20):
                    await writer("bye")
                    writer("bye")
                    await anyio.sleep(0.001)
            seen("clean")

    graph = nested(parallel(node=node), level)
    async with graph.astream({}, stream_mode="custom", subgraphs=True, high_water_mark=1) as run:
        await run.__anext__()
        await anyio.sleep(10)
        await end(run)
    assert seen == ["clean"]
    assert anyio.current_time() < 20


@pytest.mark.virtual_time
@pytest.mark.parametrize("level", [0, 1, 2])
async def test_d31_cleanup_after_a_timeout_is_never_held_back(level: int) -> None:
    """The reader is somewhere else for a long time; a timed-out node must not wait for it to clean up."""
    seen = Recorder()

    async def node(state: State, writer: StreamWriter) -> None:
        try:
            await writer("chunk")
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(5):
                    await writer("bye")
                    writer("bye")
                    await anyio.sleep(0.001)
            seen(anyio.current_time())

    if level:
        graph = chain(("sub", nested(parallel(node=node), level - 1)), timeout=5.0)
    else:
        graph = chain(("node", node), timeout=5.0)
    began = anyio.current_time()
    with pytest.raises(NodeTimeoutError):
        async with graph.astream({}, stream_mode="custom", subgraphs=True, high_water_mark=3) as run:
            await run.__anext__()
            await anyio.sleep(LONG)
            assert run.statistics().running == ()
            await run.result()
    (ended,) = seen
    assert isinstance(ended, float)
    assert ended - began < 10


@pytest.mark.virtual_time
async def test_d31_a_failing_sibling_frees_those_who_are_held() -> None:
    async def failing(state: State) -> None:
        await anyio.sleep(5)
        raise ValueError("on purpose")

    nodes = {"failing": failing, "sync": sync, "plain": plain_and_sleep, "awaited": awaited}
    async with parallel(**nodes).astream({}, stream_mode="custom", high_water_mark=1) as run:
        await run.__anext__()
        await anyio.sleep(LONG)
        assert run.statistics().running == ()
        with pytest.raises(ValueError, match="on purpose"):
            await run.result()


def _blocked(seen: Recorder) -> Any:
    def node(state: State, writer: StreamWriter) -> None:
        seen("started")
        try:
            for i in range(10_000):
                writer(i)
        finally:
            seen("unwound")

    return node


@pytest.mark.parametrize("end", [_cancel, _close, _leave])
async def test_d31_a_blocked_thread_unwinds(end: Callable[[Any], Awaitable[None]]) -> None:
    seen = Recorder()
    async with parallel(node=_blocked(seen)).astream({}, stream_mode="custom", high_water_mark=2) as run:
        await run.__anext__()
        await end(run)
    assert seen == ["started", "unwound"]


@pytest.mark.filterwarnings("ignore:a stream was dropped:ResourceWarning")
async def test_d31_a_blocked_thread_unwinds_at_break() -> None:
    seen = Recorder()
    async for chunk in parallel(node=_blocked(seen)).astream({}, stream_mode="custom", high_water_mark=2):
        if chunk == 5:
            break
    await seen.wait_for("unwound")


@pytest.mark.filterwarnings("ignore:a stream was dropped:ResourceWarning")
async def test_d31_a_blocked_thread_unwinds_when_the_reader_is_cancelled() -> None:
    seen = Recorder()
    with anyio.CancelScope() as scope:
        async for chunk in parallel(node=_blocked(seen)).astream({}, stream_mode="custom", high_water_mark=2):
            if chunk == 5:
                scope.cancel()
                await anyio.lowlevel.checkpoint()
    await seen.wait_for("unwound")


@pytest.mark.virtual_time
async def test_d31_a_blocked_thread_unwinds_at_the_timeout_of_the_node_around_it() -> None:
    """The node around reads slowly itself: its own time passes, and its timeout reaches the thread below."""
    seen = Recorder()
    inner = parallel(node=_blocked(seen))

    async def around(state: State) -> None:
        async with inner.astream({}, stream_mode="custom", high_water_mark=2) as run:
            await run.__anext__()
            await anyio.sleep_forever()

    with pytest.raises(NodeTimeoutError):
        await chain(("around", around), timeout=3.0).ainvoke({})
    assert seen == ["started", "unwound"]


# -------------------------------------------------------------------- 38: writes at a wrong time or place


async def test_d38_after_the_node_has_ended() -> None:
    kept: list[StreamWriter] = []

    async def first(state: State, writer: StreamWriter) -> None:
        kept.append(writer)
        writer("first")

    async def second(state: State, writer: StreamWriter) -> None:
        with pytest.raises(StreamClosedError, match="after its node had ended"):
            kept[0]("too late")
        with pytest.raises(StreamClosedError):
            await anyio.to_thread.run_sync(kept[0], "too late")
        writer("second")

    graph = chain(("first", first), ("second", second))
    assert await collect(graph.astream({}, stream_mode="custom")) == ["first", "second"]


async def test_d38_after_the_run_has_ended() -> None:
    kept: list[StreamWriter] = []

    async def node(state: State, writer: StreamWriter) -> None:
        kept.append(writer)
        writer("chunk")

    assert await collect(parallel(node=node).astream({}, stream_mode="custom")) == ["chunk"]
    with pytest.raises(StreamClosedError):
        kept[0]("too late")
    with pytest.raises(StreamClosedError):
        await anyio.to_thread.run_sync(kept[0], "too late")


async def test_d38_from_a_foreign_thread() -> None:
    """A thread of the user's own may write while the node runs, into the node's place."""
    told: list[BaseException] = []

    async def node(state: State, writer: StreamWriter) -> None:
        def write(chunk: str) -> None:
            try:
                writer(chunk)
            except StreamClosedError as error:
                told.append(error)

        thread = threading.Thread(target=write, args=("from a thread",))
        thread.start()
        await anyio.to_thread.run_sync(thread.join)

    graph = nested(parallel(node=node), 1)
    chunks = await collect(graph.astream({}, stream_mode="custom", subgraphs=True))
    ((namespace, chunk),) = chunks
    assert (len(namespace), chunk) == (1, "from a thread")
    assert told == []


async def test_d38_from_another_runs_node() -> None:
    """A writer leads to its own node's place, whoever calls it; once that node is gone, to an error."""
    writers: list[StreamWriter] = []
    may_end = anyio.Event()

    async def owner(state: State, writer: StreamWriter) -> None:
        writers.append(writer)
        await may_end.wait()

    async def guest(state: State, writer: StreamWriter) -> None:
        while not writers:
            await anyio.lowlevel.checkpoint()
        writers[0]("for the owner")
        writer("for the guest")

    seen: dict[str, list[Any]] = {}

    async def read(name: str, graph: Graph) -> None:
        seen[name] = await collect(graph.astream({}, stream_mode="custom", subgraphs=True))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(read, "owner", nested(parallel(owner=owner), 2))
            await read("guest", parallel(guest=guest))
            may_end.set()
    assert seen["guest"] == [((), "for the guest")]
    ((namespace, chunk),) = seen["owner"]
    assert (len(namespace), chunk) == (2, "for the owner")


@pytest.mark.virtual_time
async def test_d38_the_first_write_comes_in_the_cleanup() -> None:
    seen = Recorder()

    async def node(state: State) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            get_stream_writer()("bye")
            with anyio.CancelScope(shield=True):
                for _ in range(5):
                    await get_stream_writer()("bye")
            seen("clean")

    async def failing(state: State) -> None:
        await anyio.sleep(1)
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        async with parallel(node=node, failing=failing).astream(
            {"log": []}, stream_mode=["custom", "values"], high_water_mark=1
        ) as run:
            await run.__anext__()
            with anyio.move_on_after(2):
                await run.__anext__()
            await anyio.sleep(LONG)
            assert run.statistics().running == ()
            await run.result()
    async with parallel(node=node).astream({"log": []}, stream_mode=["custom", "values"]) as run:
        await run.__anext__()
        with anyio.move_on_after(1):
            await run.__anext__()
    assert seen == ["clean", "clean"]


async def test_d38_a_node_that_swallows_its_cancellation_writes_to_nobody() -> None:
    async def node(state: State, writer: StreamWriter) -> dict[str, Any]:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            writer("nobody reads this")
        return {"log": ["x"]}

    async with parallel(node=node).astream({"log": []}, stream_mode=list(MODES)) as run:
        await run.__anext__()
        with anyio.move_on_after(0.01):
            while True:
                await run.__anext__()
        run.cancel()
        assert [chunk async for chunk in run] == []
        assert run.statistics().buffered == 0


# -------------------------------------------------------------------- between supersteps


def counting(seen: Recorder, names: Sequence[str]) -> Graph:
    def node(name: str) -> Any:
        async def run(state: State) -> dict[str, Any]:
            seen(name)
            return {"log": [name]}

        return run

    return chain(*((name, node(name)) for name in names))


@pytest.mark.parametrize("mode", ["updates", "values", ["updates", "tasks"]])
async def test_d34_lock_step_the_next_superstep_waits_for_the_reader(mode: Any) -> None:
    seen = Recorder()
    async with counting(seen, "abcd").astream({"log": []}, stream_mode=mode) as run:
        async for chunk in run:
            if "b" in repr(chunk) and "updates" not in repr(mode):
                break
            if "'b': {'log'" in repr(chunk):
                break
        await checkpoints(20)
        assert seen == ["a", "b"]


async def test_d34_break_on_an_update_and_the_next_node_never_ran() -> None:
    seen = Recorder()
    async for chunk in counting(seen, "abcd").astream({"log": []}):
        if "b" in chunk:
            break
    await checkpoints(20)
    assert seen == ["a", "b"]


@pytest.mark.parametrize("run_ahead", [1, 2, 3])
async def test_d34_run_ahead_is_bounded(run_ahead: int) -> None:
    seen = Recorder()
    names = "abcdefghij"
    async with counting(seen, names).astream({"log": []}, run_ahead=run_ahead) as run:
        for read in range(1, len(names) + 1):
            await run.__anext__()
            await checkpoints(50)
            assert len(seen) == min(read + run_ahead, len(names)), read


# -------------------------------------------------------------------- what nobody asked for


@pytest.mark.parametrize("mode", MODES)
async def test_d31_an_unrequested_mode_builds_nothing(mode: StreamMode) -> None:
    async def node(state: State, writer: StreamWriter) -> dict[str, Any]:
        for i in range(10):
            writer(i)
        return {"log": ["x"]}

    async with parallel(node=node).astream({"log": []}, stream_mode=mode) as run:
        chunks = [chunk async for chunk in run]
        statistics = run.statistics()
    expected = {"values": 2, "updates": 1, "custom": 10, "tasks": 2, "debug": 2}.get(mode, 0)
    assert len(chunks) == statistics.delivered == expected
    assert statistics.peak <= expected


async def test_d31_only_builds_what_is_selected() -> None:
    async def node(state: State, writer: StreamWriter) -> dict[str, Any]:
        for i in range(10):
            writer(i)
        return {"log": ["x"]}

    graph = parallel(wanted=node, other=node, sub=nested(parallel(node=node), 1))
    options: Any = {"stream_mode": ["custom", "updates", "tasks"], "subgraphs": True}
    async with graph.astream({"log": []}, only="wanted", **options) as run:
        chunks = [chunk async for chunk in run]
        statistics = run.statistics()
    assert len(chunks) == statistics.delivered == 10 + 1 + 2
    assert statistics.peak <= 13
    async with graph.astream({"log": []}, only={"namespaces": [("sub", "sub")]}, **options) as run:
        chunks = [chunk async for chunk in run]
        assert run.statistics().peak <= 13
    assert len(chunks) == 13
    assert {len(namespace) for namespace, _, _ in chunks} == {2}
    async with graph.astream({"log": []}, only={"depth": 0, "nodes": ["sub"]}, **options) as run:
        assert [mode async for _, mode, _ in run] == ["tasks", "updates", "tasks"]


async def test_d31_what_nobody_reads_costs_no_buffer() -> None:
    """`ainvoke` never waits for a reader."""
    with anyio.fail_after(5):
        graph = parallel(a=awaited, b=plain, c=sync)
        assert await graph.ainvoke({"log": [1]}) == {"log": [1]}
