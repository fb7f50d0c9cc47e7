"""What was measured, in a form that goes to JSON and comes back."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

UNIT_SCALE = {"time": 1e6, "memory": 1.0, "import": 1e3}
"""From what workers answer (seconds, MiB) to what the report shows (microseconds, MiB, milliseconds)."""


@dataclass
class Result:
    """One system on one backend at one size of one workload."""

    workload: str
    size: dict[str, int]
    system: str
    backend: str
    status: str = "ok"
    """``ok``, ``absent``, ``unsupported``, or what went wrong."""
    cost: list[float] = field(default_factory=list)
    """Per unit, one figure per sample: CPU microseconds, MiB or milliseconds."""
    wall: list[float] = field(default_factory=list)
    collecting: list[float] = field(default_factory=list)
    """As ``cost``, with the cyclic garbage collector left on."""

    def refuse(self, why: str) -> None:
        """Something went wrong after some samples: what was measured until then proves nothing."""
        self.status = why
        for samples in (self.cost, self.wall, self.collecting):
            samples.clear()

    @property
    def median(self) -> float | None:
        return statistics.median(self.cost) if self.cost else None

    @property
    def spread(self) -> float | None:
        """Half the distance between the quartiles, relative to the median."""
        if len(self.cost) < 2 or not self.median:
            return None
        low, _, high = statistics.quantiles(self.cost, n=4, method="inclusive")
        return (high - low) / 2 / abs(self.median)


@dataclass
class Report:
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)

    def find(self, workload: str, size: Mapping[str, int], system: str, backend: str) -> Result | None:
        for result in self.results:
            seat = (result.system, result.backend)
            if seat == (system, backend) and (result.workload, result.size) == (workload, size):
                return result
        return None

    def cost(self, workload: str, size: Mapping[str, int], system: str, backend: str) -> float | None:
        result = self.find(workload, size, system, backend)
        return result.median if result else None

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Report:
        stored = json.loads(path.read_text())
        return cls(stored["machine"], stored["versions"], [Result(**result) for result in stored["results"]])
