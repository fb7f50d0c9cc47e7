"""The ready-made agent: a scripted model that calls a tool at every turn, and answers after the last."""

# flake8: noqa: ASYNC124
# trivial nodes have nothing to await: what they cost is the question

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..chat import script
from ..graph_api import GraphApi
from ..measure import Meter
from ..model import Program, Size, Workload
from ..raw import Engine, Node, Plan, State


def expected(size: Size) -> list[tuple[str, Any]]:
    turns = [step for turn in range(size["turns"]) for step in (("agent", turn), ("tools", script.item(turn)))]
    return [*turns, ("agent", script.DONE)]


def read(chunk: dict[str, Any]) -> tuple[str, Any]:
    """The node with the argument of its tool call, or with what it says."""
    [(node, update)] = chunk.items()
    message = update["messages"][-1]
    calls = getattr(message, "tool_calls", None)
    return node, calls[0]["args"]["number"] if calls else message.content


def graph(api: GraphApi, size: Size) -> Program:
    app = api.create_react_agent(api.chat.caller(size["turns"]), [script.look_up])
    config = {"recursion_limit": 2 * size["turns"] + 10}

    async def run(meter: Meter) -> None:
        take = meter.take
        async for chunk in app.astream({"messages": [("user", "Begin")]}, config, stream_mode="updates"):
            take(chunk)

    return Program(run, read)


def raw(engine: Engine, size: Size) -> Program:
    """Two supersteps a turn over a list of plain dicts."""

    async def agent(state: State) -> State:
        call = script.tool_call(state["messages"], size["turns"])
        return {"messages": [{"call": call} if call else {"say": script.DONE}]}

    async def tools(state: State) -> State:
        return {"messages": [{"say": await script.look_up(**state["messages"][-1]["call"]["args"])}]}

    def supersteps(state: State) -> Iterator[tuple[str, Node]]:
        yield "agent", agent
        while "call" in state["messages"][-1]:
            yield "tools", tools
            yield "agent", agent

    def apply(state: State, update: State) -> None:
        state["messages"] = state["messages"] + update["messages"]

    def read_raw(chunk: Any) -> tuple[str, Any]:
        [(node, update)] = chunk.items()
        [message] = update["messages"]
        return node, message["call"]["args"]["number"] if "call" in message else message["say"]

    plan = Plan(lambda: {"messages": [{"say": "Begin"}]}, supersteps, apply=apply)
    return Program(lambda meter: engine.steps(plan, meter.take), read_raw)


AGENT = Workload(
    name="agent",
    title="ready-made agent, a tool call per turn, updates",
    unit="turn",
    sizes=({"turns": 10}, {"turns": 100}),
    large=({"turns": 1000},),
    quick={"turns": 3},
    units=lambda size: size["turns"],
    expected=expected,
    graph=graph,
    raw=raw,
    needs=("steps",),
)
