"""Wide states and growing states: a superstep should pay for what it writes, not for what is there."""

# flake8: noqa: ASYNC124
# trivial nodes have nothing to await: what they cost is the question

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, TypedDict

from ..graph_api import GraphApi
from ..measure import Meter
from ..model import Program, Size, Workload
from ..raw import Engine, Node, Plan, State

PORTION = 10
"""How many items each superstep appends to the growing list."""


def wide_state(keys: int) -> dict[str, int]:
    return {f"k{index}": 0 for index in range(keys)}


async def bump(state: Any) -> dict[str, int]:
    return {"k0": state["k0"] + 1}


def wide_read(chunk: dict[str, int]) -> tuple[int, int]:
    return len(chunk), chunk["k0"]


def wide_expected(size: Size) -> list[tuple[int, int]]:
    """The state after the input, then after each superstep."""
    return [(size["keys"], value) for value in range(size["steps"] + 1)]


def wide_graph(api: GraphApi, size: Size) -> Program:
    # the functional form: the keys are known only now
    schema: Any = TypedDict("Wide", dict.fromkeys(wide_state(size["keys"]), int))  # type: ignore[misc]

    def route(state: Any) -> str:
        return "bump" if state["k0"] < size["steps"] else "done"

    builder = api.StateGraph(schema)
    builder.add_node("bump", bump)
    builder.add_edge(api.START, "bump")
    builder.add_conditional_edges("bump", route, {"bump": "bump", "done": api.END})
    app = builder.compile()
    config = {"recursion_limit": size["steps"] + 10}

    async def run(meter: Meter) -> None:
        take = meter.take
        async for chunk in app.astream(wide_state(size["keys"]), config, stream_mode="values"):
            take(chunk)

    return Program(run, wide_read)


def wide_raw(engine: Engine, size: Size) -> Program:
    def supersteps(state: State) -> Iterator[tuple[str, Node]]:
        while state["k0"] < size["steps"]:
            yield "bump", bump

    def item(name: str, update: State, state: State) -> State:
        return dict(state)  # the consumer's own, as penstock hands it out

    plan = Plan(lambda: wide_state(size["keys"]), supersteps, item=item)

    async def run(meter: Meter) -> None:
        meter.take(plan.state())  # the state after the input
        await engine.steps(plan, meter.take)

    return Program(run, wide_read)


WIDE_STATE = Workload(
    name="wide-state",
    title="supersteps over a wide state that write one key, values",
    unit="superstep",
    sizes=({"keys": 100, "steps": 100}, {"keys": 1000, "steps": 100}, {"keys": 10_000, "steps": 100}),
    quick={"keys": 3, "steps": 3},
    units=lambda size: size["steps"],
    expected=wide_expected,
    graph=wide_graph,
    raw=wide_raw,
    needs=("steps",),
)

WIDE_STATE_STEPS = replace(
    WIDE_STATE,
    name="wide-state-steps",
    title="more and more supersteps over a state of 1000 keys, values",
    sizes=({"keys": 1000, "steps": 10}, {"keys": 1000, "steps": 100}, {"keys": 1000, "steps": 1000}),
    quick={"keys": 1000, "steps": 3},
)


class Growing(TypedDict):
    items: Annotated[list[int], operator.add]


async def grow(state: Any) -> dict[str, list[int]]:
    # numbering by what is there makes a wrong state show in the next update
    start = len(state["items"])
    return {"items": list(range(start, start + PORTION))}


def list_read(chunk: dict[str, dict[str, list[int]]]) -> int:
    return chunk["grow"]["items"][-1]


def list_graph(api: GraphApi, size: Size) -> Program:
    full = size["steps"] * PORTION

    def route(state: Growing) -> str:
        return "grow" if len(state["items"]) < full else "done"

    builder = api.StateGraph(Growing)
    builder.add_node("grow", grow)
    builder.add_edge(api.START, "grow")
    builder.add_conditional_edges("grow", route, {"grow": "grow", "done": api.END})
    app = builder.compile()
    config = {"recursion_limit": size["steps"] + 10}

    async def run(meter: Meter) -> None:
        take = meter.take
        async for chunk in app.astream({"items": []}, config, stream_mode="updates"):
            take(chunk)

    return Program(run, list_read)


def list_raw(engine: Engine, size: Size) -> Program:
    full = size["steps"] * PORTION

    def supersteps(state: State) -> Iterator[tuple[str, Node]]:
        while len(state["items"]) < full:
            yield "grow", grow

    def apply(state: State, update: State) -> None:
        state["items"] = operator.add(state["items"], update["items"])  # the copy that the reducer itself makes

    plan = Plan(lambda: {"items": []}, supersteps, apply=apply)
    return Program(lambda meter: engine.steps(plan, meter.take), list_read)


GROWING_LIST = Workload(
    name="growing-list",
    title="supersteps appending 10 items each by operator.add, updates",
    unit="superstep",
    sizes=({"steps": 10}, {"steps": 100}, {"steps": 1000}),
    quick={"steps": 3},
    units=lambda size: size["steps"],
    expected=lambda size: range(PORTION - 1, size["steps"] * PORTION, PORTION),
    graph=list_graph,
    raw=list_raw,
    needs=("steps",),
)
