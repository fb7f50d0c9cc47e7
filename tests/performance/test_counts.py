"""What costs time, counted: tasks, turns of the loop, hops, frames, memory blocks, things nobody asked for, modules.

No test here looks at a clock.  A bound that is exact says what the design promises; one that is not leaves a little
room and says so.
"""

from __future__ import annotations

import asyncio
import operator
import subprocess
import sys
from collections.abc import Callable
from types import FrameType
from typing import Annotated, Any

import anyio
import anyio.lowlevel
import pytest
from typing_extensions import TypedDict

from penstock.channels import LastValue, reduce_writes
from penstock.graph import END, START, StateGraph
from penstock.runtime._program import Reader
from penstock.streams import Feed, Merger, Port, no_writer
from penstock.types import StreamMode
from tests.support import collect

STREAK = 64
"""Chunks that the reader takes at most without letting others run."""


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


def graph(*steps: list[Any]) -> Any:
    """Supersteps, each of which is a list of functions and graphs."""
    builder = StateGraph(State)
    before: list[str] = []
    for number, step in enumerate(steps):
        names = [f"{number}.{i}" for i in range(len(step))]
        for name, node in zip(names, step, strict=True):
            builder.add_node(name, node)
            builder.add_edge(before or START, name)
        before = names
    return builder.compile()


def nested(node: Any, depth: int) -> Any:
    """A graph with a node that lies that many graphs deep."""
    made = graph([node])
    for _ in range(depth):
        made = graph([made])
    return made


async def quiet(state: State) -> dict[str, Any]:
    await anyio.lowlevel.checkpoint()
    return {"log": ["quiet"]}


def speaker(chunks: int, *, paced: bool = False) -> Any:
    async def speak(state: State, writer: Any) -> None:
        for i in range(chunks):
            if paced:
                await anyio.lowlevel.checkpoint()
            writer(i)

    return speak


class Calls:
    """Counts the calls of a method while a test runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.args: list[tuple[Any, ...]] = []
        method: Callable[..., Any] = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.args.append(args[1:])
            return method(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    def __len__(self) -> int:
        return len(self.args)


# -------------------------------------------------------------------- tasks


async def tasks_of(run: Any) -> int:
    """How many tasks a run starts through the loop's task factory: all but the host, which is made without it."""
    started = 0

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> Any:
        nonlocal started
        started += 1
        return asyncio.Task(coro, loop=loop, **kwargs)

    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(factory)
    try:
        await collect(run)
    finally:
        loop.set_task_factory(before)
    return started


@pytest.mark.backends("asyncio")
@pytest.mark.parametrize("steps", [1, 20])
async def test_a_lone_node_starts_no_task(steps: int) -> None:
    assert await tasks_of(graph(*[[quiet]] * steps).astream({"log": []})) == 0


@pytest.mark.backends("asyncio")
@pytest.mark.parametrize("nodes", [2, 20])
async def test_nodes_side_by_side_start_a_task_each(nodes: int) -> None:
    assert await tasks_of(graph([quiet] * nodes).astream({"log": []})) == nodes


async def hasty(state: State) -> dict[str, Any]:  # noqa: ASYNC124 - that it awaits nothing is the point
    return {"log": ["hasty"]}


@pytest.mark.backends("asyncio")
@pytest.mark.parametrize(
    ("nodes", "tasks"),
    [
        ([hasty] * 20, 1),
        ([hasty, hasty, quiet, hasty], 2),  # that of the first three, and one for the last
        ([quiet, hasty, hasty, hasty], 4),
    ],
)
async def test_nodes_that_never_suspend_share_a_task(nodes: list[Any], tasks: int) -> None:
    assert await tasks_of(graph(nodes).astream({"log": []})) == tasks


