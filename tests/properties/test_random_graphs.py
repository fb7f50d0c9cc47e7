"""Random graphs run for real and by a naive sequential model: same state, same chunks, in an allowed order."""

from __future__ import annotations

import random
import sys
from typing import Any

import anyio
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from tests.support import checkpoints, run_on

from ._random_graphs import Graph, GraphRan, Node, TooBig, build, check_stream, graphs, simulate, without_ids

MODES: Any = ["custom", "updates", "values"]


def small(graph: Graph) -> GraphRan:
    """The model's run; graphs that get out of hand are not tried."""
    try:
        return simulate(graph, ["in"])
    except TooBig:
        reject()


readers = st.lists(st.integers(0, 3), min_size=1, max_size=4)
"""How many turns the reader lets pass after each chunk, over and over."""


@settings(max_examples=25)
@given(graphs(), st.integers(1, 5), readers, st.sampled_from([0, 0, 1, 3]), st.sampled_from([None, 1, 2]))
async def test_a_random_graph_does_what_the_model_does(
    graph: Graph, mark: int, pauses: list[int], run_ahead: int, slots: int | None
) -> None:
    ran = small(graph)
    chunks: list[Any] = []
    config = {"recursion_limit": 50, "max_concurrency": slots}
    async with build(graph).astream(
        {"log": ["in"]}, config, stream_mode=MODES, subgraphs=True, high_water_mark=mark, run_ahead=run_ahead
    ) as run:
        async for chunk in run:
            chunks.append(chunk)
            await checkpoints(pauses[len(chunks) % len(pauses)])
        assert await run.result() == {"log": ran.log}
        statistics = run.statistics()
    check_stream(chunks, ran)
    assert len(chunks) == statistics.delivered == ran.chunks
    assert statistics.dropped == statistics.buffered == 0


@settings(max_examples=12)
@given(graphs(depth=2))
async def test_without_a_reader_it_comes_to_the_same(graph: Graph) -> None:
    ran = small(graph)
    assert await build(graph).ainvoke({"log": ["in"]}, {"recursion_limit": 50}) == {"log": ran.log}


@settings(max_examples=15)
@given(graphs())
def test_from_a_plain_thread_it_comes_to_the_same(graph: Graph) -> None:
    ran = small(graph)
    stream = build(graph).stream({"log": ["in"]}, {"recursion_limit": 50}, stream_mode=MODES, subgraphs=True)
    check_stream(list(stream), ran)


def seed_scheduler(seed: int) -> None:
    """trio shuffles the tasks that are ready; everything else is deterministic."""
    if "trio" in sys.modules:
        from trio._core import _run

        _run._r = random.Random(seed)


@settings(max_examples=10)
@given(graphs(threads=False), st.integers(1, 4), readers, st.integers(0, 99))
def test_the_same_schedule_gives_the_same_stream(
    backend_id: str, graph: Graph, mark: int, pauses: list[int], seed: int
) -> None:
    small(graph)
    compiled = build(graph)

    async def read() -> list[Any]:
        seed_scheduler(seed)
        chunks: list[Any] = []
        async with compiled.astream(
            {"log": ["in"]}, {"recursion_limit": 50}, stream_mode=MODES, subgraphs=True, high_water_mark=mark
        ) as run:
            async for chunk in run:
                chunks.append(chunk)
                await checkpoints(pauses[len(chunks) % len(pauses)])
        return without_ids(chunks)

    assert run_on(backend_id, read) == run_on(backend_id, read)


async def test_the_model_can_tell_wrong_from_right() -> None:
    """Swapping two chunks of a superstep's border, or losing one, is noticed."""
    graph = Graph([Node("a", 2), Node("b", 2)], [("a", "b")], [], ["a"])
    ran = simulate(graph, ["in"])
    with anyio.fail_after(5):
        async with build(graph).astream({"log": ["in"]}, stream_mode=MODES, subgraphs=True) as run:
            chunks = [chunk async for chunk in run]
    check_stream(chunks, ran)
    for i in range(len(chunks) - 1):
        swapped = [*chunks[:i], chunks[i + 1], chunks[i], *chunks[i + 2 :]]
        with pytest.raises((AssertionError, ValueError)):
            check_stream(swapped, ran)
    for i in range(len(chunks)):
        with pytest.raises((AssertionError, ValueError, IndexError)):
            check_stream([*chunks[:i], *chunks[i + 1 :]], ran)
