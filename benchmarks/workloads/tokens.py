"""Chunks that nodes write while they run: what one costs on its way to the consumer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import repeat
from typing import Any, TypedDict

from ..graph_api import GraphApi
from ..measure import Meter
from ..model import Program, Size, Workload, same
from ..raw import Engine
from ..tempo import Tempo, await_all, write_all

PRODUCERS = 8
SIZES = ({"chunks": 1_000}, {"chunks": 10_000})
LARGE = ({"chunks": 100_000},)
QUICK = {"chunks": 160}
THREE_MODES = ["custom", "updates", "values"]


class Spoken(TypedDict):
    spoken: int


def plain(size: Size) -> Iterable[int]:
    return range(size["chunks"])


def with_metadata(size: Size) -> Iterable[tuple[int, dict[str, Any]]]:
    """A (chunk, metadata) tuple with metadata of its own, the shape of ``messages`` mode."""
    return ((index, {"langgraph_node": "speak", "langgraph_step": 1}) for index in range(size["chunks"]))


def of_producer(producer: int, size: Size) -> Iterable[tuple[int, int]]:
    return zip(repeat(producer), range(size["chunks"] // PRODUCERS), strict=False)


def of_all_producers(size: Size) -> list[tuple[int, int]]:
    return [item for producer in range(PRODUCERS) for item in of_producer(producer, size)]


def tagged(size: Size) -> list[tuple[str, Any]]:
    """What three modes deliver: the input's state, the chunks, the node's update, the state after it."""
    said = {"spoken": size["chunks"]}
    chunks = [("custom", chunk) for chunk in plain(size)]
    return [("values", {"spoken": 0}), *chunks, ("updates", {"speak": said}), ("values", said)]


def tagged_of_all(size: Size) -> list[tuple[str, Any]]:
    """The same of eight nodes that write nothing to the state, by source; so there is no state after them."""
    chunks = [(f"custom {producer}", chunk) for producer, chunk in of_all_producers(size)]
    updates = [(f"updates speak{producer}", None) for producer in range(PRODUCERS)]
    return [("values", {"spoken": 0}), *chunks, *updates]


def by_source(chunk: tuple[str, Any]) -> tuple[str, Any]:
    mode, payload = chunk
    if mode == "values":
        return chunk
    [(source, said)] = [payload] if mode == "custom" else payload.items()
    return f"{mode} {source}", said


def stream(app: Any, mode: Any, read: Any = same) -> Program:
    async def run(meter: Meter) -> None:
        take = meter.take
        async for chunk in app.astream({"spoken": 0}, stream_mode=mode):
            take(chunk)

    return Program(run, read)


def speaker(api: GraphApi, size: Size, items: Any, tempo: Tempo, mode: Any = "custom") -> Program:
    """A graph of one node that writes, and counts what it has written in the state."""

    async def speak(state: Any) -> dict[str, int]:
        await write_all(api.get_stream_writer(), items(size), tempo, api.backend.turn)
        return {"spoken": size["chunks"]}

    builder = api.StateGraph(Spoken)
    builder.add_node("speak", speak)
    builder.add_edge(api.START, "speak")
    builder.add_edge("speak", api.END)
    return stream(builder.compile(), mode)


def awaiting_speaker(api: GraphApi, size: Size) -> Program | None:
    if not api.awaits_writes:
        return None

    async def speak(state: Any) -> dict[str, int]:
        await await_all(api.get_stream_writer(), plain(size), api.backend.turn)
        return {"spoken": size["chunks"]}

    builder = api.StateGraph(Spoken)
    builder.add_node("speak", speak)
    builder.add_edge(api.START, "speak")
    builder.add_edge("speak", api.END)
    return stream(builder.compile(), "custom")


def choir(api: GraphApi, size: Size, tempo: Tempo, mode: Any = "custom", read: Any = same) -> Program:
    """Eight nodes that write at once."""
    builder = api.StateGraph(Spoken)
    for producer in range(PRODUCERS):
        builder.add_node(f"speak{producer}", singer(api, producer, size, tempo))
        builder.add_edge(api.START, f"speak{producer}")
        builder.add_edge(f"speak{producer}", api.END)
    return stream(builder.compile(), mode, read)


def singer(api: GraphApi, producer: int, size: Size, tempo: Tempo) -> Any:
    async def speak(state: Any) -> None:
        await write_all(api.get_stream_writer(), of_producer(producer, size), tempo, api.backend.turn)

    return speak


def raw(engine: Engine, size: Size, items: Any, tempo: Tempo) -> Program:
    return Program(lambda meter: engine.pour([items(size)], tempo, meter.take))


def raw_choir(engine: Engine, size: Size, tempo: Tempo) -> Program:
    def run(meter: Meter) -> Any:
        return engine.pour([of_producer(producer, size) for producer in range(PRODUCERS)], tempo, meter.take)

    return Program(run)


def raw_choir_of_modes(engine: Engine, size: Size, tempo: Tempo) -> Program:
    """The state that the run begins with; then each producer's chunks and its update."""

    def items(producer: int) -> Iterable[Any]:
        yield from zip(repeat("custom"), of_producer(producer, size), strict=False)
        yield "updates", {f"speak{producer}": None}

    async def run(meter: Meter) -> None:
        meter.take(("values", {"spoken": 0}))
        await engine.pour([items(producer) for producer in range(PRODUCERS)], tempo, meter.take)

    return Program(run, by_source)