@pytest.mark.backends("asyncio")
async def test_all_nodes_begin_before_the_first_that_suspends_goes_on() -> None:
    seen = []

    def node(name: str) -> Any:
        async def run(state: State) -> None:
            seen.append(f"{name} begins")
            await anyio.lowlevel.checkpoint()
            seen.append(f"{name} goes on")

        return run

    await collect(graph([node("a"), node("b"), node("c")]).astream({}))
    assert seen == [f"{name} {what}" for what in ("begins", "goes on") for name in "abc"]


@pytest.mark.backends("asyncio")
async def test_a_subgraph_starts_no_task_of_its_own() -> None:
    assert await tasks_of(nested(quiet, 5).astream({"log": []}, subgraphs=True)) == 0


# -------------------------------------------------------------------- turns of the loop


async def turns_of(reading: Any) -> int:
    """How many turns of the loop others get while somebody reads."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as group:
        group.start_soon(count)
        await reading
        group.cancel_scope.cancel()
    return turns


async def test_a_chunk_after_a_suspension_costs_no_turn_beside_that_one() -> None:
    chunks = 500
    turns = await turns_of(collect(graph([speaker(chunks, paced=True)]).astream({}, stream_mode="custom")))
    assert chunks <= turns <= chunks + 20  # the run's beginning and end, and a rest of the reader's at most


async def test_a_reader_of_a_firehose_lets_others_run_and_not_too_often() -> None:
    chunks = 50 * STREAK
    run = graph([speaker(chunks)]).astream({}, stream_mode="custom", high_water_mark=chunks)
    turns = await turns_of(collect(run))
    assert chunks // STREAK - 1 <= turns <= chunks // STREAK + 20


async def test_a_first_chunk_costs_three_turns() -> None:
    """The run's task begins, its first superstep runs, the reader wakes."""
    run = graph([hasty]).astream({"log": []})
    assert await turns_of(run.__anext__()) <= 4  # who counts may have a turn before
    await run.aclose()


# -------------------------------------------------------------------- hops


@pytest.mark.parametrize("depth", [0, 1, 8])
async def test_a_chunk_crosses_one_stream_however_deep_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    mergers, writes = Calls(monkeypatch, Merger, "__init__"), Calls(monkeypatch, Port, "write")
    takes = Calls(monkeypatch, Merger, "take")
    run = nested(speaker(50), depth).astream({}, stream_mode="custom", subgraphs=True)
    assert len(await collect(run)) == 50
    assert (len(mergers), len(writes), len(takes)) == (1, 50, 50)


async def test_a_suspension_of_a_node_goes_through_few_frames() -> None:
    """Each is gone through twice per suspension; the exact number may change, but not grow unnoticed."""
    frames = []

    async def node(state: State) -> None:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if "penstock" in frame.f_globals.get("__name__", ""):
                frames.append(frame.f_code.co_name)
            frame = frame.f_back

    await collect(graph([node]).astream({}))
    assert len(frames) <= 10, frames


# -------------------------------------------------------------------- what has nothing to do with it


