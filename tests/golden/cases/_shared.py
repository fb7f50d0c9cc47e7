"""Graphs, state schemas and sets of modes that several cases use."""

import operator
from typing import Annotated, Any

import anyio
from typing_extensions import TypedDict

from ..library import START, Graph, StateGraph, StreamWriter
from ..models import scripted_model

EVERY = ["values", "updates", "custom", "messages", "tasks", "checkpoints", "debug", "tools"]
MAIN = ["values", "updates", "custom", "tasks"]
MODESETS: dict[str, Any] = {
    "updates": "updates",
    "custom": "custom",
    "values": "values",
    "tasks": "tasks",
    "list": MAIN,
}


class S(TypedDict):
    x: str


class L(TypedDict):
    log: Annotated[list, operator.add]


class XL(TypedDict):
    x: str
    log: Annotated[list, operator.add]


EMPTY = {"x": "", "log": []}


def logger(name: str, delay: float = 0.0) -> Any:
    """An async node that waits, then logs its name."""

    async def node(state: XL) -> Any:
        await anyio.sleep(delay)
        return {"log": [name]}

    node.__name__ = name
    return node


def plain_logger(name: str) -> Any:
    """The same as a plain function, which cannot wait."""

    def node(state: XL) -> Any:
        return {"log": [name]}

    node.__name__ = name
    return node


def step(name: str, add: str, asynchronous: bool, model: Any = None, **more: Any) -> Any:
    """A node that writes where it is, asks the model if it has one, then extends `x`."""

    async def anode(state: XL, writer: StreamWriter) -> Any:
        writer({"at": name})
        if model is not None:
            await model.ainvoke("hi")
        return {"x": state["x"] + add, **more}

    def node(state: XL, writer: StreamWriter) -> Any:
        writer({"at": name})
        if model is not None:
            model.invoke("hi")
        return {"x": state["x"] + add, **more}

    return anode if asynchronous else node


def nested(asynchronous: bool) -> Graph:
    """Two levels of subgraphs, p1 -> ch (c1 -> gc (g1)); g1 asks a model."""
    asking = step("g1", "g1", asynchronous, scripted_model(["g", "1"]))
    innermost = StateGraph(XL).add_node("g1", asking).add_edge(START, "g1").compile()
    child = (
        StateGraph(XL)
        .add_node("c1", step("c1", "c", asynchronous))
        .add_node("gc", innermost)
        .add_edge(START, "c1")
        .add_edge("c1", "gc")
        .compile()
    )
    return (
        StateGraph(XL)
        .add_node("p1", step("p1", "p", asynchronous, log=["p1"]))
        .add_node("ch", child)
        .add_edge(START, "p1")
        .add_edge("p1", "ch")
        .compile()
    )
