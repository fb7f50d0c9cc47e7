"""One node and a conditional edge back to it: planning through a router, over and over."""

from __future__ import annotations

from collections.abc import Iterator

from ..graph_api import GraphApi
from ..measure import Meter
from ..model import Program, Size, Workload
from ..raw import Engine, Node, Plan, State
from .chain import Counter, increment, read


def expected(size: Size) -> list[tuple[str, int]]:
    return [("tick", value) for value in range(1, size["steps"] + 1)]


def graph(api: GraphApi, size: Size) -> Program:
    steps = size["steps"]

    def route(state: Counter) -> str:
        return "tick" if state["value"] < steps else "done"

    builder = api.StateGraph(Counter)
    builder.add_node("tick", increment)
    builder.add_edge(api.START, "tick")
    builder.add_conditional_edges("tick", route, {"tick": "tick", "done": api.END})
    app = builder.compile()
    config = {"recursion_limit": steps + 10}

    async def run(meter: Meter) -> None:
        take = meter.take
        async for chunk in app.astream({"value": 0}, config, stream_mode="updates"):
            take(chunk)

    return Program(run, read)


def raw(engine: Engine, size: Size) -> Program:
    def supersteps(state: State) -> Iterator[tuple[str, Node]]:
        while state["value"] < size["steps"]:
            yield "tick", increment

    plan = Plan(lambda: {"value": 0}, supersteps)
    return Program(lambda meter: engine.steps(plan, meter.take), read)


LOOP = Workload(
    name="loop",
    title="supersteps through a conditional edge, updates",
    unit="superstep",
    sizes=({"steps": 100}, {"steps": 1000}, {"steps": 10_000}),
    quick={"steps": 5},
    units=lambda size: size["steps"],
    expected=expected,
    graph=graph,
    raw=raw,
    needs=("steps",),
)
