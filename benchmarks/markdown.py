"""The tables of docs/performance.md: penstock's ratios and targets, and cost per unit as the sizes grow."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from pathlib import Path

from .model import Size, Workload
from .ratios import against, against_anyio, against_native
from .report import UNITS, header, scaled_by, sizes
from .results import Report, Result
from .table import cell, grid
from .targets import targets
from .verdicts import verdicts

BACKENDS = ("asyncio", "uvloop", "trio")

ABOUT = """\
Figures are CPU microseconds per unit, where the unit is not CPU ms or MiB; each workload's result was checked before it
was timed.  "cheaper than LangGraph" is how many times less CPU penstock used on asyncio; "over raw" is penstock's cost
divided by that of the least code that does the same job.  Each ratio is the median of ratios of samples taken in the
same round; "spread" is half the distance between the quartiles, for penstock on asyncio and for LangGraph.  A target is
met if it is met on every backend it holds for; in parentheses what was reached on each of them."""

HEADING = [
    "workload",
    "unit",
    "LangGraph",
    "raw anyio",
    "penstock asyncio / uvloop / trio",
    "cheaper than LangGraph",
    "over raw anyio",
    "over raw asyncio",
    "over raw trio",
    "spread",
    "target",
]

GROWTH_HEADING = ["workload", "unit", "sizes", "penstock", "LangGraph", "raw anyio"]


def render(report: Report, workloads: Iterable[Workload], plots: Path | None = None) -> str:
    """``plots``: where the plots are; they are linked as from a page beside that directory."""
    measured = [workload for workload in workloads if sizes(report, workload)]
    rows = [_row(report, workload, size) for workload in measured for size in judged_sizes(report, workload)]
    parts = ["\n".join(header(report)), ABOUT, grid([HEADING, *rows])]
    growth = list(_growth_rows(report, measured))
    if growth:
        parts += ["Cost per unit from the smallest size to the largest:", grid([GROWTH_HEADING, *growth])]
    if plots is not None:
        parts += [f"![{html.escape(workload.title)}]({plots.name}/{workload.name}.svg)" for workload in measured]
    return "\n\n".join(parts) + "\n"


def judged_sizes(report: Report, workload: Workload) -> list[Size]:
    """Those that targets are promised at; the last if none of them was measured, or nothing was promised."""
    shown = sizes(report, workload)
    promised = targets(workload.name)
    return [size for size in shown if promised.at and promised.promised_at(size)] or shown[-1:]


def _row(report: Report, workload: Workload, size: Size) -> list[str]:
    own = {backend: report.find(workload.name, size, "penstock", backend) for backend in BACKENDS}
    other = {name: report.find(workload.name, size, name, "asyncio") for name in ("langgraph", "raw-anyio")}
    asyncio, trio = own["asyncio"], own["trio"]
    return [
        f"{workload.title}: {workload.label(size)}",
        unit(workload),
        _cell(other["langgraph"]),
        _cell(other["raw-anyio"]),
        _joined(_cell(own[backend]) for backend in BACKENDS),
        _times(against(report, asyncio, "langgraph") if asyncio else None),
        _times(against_anyio(report, asyncio) if asyncio else None),
        _times(against_native(report, asyncio) if asyncio else None),
        _times(against_native(report, trio) if trio else None),
        _joined(_spread(result) for result in (asyncio, other["langgraph"])),
        "; ".join(_judged(report, [result for result in own.values() if result])),
    ]


def unit(workload: Workload) -> str:
    return UNITS.get(workload.metric, workload.unit)


def _cell(result: Result | None) -> str:
    return cell(result) if result else ""


def _joined(cells: Iterable[str]) -> str:
    listed = list(cells)
    return " / ".join(cell or "-" for cell in listed) if any(listed) else ""


def _times(quotient: float | None) -> str:
    """Two digits, or as many as there are before the point."""
    if quotient is None:
        return ""
    return f"{quotient:.0f}" if quotient >= 10 else f"{quotient:.1f}" if quotient >= 1 else f"{quotient:.2f}"


def _spread(result: Result | None) -> str:
    return f"{result.spread:.0%}" if result and result.spread is not None else ""


def _judged(report: Report, results: list[Result]) -> Iterator[str]:
    """One phrase for each target, whatever number of backends it was reached on."""
    by_target: dict[str, list[tuple[str, bool]]] = {}
    for result in results:
        for verdict in verdicts(report, result):
            by_target.setdefault(verdict.wanted, []).append((verdict.reached, verdict.met))
    for wanted, reached in by_target.items():
        word = "met" if all(met for _, met in reached) else "**missed**"
        yield f"{wanted}: {word} ({_joined(figure for figure, _ in reached)})"


def _growth_rows(report: Report, workloads: Iterable[Workload]) -> Iterator[list[str]]:
    for workload in workloads:
        shown = sizes(report, workload)
        costs = [
            _joined(_cell(report.find(workload.name, size, system, "asyncio")) for size in shown)
            for system in ("penstock", "langgraph", "raw-anyio")
        ]
        if len(shown) > 1:
            key = scaled_by(shown)
            scale = _joined(f"{size[key]:,}" for size in shown)
            yield [workload.title, unit(workload), f"{key}: {scale}", *costs]
