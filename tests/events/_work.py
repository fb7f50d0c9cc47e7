"""Graphs, tools and chains that are watched, and readers of their events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, TypedDict

import anyio

from penstock.graph import START, StateGraph
from penstock.messages import AIMessageChunk
from penstock.models import ChatModel
from penstock.runnables import ChatPromptTemplate, Runnable, StrOutputParser


def add(left: list[Any], right: list[Any]) -> list[Any]:
    return [*left, *right]


class State(TypedDict):
    log: Annotated[list[Any], add]


def chain_of(*nodes: tuple[str, Any], name: str | None = None, **options: Any) -> Any:
    """A graph whose nodes run one after the other."""
    builder = StateGraph(State)
    before = START
    for node_name, node in nodes:
        builder.add_node(node_name, node, **options).add_edge(before, node_name)
        before = node_name
    return builder.compile(name=name)


def side_by_side(**nodes: Any) -> Any:
    """A graph whose nodes all run in the first superstep."""
    builder = StateGraph(State)
    for name, node in nodes.items():
        builder.add_node(name, node).add_edge(START, name)
    return builder.compile()


class Counter(ChatModel):
    """Says numbers, and notes how far it came, how it was called and that it was closed."""

    def __init__(self, count: int = 3, pause: float = 0.0, error: BaseException | None = None) -> None:
        self.count = count
        self.pause = pause
        self.error = error
        self.said = 0
        self.opened = 0
        self.closed = 0
        self.whole = 0

    async def answer(self, messages: Any, **options: Any) -> AsyncIterator[Any]:
        self.opened += 1
        try:
            for number in range(self.count):
                if self.pause:
                    await anyio.sleep(self.pause)
                self.said += 1
                yield AIMessageChunk(f"{number} ")
            if self.error is not None:
                raise self.error
        finally:
            self.closed += 1

    async def answer_whole(self, messages: Any, **options: Any) -> Any:
        self.whole += 1


def asking(model: Any) -> Runnable[Any, str]:
    """`prompt | model | parser`."""
    return ChatPromptTemplate.from_template("say {x}") | model | StrOutputParser()


async def read(stream: Any) -> list[Any]:
    """All events."""
    return [event async for event in stream]


def lines(events: list[Any], *, skip: tuple[str, ...] = ()) -> list[str]:
    """Events as `what path/to/name`, by which a test can see the tree."""
    names: dict[str, str] = {}
    found = []
    for event in events:
        if event["event"] != "on_custom_event":
            names[event["run_id"]] = event["name"]
        path = "/".join([*(names.get(parent, "?") for parent in event["parent_ids"]), event["name"]])
        what = event["event"].removeprefix("on_")
        if what.rpartition("_")[2] not in skip:
            found.append(f"{what} {path}")
    return found


def named(events: list[Any], name: str) -> list[Any]:
    """The events of one name."""
    return [event for event in events if event["name"] == name]


def unfinished(events: list[Any]) -> set[str]:
    """Names of what has started and has neither ended nor failed."""
    over = {event["run_id"] for event in events if event["event"].endswith(("_end", "_error"))}
    return {e["name"] for e in events if e["event"].endswith("_start") and e["run_id"] not in over}


async def forever() -> None:
    await anyio.sleep(10_000)


Node = Callable[..., Any]
