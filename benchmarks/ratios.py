"""Quotients of what was measured side by side."""

from __future__ import annotations

import statistics

from .results import Report, Result
from .workloads import WORKLOADS

NOTHING = 0.1
"""MiB of growth below which a ratio only divides noise by noise.  Times are never near it, save per chunk."""


def ratio(above: Result | None, below: Result | None) -> float | None:
    """Median of the ratios of samples taken in the same round: what slows the machine for a while slows both."""
    if not above or not below or not above.cost or not below.cost:
        return None
    memory = WORKLOADS[above.workload].metric == "memory"
    if memory and min(*above.cost, *below.cost) < NOTHING:
        return None
    return statistics.median(one / other for one, other in zip(above.cost, below.cost, strict=False))


def against(report: Report, result: Result, peer: str) -> float | None:
    """How many times the peer's cost is this one's; peers run on asyncio, so it stands for every backend."""
    return ratio(report.find(result.workload, result.size, peer, "asyncio"), result)


def against_anyio(report: Report, result: Result) -> float | None:
    return ratio(result, report.find(result.workload, result.size, "raw-anyio", result.backend))


def against_native(report: Report, result: Result) -> float | None:
    return ratio(result, report.find(result.workload, result.size, native(result.backend), result.backend))


def native(backend: str) -> str:
    """The raw system at the bottom of a backend."""
    return "raw-trio" if backend == "trio" else "raw-asyncio"


def growth(report: Report, result: Result) -> float | None:
    """Cost at this size over the cheapest at a smaller one; None for the smallest."""
    smaller = _smaller(report, result)
    if not smaller or not result.median:
        return None
    return result.median / min(cost for _, cost in smaller)


def own_growth(report: Report, result: Result) -> float | None:
    """The same, less what raw anyio's cost grew by in between."""
    smaller = _smaller(report, result)
    raw = report.cost(result.workload, result.size, "raw-anyio", result.backend)
    if not smaller or not result.median or raw is None:
        return None
    first, cost = min(smaller, key=lambda pair: pair[1])
    raw_first = report.cost(result.workload, first.size, "raw-anyio", result.backend)
    return None if raw_first is None else (result.median - (raw - raw_first)) / cost


def _smaller(report: Report, result: Result) -> list[tuple[Result, float]]:
    """The same seat's results before this one, with what they cost: sizes are measured from small to large."""
    seat = (result.workload, result.system, result.backend)
    series = [other for other in report.results if (other.workload, other.system, other.backend) == seat]
    before = series[: series.index(result)]
    return [(other, other.median) for other in before if other.median]
