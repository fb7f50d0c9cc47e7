"""What penstock is to reach, by workload: data only.  ``verdicts`` compares it with what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .model import Size


@dataclass(frozen=True)
class Targets:
    """Empty where nothing was promised."""

    at: tuple[Size, ...] = ()
    """The sizes they are promised for, by the keys that matter; all if empty."""
    faster_than: Mapping[str, float] = field(default_factory=dict)
    """Peer -> how many times cheaper than it."""
    of_anyio: float | None = None
    """At most this many times raw anyio on the same backend."""
    of_native: Mapping[str, float] = field(default_factory=dict)
    """Backend -> at most this many times the raw asyncio or trio program."""
    at_most: float | None = None
    """An absolute ceiling, in the workload's own unit."""
    above_anyio: float | None = None
    """At most this much more than raw anyio, in the workload's own unit."""
    growth: float | None = None
    """Cost per unit over that of the cheapest smaller size."""
    own_growth: float | None = None
    """The same without what raw anyio's cost grew by: copies that Python itself has to make."""

    def promised_at(self, size: Size) -> bool:
        return not self.at or any(wanted.items() <= size.items() for wanted in self.at)


STEPS = Targets(
    faster_than={"langgraph": 12, "burr": 1, "pydantic-graph": 1},
    of_native={"asyncio": 1.5, "uvloop": 1.5, "trio": 1.0},
)
BURST = Targets(at=({"chunks": 10_000},), faster_than={"langgraph": 5}, of_anyio=2.0)
PACED = Targets(at=({"chunks": 10_000},), faster_than={"langgraph": 1.6}, of_anyio=1.35)
MODEL = Targets(at=({"tokens": 1_000}, {"tokens": 10_000}), faster_than={"langgraph": 5}, of_anyio=4.0)
READER = Targets(at=({"chunks": 200_000},), at_most=4)
SYNC = Targets(at=({"nodes": 100},), faster_than={"langgraph": 2}, of_anyio=1.3)

TARGETS: dict[str, Targets] = {
    "chain": replace(STEPS, at=({"nodes": 100}, {"nodes": 1000})),
    "loop": replace(STEPS, at=({"steps": 1000},)),
    "fanout": Targets(at=({"nodes": 100}, {"nodes": 1000}), faster_than={"langgraph": 6}, of_anyio=1.3),
    "burst": BURST,
    "burst-modes": BURST,
    "burst-producers": BURST,
    "burst-modes-producers": BURST,
    "burst-awaited": Targets(at=({"chunks": 10_000},), of_anyio=2.0),
    "tuples": BURST,
    "paced": PACED,
    "paced-producers": PACED,
    "model-tokens": MODEL,
    "model-burst": MODEL,
    "langchain-tokens": Targets(at=({"tokens": 1_000}, {"tokens": 10_000}), faster_than={"langgraph": 1}),
    "depth": Targets(at=({"depth": 8},), faster_than={"langgraph": 6}, growth=1.1),
    "first-chunk": Targets(at=({"nodes": 1}, {"nodes": 100}), faster_than={"langgraph": 8}, of_anyio=1.0),
    "concurrent": Targets(at=({"runs": 1000},), faster_than={"langgraph": 5}, of_anyio=1.2),
    "concurrent-memory": Targets(at=({"runs": 1000},), faster_than={"langgraph": 1}),
    "slow-reader": READER,
    "stalled-reader": READER,
    "cancel": Targets(at=({"nodes": 100},), faster_than={"langgraph": 2.5}),
    "wide-state": Targets(at=({"keys": 1000},), faster_than={"langgraph": 5}),
    "wide-state-steps": Targets(at=({"steps": 1000},), faster_than={"langgraph": 5}, own_growth=1.1),
    "growing-list": Targets(at=({"steps": 1000},), faster_than={"langgraph": 5}, own_growth=1.1),
    "agent": Targets(at=({"turns": 100},), faster_than={"langgraph": 5}),
    "sync-astream": SYNC,
    "sync-stream": SYNC,
    "import": Targets(above_anyio=60),
}


def targets(workload: str) -> Targets:
    return TARGETS.get(workload, Targets())
