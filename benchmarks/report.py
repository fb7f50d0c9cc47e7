"""Print what was measured: a table per workload, then penstock against its targets.  Tables are Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator

from .model import Size, Targets, Workload
from .results import Report, Result
from .workloads import WORKLOADS

LEGEND = """\
Each workload's result was checked before it was timed.  A figure is the median of the samples' CPU time per
unit (worker threads included), in microseconds unless said otherwise; `spread` is half the distance between
the quartiles, relative to the median; `wall` is elapsed time per unit.  `spread`, `wall` and the ratios are
those of the last size; a ratio is the median of those of samples taken side by side.  `LangGraph / it` above 1:
cheaper than LangGraph, which runs on asyncio, whatever the backend of the row.  `it / raw` above 1: dearer than
the least code that does the same job on that backend.  `-`: does not have this workload; `absent`: not installed."""


def render(report: Report, workloads: Iterable[Workload]) -> str:
    measured = [workload for workload in workloads if sizes(report, workload)]
    parts = ["\n".join(header(report)), LEGEND]
    parts += [workload_table(report, workload) for workload in measured]
    parts += list(target_table(report, measured))
    return "\n\n".join(parts) + "\n"


def header(report: Report) -> Iterator[str]:
    about = report.machine
    pinned = "pinned to one" if about.get("pinned") else "not pinned"
    yield f"CPython {about.get('python')} on {about.get('platform')}, {about.get('cores')} cores, {pinned}."
    if about.get("quick"):
        yield "Quick run, smallest sizes and few repeats: shows that it works, and nothing else."
    yield ", ".join(f"{system} {version}" for system, version in sorted(report.versions.items()))


def sizes(report: Report, workload: Workload) -> list[Size]:
    found: list[Size] = []
    for result in report.results:
        if result.workload == workload.name and result.size not in found:
            found.append(result.size)
    return found


def workload_table(report: Report, workload: Workload) -> str:
    shown = sizes(report, workload)
    results = [result for result in report.results if result.workload == workload.name]
    seats = list(dict.fromkeys((result.system, result.backend) for result in results))
    collecting = any(result.collecting for result in results)
    heading = ["system", "backend", *(workload.label(size) for size in shown), "spread"]
    heading += ["gc on"] * collecting + ["wall", "LangGraph / it", "it / raw anyio", "it / raw backend"]
    rows = []
    for system, backend in seats:
        row = [report.find(workload.name, size, system, backend) for size in shown]
        if any(result and result.status != "unsupported" for result in row):
            rows.append(_row(report, workload, [result for result in row if result], collecting))
    unit = {"time": f"us per {workload.unit}", "memory": "MiB", "import": "CPU ms"}[workload.metric]
    return f"### {workload.name}: {workload.title} ({unit})\n\n{grid([heading, *rows])}"


def _row(report: Report, workload: Workload, results: list[Result], collecting: bool) -> list[str]:
    last = results[-1]
    row = [last.system, last.backend, *(cell(result) for result in results)]
    row.append(f"{last.spread:.0%}" if last.spread is not None else "")
    if collecting:
        row.append(number(_median(last.collecting)))
    row.append(number(_median(last.wall)))
    for quotient in (against(report, last, "langgraph"), against_anyio(report, last), against_native(report, last)):
        row.append(f"{quotient:.2f}" if quotient is not None else "")
    return row


def cell(result: Result) -> str:
    if result.status == "ok":
        return number(result.median)
    return {"unsupported": "-", "absent": "absent"}.get(result.status, "failed")


def number(figure: float | None) -> str:
    """Three digits that count: 0.291, 13.3, 5,933."""
    if figure is None:
        return ""
    size = abs(figure)
    return f"{figure:,.0f}" if size >= 100 else f"{figure:.1f}" if size >= 10 else f"{figure:.2f}"


def against(report: Report, result: Result, peer: str) -> float | None:
    """How many times the peer's cost is this one's; peers run on asyncio, so it stands for every backend."""
    return ratio(report.find(result.workload, result.size, peer, "asyncio"), result)


def against_anyio(report: Report, result: Result) -> float | None:
    return ratio(result, report.find(result.workload, result.size, "raw-anyio", result.backend))


def against_native(report: Report, result: Result) -> float | None:
    native = "raw-trio" if result.backend == "trio" else "raw-asyncio"
    return ratio(result, report.find(result.workload, result.size, native, result.backend))


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


def _median(figures: list[float]) -> float | None:
    return Result("", {}, "", "", cost=figures).median


def target_table(report: Report, workloads: Iterable[Workload]) -> Iterator[str]:
    rows = [row for workload in workloads for row in _target_rows(report, workload)]
    if rows:
        heading = ["workload", "size", "backend", "penstock", "target", "reached", ""]
        yield f"### penstock against its targets\n\n{grid([heading, *rows])}"


def _target_rows(report: Report, workload: Workload) -> Iterator[list[str]]:
    for result in report.results:
        if result.workload != workload.name or result.system != "penstock" or result.status == "unsupported":
            continue
        where = [workload.name, workload.label(result.size), result.backend, cell(result)]
        for wanted, reached, met in _verdicts(report, workload.targets, result):
            yield [*where, wanted, reached, "met" if met else "MISSED"]


def _verdicts(report: Report, targets: Targets, result: Result) -> Iterator[tuple[str, str, bool]]:
    """(what is wanted, what was reached, whether that is enough), for each target that can be judged."""
    less = "less" if WORKLOADS[result.workload].metric == "memory" else "faster"
    for peer, times in targets.faster_than.items():
        reached = against(report, result, peer)
        if reached is not None:
            yield f">= {times:g}x {less} than {peer}", f"{reached:.2f}", reached >= times
    limits = [
        ("raw anyio", targets.of_anyio, against_anyio(report, result)),
        ("raw backend", targets.of_native.get(result.backend), against_native(report, result)),
        ("smallest size", targets.growth, _growth(report, result)),
    ]
    for name, limit, reached in limits:
        if limit is not None and reached is not None:
            yield f"<= {limit:g}x {name}", f"{reached:.2f}", reached <= limit
    cost = result.median
    if targets.at_most is not None and cost is not None:
        yield f"<= {targets.at_most:g}", number(cost), cost <= targets.at_most
    anyio = report.cost(result.workload, result.size, "raw-anyio", result.backend)
    if targets.above_anyio is not None and cost is not None and anyio is not None:
        yield f"<= {targets.above_anyio:g} above raw anyio", number(cost - anyio), cost - anyio <= targets.above_anyio


def _growth(report: Report, result: Result) -> float | None:
    """Cost at this size over cost at the first; None for the first itself."""
    seat = (result.workload, result.system, result.backend)
    first = next(other for other in report.results if (other.workload, other.system, other.backend) == seat)
    if first is result or not first.median or not result.median:
        return None
    return result.median / first.median


def failures(report: Report) -> list[str]:
    """Everything that is neither a figure nor an absence."""
    return [
        f"{result.system}/{result.backend} {result.workload} {result.size}: {result.status}"
        for result in report.results
        if result.status not in ("ok", "absent", "unsupported")
    ]


def grid(rows: list[list[str]]) -> str:
    """A Markdown table that also reads well in a terminal: text left, figures right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    heading, *body = rows
    right = [all(_is_figure(row[index]) for row in body) for index in range(len(widths))]

    def line(row: list[str]) -> str:
        padded = (
            cell.rjust(width) if figures else cell.ljust(width)
            for cell, width, figures in zip(row, widths, right, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = (("-" * (width - 1) + ":") if figures else "-" * width for width, figures in zip(widths, right, strict=True))
    return "\n".join([line(heading), f"| {' | '.join(rule)} |", *map(line, body)])


def _is_figure(text: str) -> bool:
    return text in ("", "-", "absent", "failed") or text.replace(",", "").rstrip("%").replace(".", "").isdigit()