def _one(name: str, title: str, items: Any, tempo: Tempo, **more: Any) -> Workload:
    settings: dict[str, Any] = {
        "expected": items,
        "graph": partial(speaker, items=items, tempo=tempo),
        "raw": partial(raw, items=items, tempo=tempo),
        "needs": ("pour",),
    }
    return Workload(
        name=name,
        title=title,
        unit="chunk",
        sizes=SIZES,
        large=LARGE,
        quick=QUICK,
        units=lambda size: size["chunks"],
        **(settings | more),
    )


def _eight(name: str, title: str, tempo: Tempo, **more: Any) -> Workload:
    settings: dict[str, Any] = {
        "order": "by-source",
        "graph": partial(choir, tempo=tempo),
        "raw": partial(raw_choir, tempo=tempo),
        "needs": ("pour", "fanout"),  # a system that cannot run nodes at once can only pour one after the other
    }
    return _one(name, title, of_all_producers, tempo, **(settings | more))


BURST = _one("burst", "tokens of one node, in bursts", plain, "burst")
BURST_AWAITED = _one(
    "burst-awaited",
    "tokens of one node, in bursts, each write awaited",
    plain,
    "burst",
    graph=awaiting_speaker,
)
BURST_MODES = _one(
    "burst-modes",
    "tokens of one node, in bursts, three modes",
    tagged,
    "burst",
    graph=partial(speaker, items=plain, tempo="burst", mode=THREE_MODES),
)
BURST_PRODUCERS = _eight("burst-producers", "tokens of 8 nodes, in bursts", "burst")
BURST_MODES_PRODUCERS = _eight(
    "burst-modes-producers",
    "tokens of 8 nodes, in bursts, three modes",
    "burst",
    expected=tagged_of_all,
    graph=partial(choir, tempo="burst", mode=THREE_MODES, read=by_source),
    raw=partial(raw_choir_of_modes, tempo="burst"),
)
PACED = _one("paced", "tokens of one node, a suspension before each", plain, "paced")
PACED_PRODUCERS = _eight("paced-producers", "tokens of 8 nodes, a suspension before each", "paced")
TUPLES = _one("tuples", "(chunk, metadata) tuples of one node, in bursts", with_metadata, "burst")

TOKENS = (
    BURST,
    BURST_MODES,
    BURST_PRODUCERS,
    BURST_MODES_PRODUCERS,
    BURST_AWAITED,
    PACED,
    PACED_PRODUCERS,
    TUPLES,
)
