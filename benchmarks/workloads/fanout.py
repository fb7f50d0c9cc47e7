"""Many nodes in one superstep, sent there by ``Send``: the cost of a parallel node."""

# flake8: noqa: ASYNC124
# trivial nodes have nothing to await: what they cost is the question

from __future__ import annotations

import operator
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, TypedDict

from ..graph_api import GraphApi
from ..measure import Meter
from ..model import Program, Size, Workload
from ..raw import Engine


class Shared(TypedDict):
    results: Annotated[list[int], operator.add]


class Share(TypedDict):
    index: int


async def work(state: Any) -> dict[str, list[int]]:
    return {"results": [state["index"]]}


def read(chunk: dict[str, dict[str, list[int]]]) -> int:
    return chunk["work"]["results"][0]


def graph(api: GraphApi, size: Size) -> Program:
    def share(state: Any) -> list[Any]:
        return [api.Send("work", {"index": index}) for index in range(size["nodes"])]

    builder = api.StateGraph(Shared)
    builder.add_node("work", work, input_schema=Share)
    builder.add_conditional_edges(api.START, share, ["work"])
    builder.add_edge("work", api.END)
    app = builder.compile()

    async def run(meter: Meter) -> None:
        take = meter.take
        async for chunk in app.astream({"results": []}, stream_mode="updates"):
            take(chunk)

    return Program(run, read)


def raw(engine: Engine, size: Size) -> Program:
    async def one(index: int) -> dict[str, Any]:
        return {"work": await work({"index": index})}

    nodes: list[Callable[[], Awaitable[Any]]] = [partial(one, index) for index in range(size["nodes"])]
    return Program(lambda meter: engine.fanout(nodes, meter.take), read)


FANOUT = Workload(
    name="fanout",
    title="nodes of one superstep (Send), updates",
    unit="node",
    sizes=({"nodes": 100}, {"nodes": 1000}, {"nodes": 10_000}),
    quick={"nodes": 5},
    units=lambda size: size["nodes"],
    expected=lambda size: range(size["nodes"]),
    order="any",
    graph=graph,
    raw=raw,
    needs=("fanout",),
)
