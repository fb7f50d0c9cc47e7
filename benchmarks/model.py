"""The nouns every other module shares: a size, a program, a workload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .graph_api import GraphApi
    from .measure import Meter
    from .raw import Engine

Size = Mapping[str, int]
"""Named numbers, such as ``{"nodes": 100}``: what a workload is scaled by."""

Metric = Literal["time", "memory", "import"]

Order = Literal["exact", "any", "by-source"]
"""How chunks compare with the right answer; ``by-source``: in order for each producer, not between them."""


class Absent(Exception):
    """What a workload needs is not there: a method still to come, or a package that is not installed."""


def same(chunk: Any) -> Any:
    return chunk


@dataclass(frozen=True)
class Program:
    """One workload at one size, built and ready to run any number of times.

    ``run`` hands every chunk to ``meter.take`` untouched; ``read`` turns such a chunk into the workload's own
    terms afterwards, outside the measured window, so that nobody pays for being compared.
    """

    run: Callable[[Meter], Awaitable[None] | None]
    read: Callable[[Any], Any] = same


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    unit: str
    """What one unit of cost is: a superstep, a chunk, a call."""
    sizes: tuple[Size, ...]
    quick: Size
    """Smallest honest size: for smoke tests, and for warming a fresh event loop before each sample."""
    units: Callable[[Size], int]
    expected: Callable[[Size], Iterable[Any]]
    large: tuple[Size, ...] = ()
    """Sizes that only show growth and take long; run on request."""
    order: Order = "exact"
    metric: Metric = "time"
    sync: bool = False
    """The program is an ordinary function, called from a plain thread."""
    alone: bool = False
    """What it imports would weigh on the workloads after it: its workers end with it."""
    laps: bool = False
    """The program starts and stops the meter itself, because only a part of it is the subject."""
    graph: Callable[[GraphApi, Size], Program | None] | None = None
    """The program for APIs shaped like LangGraph's: one source for penstock and LangGraph."""
    raw: Callable[[Engine, Size], Program | None] | None = None
    """The same job for the raw systems."""
    needs: tuple[str, ...] = ()
    """Methods of a raw engine that ``raw`` calls; an engine without them does not have this workload."""

    def label(self, size: Size) -> str:
        """What tells this size from the workload's others."""
        every = [*self.sizes, *self.large, size]
        varying = [key for key in size if len({other.get(key) for other in every}) > 1] or list(size)
        return " ".join(f"{key}={size[key]:,}" for key in varying)
