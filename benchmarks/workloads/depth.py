"""Tokens from a node that lies some subgraphs deep: a chunk should not pay for the floors above it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from typing import Any

from ..graph_api import GraphApi
from ..measure import Meter
from ..model import Program, Size, Workload
from ..raw import Engine
from ..tempo import write_all
from .tokens import Spoken


def read(chunk: tuple[tuple[str, ...], int]) -> tuple[int, int]:
    namespace, token = chunk
    return len(namespace), token


def expected(size: Size) -> list[tuple[int, int]]:
    return [(size["depth"], token) for token in range(size["chunks"])]


def graph(api: GraphApi, size: Size) -> Program:
    async def speak(state: Any) -> dict[str, int]:
        await write_all(api.get_stream_writer(), range(size["chunks"]), "burst", api.backend.turn)
        return {"spoken": size["chunks"]}

    def around(body: Any) -> Any:
        builder = api.StateGraph(Spoken)
        builder.add_node("inner", body)
        builder.add_edge(api.START, "inner")
        builder.add_edge("inner", api.END)
        return builder.compile()

    app = around(speak)
    for _ in range(size["depth"]):
        app = around(app)

    async def run(meter: Meter) -> None:
        take = meter.take
        async for chunk in app.astream({"spoken": 0}, stream_mode="custom", subgraphs=True):
            take(chunk)

    return Program(run, read)


def raw(engine: Engine, size: Size) -> Program:
    namespace = tuple(f"inner:{level}" for level in range(size["depth"]))

    def items() -> Iterable[Any]:
        return zip(repeat(namespace), range(size["chunks"]), strict=False)

    return Program(lambda meter: engine.pour([items()], "burst", meter.take), read)


DEPTH = Workload(
    name="depth",
    title="tokens from subgraphs, in bursts, subgraphs=True",
    unit="token",
    sizes=({"depth": 1, "chunks": 10_000}, {"depth": 8, "chunks": 10_000}, {"depth": 64, "chunks": 10_000}),
    quick={"depth": 2, "chunks": 100},
    units=lambda size: size["chunks"],
    expected=expected,
    graph=graph,
    raw=raw,
    needs=("pour",),
)
