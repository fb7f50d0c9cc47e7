"""A plot of each workload: cost per unit against size, all systems in it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from . import svg
from .model import Size, Workload
from .report import UNITS, scaled_by, sizes
from .results import Report
from .svg import Series, Style
from .systems import SYSTEMS

LEAST = 0.01
"""What nothing is drawn as, on an axis without a zero: MiB of memory."""

COLORS = {
    "penstock": "#0057d9",
    "langgraph": "#d1242f",
    "pydantic-graph": "#8250df",
    "llama-index": "#c2660a",
    "burr": "#1a7f37",
    "raw-anyio": "#424a53",
    "raw-asyncio": "#7d8590",
    "raw-trio": "#7d8590",
    "floor": "#afb8c1",
}
"""Colours tell systems apart, dashes backends."""
DASHES = {"asyncio": "", "uvloop": "2 3", "trio": "7 4"}


def save(report: Report, workloads: Iterable[Workload], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for workload in workloads:
        drawn = draw(report, workload)
        if drawn:
            (directory / f"{workload.name}.svg").write_text(drawn)


def draw(report: Report, workload: Workload) -> str | None:
    """None if nothing was measured."""
    shown = sizes(report, workload)
    series = list(all_series(report, workload, shown))
    if not series:
        return None
    unit = UNITS.get(workload.metric) or f"CPU microseconds per {workload.unit}"
    if any(cost == LEAST for one in series for _, cost in one.points):
        unit += f"; {LEAST:g} stands for less"
    if len(shown) == 1:
        return svg.bars(workload.title, f"{unit}, {workload.label(shown[0])}", series)
    return svg.lines(workload.title, f"{unit}; on the right: at the largest size", scaled_by(shown), series)


def all_series(report: Report, workload: Workload, shown: list[Size]) -> Iterable[Series]:
    seats = dict.fromkeys((one.system, one.backend) for one in report.results if one.workload == workload.name)
    for system, backend in seats:
        costs = [(size, report.cost(workload.name, size, system, backend)) for size in shown]
        key = scaled_by(shown)
        points = tuple((float(size[key]), max(cost, LEAST)) for size, cost in costs if cost is not None)
        if points:
            width = 2.5 if system == "penstock" else 1.5
            style = Style(COLORS[system], width, DASHES[backend])
            yield Series(_label(system, backend), points, style)


def _label(system: str, backend: str) -> str:
    """The backend goes without saying where there is no other."""
    return system if len(SYSTEMS[system].backends) == 1 else f"{system} {backend}"