def test_a_superstep_asks_only_the_keys_that_were_written() -> None:
    plain: dict[str, Any] = {f"k{i}": LastValue(int) for i in range(50)}
    asked: list[str] = []

    class Counting(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            asked.append(key)
            return super().__getitem__(key)

    for step in range(3):
        changes = reduce_writes(Counting(plain), dict.fromkeys(plain, 0), [("node", "k7", step)])
        assert changes == {"k7": step}
    assert asked == ["k7"] * 3


async def test_a_router_behind_a_write_makes_one_copy_of_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Calls(monkeypatch, Reader, "read")

    async def node(state: State) -> dict[str, Any]:  # noqa: ASYNC124
        return {"log": ["node"]}

    def router(state: State) -> str:
        assert state["log"] == ["node"]
        return END

    builder = StateGraph(State).add_node("node", node).add_edge(START, "node")
    builder.add_conditional_edges("node", router, [END])
    await builder.compile().ainvoke({"log": []})
    assert len(reads) == 1  # for the node


# -------------------------------------------------------------------- what nobody asked for


@pytest.mark.parametrize("mode", ["values", "updates", "custom", "tasks"])
async def test_no_chunk_is_built_of_a_mode_that_nobody_asked_for(
    monkeypatch: pytest.MonkeyPatch, mode: StreamMode
) -> None:
    emitted, payloads = Calls(monkeypatch, Feed, "_emit"), Calls(monkeypatch, Feed, "_task_event")
    updates, shaped = Calls(monkeypatch, Feed, "_update"), Calls(monkeypatch, Feed, "_shape")
    ports = Calls(monkeypatch, Feed, "_open")
    await collect(graph([quiet, speaker(3)], [quiet]).astream({"log": []}, stream_mode=mode))
    assert {args[0] for args in emitted.args} <= {mode}
    assert {args[0] for args in shaped.args} <= {mode}
    assert bool(payloads) == (mode == "tasks")
    assert bool(updates) == (mode == "updates")
    assert bool(ports) == (mode == "custom")


async def test_a_writer_that_nobody_reads_is_one_that_does_nothing() -> None:
    seen = []

    async def node(state: State, writer: Any) -> None:
        seen.append(writer)

    await collect(graph([node]).astream({}, stream_mode="updates"))
    assert seen == [no_writer]


async def test_a_run_that_nobody_reads_has_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    mergers, feeds = Calls(monkeypatch, Merger, "__init__"), Calls(monkeypatch, Feed, "__init__")
    await graph([quiet, speaker(3)], [nested(quiet, 2)]).ainvoke({"log": []})
    assert (len(mergers), len(feeds)) == (0, 0)


# -------------------------------------------------------------------- memory


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="counts blocks of CPython's allocator")
@pytest.mark.parametrize("mark", [1, 10_000])
async def test_an_unread_chunk_takes_one_block(mark: int) -> None:
    """The pair of the port and the chunk; what holds the pairs adds one for every 64."""
    merger, chunks = Merger(mark), 5000
    write = Port(merger).write

    def fill_and_empty() -> tuple[int, int]:
        before = sys.getallocatedblocks()
        for _ in range(chunks):
            write(None)
        unread = sys.getallocatedblocks()
        for _ in range(chunks):
            merger.take()
        return unread - before, sys.getallocatedblocks() - before

    fill_and_empty()  # the interpreter keeps some pairs for the next time
    unread, left = fill_and_empty()
    merger.close()
    assert unread <= chunks * 1.1
    assert left <= 100


# -------------------------------------------------------------------- imports

SELDOM_NEEDED = {
    "anthropic",
    "anyio._backends._asyncio",
    "anyio._backends._trio",
    "asyncio",
    "httpx",
    "langchain_core",
    "langsmith",
    "openai",
    "penstock.integrations",
    "pathlib",
    "penstock.messages",
    "penstock.models",
    "penstock.prebuilt",
    "penstock.testing",
    "penstock.tools",
    "pydantic",
    "ssl",
    "trio",
}
"""What a graph can be built without."""


def modules_after(statement: str, *, given: str = "sys") -> set[str]:
    code = f"import sys, {given}; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_but_itself() -> None:
    assert {name for name in modules_after("import penstock") if name.startswith(("penstock", "anyio"))} == {"penstock"}


def test_importing_what_a_first_program_needs_loads_no_event_loop_and_no_extra() -> None:
    # anyio itself loads more in some versions than in others
    given = "anyio, anyio.abc, anyio.from_thread, anyio.lowlevel, anyio.to_thread"
    loaded = modules_after("from penstock.graph import END, START, StateGraph", given=given)
    assert not loaded & SELDOM_NEEDED
    assert {name for name in loaded if name.startswith("penstock.runnables")} == {
        "penstock.runnables",
        "penstock.runnables._composable",
    }
    assert sum(name.startswith("penstock") for name in loaded) <= 65  # 56 when this was written
