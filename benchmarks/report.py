"""Print what was measured: a table per workload, then penstock against its targets.  Tables are Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .model import Size, Workload
from .ratios import against, against_anyio, against_native
from .results import Report, Result
from .table import WORDS, cell, grid, number
from .verdicts import verdicts

LEGEND = """\
Each workload's result was checked before it was timed.  A figure is the median of the samples' CPU time per
unit (worker threads included), in microseconds unless said otherwise; `spread` is half the distance between
the quartiles, relative to the median; `wall` is elapsed time per unit.  `spread`, `wall` and the ratios belong to
the size in the title, the largest that LangGraph has a figure for; a ratio is the median of those of samples taken
side by side.  `LangGraph / it` above 1: cheaper than LangGraph, which runs on asyncio, whatever the backend of the
row.  `it / raw` above 1: dearer than the least code that does the same job on that backend.  `-`: does not have this
workload; `absent`: not installed, or still to come; `too slow`: takes too long, or would at its former pace."""

UNITS = {"memory": "MiB", "import": "CPU ms"}
"""Of the metrics that are not microseconds per unit."""


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


def scaled_by(shown: list[Size]) -> str:
    """The first key that differs between sizes."""
    return next((key for key in shown[0] if len({size[key] for size in shown}) > 1), next(iter(shown[0])))


def workload_table(report: Report, workload: Workload) -> str:
    shown = sizes(report, workload)
    results = [result for result in report.results if result.workload == workload.name]
    seats = list(dict.fromkeys((result.system, result.backend) for result in results))
    collecting = any(result.collecting for result in results)
    heading = ["system", "backend", *(workload.label(size) for size in shown), "spread"]
    heading += ["gc on"] * collecting + ["wall", "LangGraph / it", "it / raw anyio", "it / raw backend"]
    at = compared_size(report, workload)
    rows = []
    for system, backend in seats:
        row = [report.find(workload.name, size, system, backend) for size in shown]
        if any(result and result.status != "unsupported" for result in row):
            cells = [cell(result) if result else "" for result in row]
            rows.append([system, backend, *cells, *_compared(report, row[shown.index(at)], collecting)])
    unit = UNITS.get(workload.metric) or f"us per {workload.unit}"
    return f"### {workload.name}: {workload.title} ({unit}; {workload.label(at)})\n\n{grid([heading, *rows])}"


def compared_size(report: Report, workload: Workload) -> Size:
    """The largest that LangGraph has a figure for, if it has any."""
    shown = sizes(report, workload)
    both = [size for size in shown if report.cost(workload.name, size, "langgraph", "asyncio") is not None]
    return (both or shown)[-1]


def _compared(report: Report, result: Result | None, collecting: bool) -> list[str]:
    if result is None:
        return [""] * (5 + collecting)
    shown = [f"{result.spread:.0%}" if result.spread is not None else ""]
    shown += [number(_median(result.collecting))] * collecting + [number(_median(result.wall))]
    quotients = (against(report, result, "langgraph"), against_anyio(report, result), against_native(report, result))
    return [*shown, *(f"{quotient:.2f}" if quotient is not None else "" for quotient in quotients)]


def _median(figures: list[float]) -> float | None:
    return Result("", {}, "", "", cost=figures).median


def target_table(report: Report, workloads: Iterable[Workload]) -> Iterator[str]:
    rows = [row for workload in workloads for row in _target_rows(report, workload)]
    if rows:
        heading = ["workload", "size", "backend", "penstock", "target", "reached", ""]
        yield f"### penstock against its targets\n\n{grid([heading, *rows])}"


def _target_rows(report: Report, workload: Workload) -> Iterator[list[str]]:
    for result in report.results:
        if result.workload != workload.name or result.system != "penstock":
            continue
        where = [workload.name, workload.label(result.size), result.backend, cell(result)]
        for verdict in verdicts(report, result):
            yield [*where, verdict.wanted, verdict.reached, "met" if verdict.met else "MISSED"]


def failures(report: Report) -> list[str]:
    """Everything that is neither a figure nor an absence."""
    return [
        f"{result.system}/{result.backend} {result.workload} {result.size}: {result.status}"
        for result in report.results
        if result.status != "ok" and result.status not in WORDS
    ]
