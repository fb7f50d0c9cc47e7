"""From the call of ``astream()`` to the first item in the consumer's hands: the price of starting a run."""

from __future__ import annotations

from ..graph_api import GraphApi
from ..measure import Meter
from ..model import Program, Size, Workload
from ..raw import Engine
from .chain import compiled, plan, read


def graph(api: GraphApi, size: Size) -> Program:
    app = compiled(api, size["nodes"])
    config = {"recursion_limit": size["nodes"] + 10}

    async def run(meter: Meter) -> None:
        for _ in range(size["calls"]):
            meter.start()
            stream = app.astream({"value": 0}, config, stream_mode="updates")
            item = await stream.__anext__()
            meter.stop()
            meter.take(item)
            await stream.aclose()

    return Program(run, read)


def raw(engine: Engine, size: Size) -> Program:
    prepared = plan(size["nodes"])

    async def run(meter: Meter) -> None:
        for _ in range(size["calls"]):
            await engine.first(prepared, meter)

    return Program(run, read)


FIRST_CHUNK = Workload(
    name="first-chunk",
    title="from astream() to the first item of a chain",
    unit="call",
    sizes=({"nodes": 1, "calls": 100}, {"nodes": 100, "calls": 100}),
    quick={"nodes": 2, "calls": 3},
    units=lambda size: size["calls"],
    expected=lambda size: [("n0", 1)] * size["calls"],
    laps=True,
    graph=graph,
    raw=raw,
    needs=("first",),
)
