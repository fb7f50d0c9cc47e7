"""A chain of ordinary functions, which run in worker threads, through ``stream()`` and ``astream()``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..graph_api import GraphApi
from ..measure import Meter
from ..model import Program, Size, Workload
from ..raw import Engine
from .chain import compiled, expected, plan, read


def increment(state: Any) -> dict[str, int]:
    return {"value": state["value"] + 1}


def asynchronous(api: GraphApi, size: Size) -> Program:
    app = compiled(api, size["nodes"], increment)
    config = {"recursion_limit": size["nodes"] + 10}

    async def run(meter: Meter) -> None:
        take = meter.take
        async for chunk in app.astream({"value": 0}, config, stream_mode="updates"):
            take(chunk)

    return Program(run, read)


def synchronous(api: GraphApi, size: Size) -> Program | None:
    if api.backend.name != "asyncio":
        return None  # the caller has no loop, so there is nothing to tell apart
    app = compiled(api, size["nodes"], increment)
    config = {"recursion_limit": size["nodes"] + 10}

    def run(meter: Meter) -> None:
        meter.start()
        take = meter.take
        for chunk in app.stream({"value": 0}, config, stream_mode="updates"):
            take(chunk)
        meter.stop()

    return Program(run, read)


def raw_asynchronous(engine: Engine, size: Size) -> Program:
    prepared = plan(size["nodes"], increment)
    return Program(lambda meter: engine.threads(prepared, meter.take), read)


def raw_synchronous(engine: Engine, size: Size) -> Program:
    """In a loop of its own whose start is not counted: the yardstick is one thread hop per node."""
    prepared = plan(size["nodes"], increment)
    warm = plan(1, increment)

    def run(meter: Meter) -> None:
        async def main() -> None:
            await engine.threads(warm, lambda chunk: None)
            meter.start()
            await engine.threads(prepared, meter.take)
            meter.stop()

        engine.backend.run(main)

    return Program(run, read)


SYNC_ASTREAM = Workload(
    name="sync-astream",
    title="chain of sync nodes through astream(), updates",
    unit="superstep",
    sizes=({"nodes": 10}, {"nodes": 100}, {"nodes": 1000}),
    quick={"nodes": 3},
    units=lambda size: size["nodes"],
    expected=expected,
    graph=asynchronous,
    raw=raw_asynchronous,
    needs=("threads",),
)

SYNC_STREAM = replace(
    SYNC_ASTREAM,
    name="sync-stream",
    title="chain of sync nodes through stream(), updates",
    sync=True,
    laps=True,
    graph=synchronous,
    raw=raw_synchronous,
    needs=("threads",),
)
