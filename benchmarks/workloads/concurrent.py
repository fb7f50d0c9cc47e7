"""A busy server: many runs at once, each of three nodes, the middle one writing 20 chunks."""

# flake8: noqa: ASYNC124
# trivial nodes have nothing to await: what they cost is the question

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import repeat
from typing import Any, TypedDict

from ..backends import Backend
from ..graph_api import GraphApi
from ..measure import Meter
from ..model import Program, Size, Workload
from ..raw import Engine
from ..tempo import write_all

CHUNKS = 20


class Numbered(TypedDict):
    run: int


def items(run: int) -> Iterable[tuple[int, int]]:
    return zip(repeat(run), range(CHUNKS), strict=False)


def expected(size: Size) -> list[tuple[int, int]]:
    return [item for run in range(size["runs"]) for item in items(run)]


def graph(api: GraphApi, size: Size) -> Program:
    async def silent(state: Any) -> None:
        return None

    async def speak(state: Any) -> None:
        await write_all(api.get_stream_writer(), items(state["run"]), "paced", api.backend.turn)

    builder = api.StateGraph(Numbered)
    builder.add_node("before", silent)
    builder.add_node("speak", speak)
    builder.add_node("after", silent)
    builder.add_edge(api.START, "before")
    builder.add_edge("before", "speak")
    builder.add_edge("speak", "after")
    builder.add_edge("after", api.END)
    app = builder.compile()

    async def one(run: int, meter: Meter) -> None:
        take = meter.take
        async for chunk in app.astream({"run": run}, stream_mode="custom"):
            take(chunk)

    return all_at_once(size, one, api.backend)


def raw(engine: Engine, size: Size) -> Program:
    async def one(run: int, meter: Meter) -> None:
        await engine.relay([(), items(run), ()], meter.take)

    return all_at_once(size, one, engine.backend)


def all_at_once(size: Size, one: Any, backend: Backend) -> Program:
    async def run(meter: Meter) -> None:
        await backend.gather(partial(one, run, meter) for run in range(size["runs"]))

    return Program(run)


CONCURRENT = Workload(
    name="concurrent",
    title="concurrent runs of 3 nodes, 20 paced chunks each",
    unit="chunk",
    sizes=({"runs": 100}, {"runs": 1000}, {"runs": 10_000}),
    quick={"runs": 5},
    units=lambda size: size["runs"] * CHUNKS,
    expected=expected,
    order="by-source",
    graph=graph,
    raw=raw,
    needs=("relay",),
)

CONCURRENT_MEMORY = replace(
    CONCURRENT,
    name="concurrent-memory",
    title="growth of peak memory with concurrent runs",
    unit="MiB",
    metric="memory",
)
