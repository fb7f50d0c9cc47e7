"""Readers slower than the producer: how much memory the backlog takes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from ..backends import Backend
from ..graph_api import GraphApi
from ..measure import Meter
from ..model import Program, Size, Workload
from ..raw import Engine, Reader
from ..tempo import write_all
from .tokens import Spoken

PATIENCE = 50
"""Turns without a single write after which the producer counts as held back (or done)."""

SLOWNESS = 2
"""Turns the slow reader spends on a chunk, for each of which the producer could write another."""


class Source:
    """1 KiB chunks, each an object of its own; ``written`` tells how far the producer has come."""

    def __init__(self, chunks: int) -> None:
        self.chunks = chunks
        self.written = 0

    def __iter__(self) -> Iterator[bytes]:
        for index in range(self.chunks):
            self.written += 1
            yield index.to_bytes(4, "big") * 256


def read(chunk: bytes) -> int:
    return int.from_bytes(chunk[:4], "big")


def slow(source: Source, meter: Meter, backend: Backend) -> Reader:
    async def reader(chunks: AsyncIterator[Any]) -> None:
        async for chunk in chunks:
            meter.take(chunk)
            for _ in range(SLOWNESS):
                await backend.turn()

    return reader


def stalled(source: Source, meter: Meter, backend: Backend) -> Reader:
    """Take one chunk, then nothing until the producer no longer moves; then the rest."""

    async def reader(chunks: AsyncIterator[Any]) -> None:
        meter.take(await chunks.__anext__())
        seen, patience = -1, PATIENCE
        while patience:
            patience = PATIENCE if source.written != seen else patience - 1
            seen = source.written
            await backend.turn()
        async for chunk in chunks:
            meter.take(chunk)

    return reader


def _workload(name: str, title: str, make_reader: Any) -> Workload:
    def graph(api: GraphApi, size: Size) -> Program:
        async def run(meter: Meter) -> None:
            source = Source(size["chunks"])

            async def speak(state: Any) -> None:
                await write_all(api.get_stream_writer(), source, "paced", api.backend.turn)

            builder = api.StateGraph(Spoken)
            builder.add_node("speak", speak)
            builder.add_edge(api.START, "speak")
            builder.add_edge("speak", api.END)
            stream = builder.compile().astream({"spoken": 0}, stream_mode="custom")
            await make_reader(source, meter, api.backend)(stream)

        return Program(run, read)

    def raw(engine: Engine, size: Size) -> Program:
        async def run(meter: Meter) -> None:
            source = Source(size["chunks"])
            await engine.read(source, make_reader(source, meter, engine.backend))

        return Program(run, read)

    return Workload(
        name=name,
        title=title,
        unit="MiB",
        sizes=({"chunks": 20_000}, {"chunks": 200_000}),
        quick={"chunks": 500},
        units=lambda size: 1,
        expected=lambda size: range(size["chunks"]),
        metric="memory",
        graph=graph,
        raw=raw,
        needs=("read",),
    )


SLOW_READER = _workload("slow-reader", "growth of peak memory, 1 KiB chunks, slow reader", slow)
STALLED_READER = _workload("stalled-reader", "growth of peak memory, 1 KiB chunks, stalled reader", stalled)
