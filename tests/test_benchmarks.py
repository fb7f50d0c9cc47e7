"""The benchmarks measure what they say: every workload, at its smallest size, gives the right answer.

Nothing here looks at a clock.  It is a smoke test of the programs, so that a change of the library that
breaks one of them shows in the tests and not in a report weeks later.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.backends import backend
from benchmarks.measure import Bench, Meter, WrongAnswer
from benchmarks.model import Program
from benchmarks.results import Report, Result
from benchmarks.systems import SYSTEMS
from benchmarks.workloads import WORKLOADS

QUICK = [(name, backend) for name in ("penstock", "raw-anyio") for backend in ("asyncio", "trio")]
QUICK += [("raw-trio", "trio"), ("floor", "asyncio")]
if sys.version_info >= (3, 11):
    QUICK.append(("raw-asyncio", "asyncio"))  # its task groups


def bench(system: str, backend_name: str, workload: str) -> Bench | None:
    loaded = SYSTEMS[system].load(backend(backend_name))
    quick = WORKLOADS[workload].quick
    program = loaded.program(WORKLOADS[workload], quick)
    return Bench(WORKLOADS[workload], quick, program, program) if program else None


def runnable() -> list[object]:
    """What has a program: an engine may lack a workload, the import of a package is none."""
    return [
        pytest.param(system, backend_name, workload, id=f"{system}-{backend_name}-{workload}")
        for system, backend_name in QUICK
        for workload in WORKLOADS
        if bench(system, backend_name, workload)
    ]


@pytest.mark.parametrize(("system", "backend_name", "workload"), runnable())
def test_a_program_gives_the_right_answer(system: str, backend_name: str, workload: str) -> None:
    program = bench(system, backend_name, workload)
    assert program is not None
    program.check(backend(backend_name).run)


def test_penstock_has_every_workload() -> None:
    timed = {name for name, workload in WORKLOADS.items() if workload.metric != "import"}
    assert {name for name in WORKLOADS if bench("penstock", "asyncio", name)} == timed
    # the sync API has no backend of its own
    assert {name for name in WORKLOADS if bench("penstock", "trio", name)} == timed - {"sync-stream"}


def test_a_wrong_answer_is_refused() -> None:
    right = bench("floor", "asyncio", "chain")
    assert right is not None
    run = backend("asyncio").run

    async def nothing(meter: Meter) -> None:
        pass

    for program in (Program(nothing), replace(right.program, read=lambda chunk: ("n0", 0))):
        wrong = replace(right, program=program)
        with pytest.raises(WrongAnswer, match=r"chain \{'nodes': 5\}: chunk 0 of 5 is .*, expected \('n0', 1\)"):
            wrong.check(run)
        with pytest.raises(WrongAnswer):
            wrong.time(run, collect=False)


def test_a_report_survives_json_and_shows_ratios_absences_and_targets(tmp_path: Path) -> None:
    size = dict(WORKLOADS["chain"].quick)
    costs = {"penstock": [10.0, 10.0, 12.0], "langgraph": [200.0] * 3, "raw-anyio": [5.0] * 3}
    made = Report({"python": "3.12"}, {"penstock": "1"})
    made.results = [Result("chain", size, system, "asyncio", cost=cost) for system, cost in costs.items()]
    made.results.append(Result("chain", size, "burr", "asyncio", status="absent"))
    made.save(tmp_path / "kept.json")
    kept = Report.load(tmp_path / "kept.json")
    assert kept == made
    assert json.loads((tmp_path / "kept.json").read_text())["results"][0]["cost"] == costs["penstock"]

    text = report.render(kept, WORKLOADS.values())
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line]
    assert ["penstock", "asyncio", "10.0", "5%", "", "20.00", "2.00", ""] in rows
    assert ["burr", "asyncio", "absent", "", "", "", "", ""] in rows
    assert ["chain", "nodes=5", "asyncio", "10.0", ">= 12x faster than langgraph", "20.00", "met"] in rows
