"""What the raw systems are asked to do: plans without a graph library, and the engine each of them is.

*Raw* is the least code that does the same job: a node is a task, a superstep is a task group, chunks reach the
consumer through one bounded stream, updates are handed over before the next superstep begins.  No channels,
config, metadata, modes or checkpoints.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from .backends import Backend
from .measure import Meter
from .tempo import Tempo

MARK = 64
"""How many chunks the bounded streams of the raw systems hold: penstock's default high-water mark."""

State = dict[str, Any]
Node = Callable[[State], Any]
Take = Callable[[Any], None]
Reader = Callable[[AsyncIterator[Any]], Awaitable[None]]


def _update(state: State, update: State) -> None:
    state.update(update)


def _update_item(name: str, update: State, state: State) -> Any:
    return {name: update}


@dataclass(frozen=True)
class Plan:
    """Supersteps of one node each."""

    state: Callable[[], State]
    supersteps: Callable[[State], Iterator[tuple[str, Node]]]
    """Yields the next node, looking at the state as a router would."""
    apply: Callable[[State, State], None] = _update
    item: Callable[[str, State, State], Any] = _update_item
    """(node, its update, state after it) -> what the consumer gets."""


class Engine(Protocol):
    """What a raw system can do.  One that lacks a method is shown as not having that workload."""

    backend: Backend

    async def steps(self, plan: Plan, take: Take) -> None:
        """A task per node, one superstep after the other."""

    async def threads(self, plan: Plan, take: Take) -> None:
        """The same with a worker thread per node."""

    async def fanout(self, nodes: list[Callable[[], Awaitable[Any]]], take: Take) -> None:
        """All nodes as tasks of one superstep; each result is a chunk."""

    async def pour(self, sources: list[Iterable[Any]], tempo: Tempo, take: Take) -> None:
        """A task per source writes its items at that tempo into one stream."""

    async def relay(self, stages: list[Iterable[Any]], take: Take) -> None:
        """One superstep per stage, whose task writes the stage's items, one suspension before each."""

    async def first(self, plan: Plan, meter: Meter) -> None:
        """A run that ends with its first item: one group, one task; the meter runs until the item is there."""

    async def leave(self, nodes: int, ended: Callable[[], None], meter: Meter) -> None:
        """Start nodes that write one chunk and sleep; when all sleep, leave; the meter runs while leaving."""

    async def read(self, source: Iterable[Any], reader: Reader) -> None:
        """A task writes, one suspension after each item; the reader reads as it likes."""
