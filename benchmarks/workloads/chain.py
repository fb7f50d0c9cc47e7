"""A chain of trivial async nodes: what one superstep costs when the node costs nothing."""

# flake8: noqa: ASYNC124
# trivial nodes have nothing to await: what they cost is the question

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypedDict

from ..graph_api import GraphApi
from ..measure import Meter
from ..model import Program, Size, Workload
from ..raw import Engine, Node, Plan, State


class Counter(TypedDict):
    value: int


async def increment(state: Any) -> dict[str, int]:
    return {"value": state["value"] + 1}


def read(chunk: dict[str, dict[str, int]]) -> tuple[str, int]:
    [(node, update)] = chunk.items()
    return node, update["value"]


def expected(size: Size) -> list[tuple[str, int]]:
    return [(f"n{index}", index + 1) for index in range(size["nodes"])]


def compiled(api: GraphApi, nodes: int, body: Any = increment) -> Any:
    builder = api.StateGraph(Counter)
    previous = api.START
    for index in range(nodes):
        builder.add_node(f"n{index}", body)
        builder.add_edge(previous, f"n{index}")
        previous = f"n{index}"
    builder.add_edge(previous, api.END)
    return builder.compile()


def graph(api: GraphApi, size: Size) -> Program:
    app = compiled(api, size["nodes"])
    config = {"recursion_limit": size["nodes"] + 10}

    async def run(meter: Meter) -> None:
        take = meter.take
        async for chunk in app.astream({"value": 0}, config, stream_mode="updates"):
            take(chunk)

    return Program(run, read)


def plan(nodes: int, body: Node = increment) -> Plan:
    names = [f"n{index}" for index in range(nodes)]

    def supersteps(state: State) -> Iterator[tuple[str, Node]]:
        for name in names:
            yield name, body

    return Plan(lambda: {"value": 0}, supersteps)


def raw(engine: Engine, size: Size) -> Program:
    prepared = plan(size["nodes"])
    return Program(lambda meter: engine.steps(prepared, meter.take), read)


CHAIN = Workload(
    name="chain",
    title="chain of trivial async nodes, updates",
    unit="superstep",
    sizes=({"nodes": 10}, {"nodes": 100}, {"nodes": 1000}, {"nodes": 10_000}),
    quick={"nodes": 5},
    units=lambda size: size["nodes"],
    expected=expected,
    graph=graph,
    raw=raw,
    needs=("steps",),
)
