"""Penstock's results judged by its targets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .ratios import against, against_anyio, against_native, growth, native, own_growth
from .results import Report, Result
from .table import number
from .targets import Targets, targets
from .workloads import WORKLOADS


@dataclass(frozen=True)
class Verdict:
    wanted: str
    reached: str
    met: bool


def verdicts(report: Report, result: Result) -> Iterator[Verdict]:
    """One for each target that is promised at this size and can be judged."""
    promised = targets(result.workload)
    if promised.promised_at(result.size):
        yield from _against_peers(report, promised, result)
        yield from _within_limits(report, promised, result)
        yield from _below_ceilings(report, promised, result)


def _against_peers(report: Report, promised: Targets, result: Result) -> Iterator[Verdict]:
    less = "less" if WORKLOADS[result.workload].metric == "memory" else "faster"
    for peer, times in promised.faster_than.items():
        reached = against(report, result, peer)
        if reached is not None:
            yield Verdict(f">= {times:g}x {less} than {peer}", f"{reached:.2f}", reached >= times)


def _within_limits(report: Report, promised: Targets, result: Result) -> Iterator[Verdict]:
    limits = [
        ("raw anyio", promised.of_anyio, against_anyio),
        (native(result.backend).replace("-", " "), promised.of_native.get(result.backend), against_native),
        ("a smaller size", promised.growth, growth),
        ("a smaller size, beyond what raw anyio grew", promised.own_growth, own_growth),
    ]
    for name, limit, quotient in limits:
        reached = None if limit is None else quotient(report, result)
        if limit is not None and reached is not None:
            yield Verdict(f"<= {limit:g}x {name}", f"{reached:.2f}", reached <= limit)


def _below_ceilings(report: Report, promised: Targets, result: Result) -> Iterator[Verdict]:
    cost = result.median
    if cost is None:
        return
    if promised.at_most is not None:
        yield Verdict(f"<= {promised.at_most:g}", number(cost), cost <= promised.at_most)
    anyio = report.cost(result.workload, result.size, "raw-anyio", result.backend)
    if promised.above_anyio is not None and anyio is not None:
        above = cost - anyio
        yield Verdict(f"<= {promised.above_anyio:g} above raw anyio", number(above), above <= promised.above_anyio)
