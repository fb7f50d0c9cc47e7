"""The benchmarks measure what they say: every workload, at its smallest size, gives the right answer.

Nothing here looks at a clock.  It is a smoke test of the programs, so that a change of the library that
breaks one of them shows in the tests and not in a report weeks later.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import __main__ as command
from benchmarks import markdown, plots, report
from benchmarks.backends import backend
from benchmarks.client import Seat
from benchmarks.client import Worker as Client
from benchmarks.measure import Bench, Meter, WrongAnswer
from benchmarks.model import Absent, Program
from benchmarks.ratios import growth, own_growth
from benchmarks.results import Report, Result
from benchmarks.runner import Runner, Settings
from benchmarks.systems import SYSTEMS
from benchmarks.targets import TARGETS
from benchmarks.verdicts import verdicts
from benchmarks.worker import Worker
from benchmarks.workloads import WORKLOADS
from penstock.graph import CompiledStateGraph
from penstock.runnables import RunnableSequence

QUICK = [(name, backend) for name in ("penstock", "raw-anyio") for backend in ("asyncio", "trio")]
QUICK += [("raw-trio", "trio"), ("floor", "asyncio")]
if sys.version_info >= (3, 11):
    QUICK.append(("raw-asyncio", "asyncio"))  # its task groups

HERE = [name for name, workload in WORKLOADS.items() if not workload.alone]
"""Those whose imports leave the other tests alone."""
ALONE = [name for name, workload in WORKLOADS.items() if workload.alone]


def bench(system: str, backend_name: str, workload: str) -> Bench | None:
    loaded = SYSTEMS[system].load(backend(backend_name))
    quick = WORKLOADS[workload].quick
    try:
        program = loaded.program(WORKLOADS[workload], quick)
    except Absent:
        return None
    return Bench(WORKLOADS[workload], quick, program, program) if program else None


def runnable() -> list[object]:
    """What has a program: an engine may lack a workload, the import of a package is none."""
    return [
        pytest.param(system, backend_name, workload, id=f"{system}-{backend_name}-{workload}")
        for system, backend_name in QUICK
        for workload in HERE
        if bench(system, backend_name, workload)
    ]


@pytest.mark.parametrize(("system", "backend_name", "workload"), runnable())
def test_a_program_gives_the_right_answer(system: str, backend_name: str, workload: str) -> None:
    program = bench(system, backend_name, workload)
    assert program is not None
    program.check(backend(backend_name).run)


@pytest.mark.skipif(find_spec("langchain_core") is None, reason="LangChain is not installed")
@pytest.mark.parametrize("backend_name", ["asyncio", "trio"])
@pytest.mark.parametrize("workload", ALONE)
def test_a_program_with_langchain_gives_the_right_answer(workload: str, backend_name: str) -> None:
    worker = Client(Seat("penstock", backend_name), core=None, timeout=300)
    try:
        reply = worker.ask(do="check", workload=workload, size=WORKLOADS[workload].quick)
    finally:
        worker.close()
    assert set(reply) == {"checksum"}


def test_penstock_has_every_workload() -> None:
    timed = {name for name in HERE if WORKLOADS[name].metric != "import"}
    if not hasattr(RunnableSequence, "astream_events"):
        timed -= {"events"}
    if not hasattr(CompiledStateGraph, "astream_events"):
        timed -= {"graph-events"}
    assert {name for name in HERE if bench("penstock", "asyncio", name)} == timed
    # the sync API has no backend of its own
    assert {name for name in HERE if bench("penstock", "trio", name)} == timed - {"sync-stream"}


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


def test_what_is_not_there_is_absent_and_not_a_failure() -> None:
    class Lacking:
        backend = backend("asyncio")

        def program(self, workload: Any, size: Any) -> Program:
            raise Absent("no such method")

    lacking: Any = Lacking()
    assert Worker(lacking).answer({"do": "check", "workload": "chain", "size": {}}) == {"absent": "no such method"}


def test_the_runner_checks_and_times_and_leaves_out_what_would_take_too_long() -> None:
    # an hour is plenty for ten nodes; a million million would need more at any pace
    sizes = ({"nodes": 10}, {"nodes": 10**12})
    chain = replace(WORKLOADS["chain"], sizes=sizes)
    said: list[str] = []
    with Runner([Seat("floor", "asyncio")], Settings(repeats=2, patience=3600), said.append) as runner:
        small, large = runner.run([chain]).results
    assert (small.status, len(small.cost), len(small.wall)) == ("ok", 2, 2)
    assert (large.status, large.cost) == ("too slow", [])
    assert [line.split(maxsplit=1)[1] for line in said] == ["chain nodes=10", "chain nodes=1,000,000,000,000"]
    assert report.failures(runner.report) == []


def test_targets_are_promised_for_workloads_and_sizes_that_there_are() -> None:
    assert set(TARGETS) <= set(WORKLOADS)
    for name, promised in TARGETS.items():
        for wanted in promised.at:
            assert any(wanted.items() <= size.items() for size in WORKLOADS[name].sizes), (name, wanted)


def test_every_workload_is_measured_at_several_sizes() -> None:
    for workload in WORKLOADS.values():
        assert len(workload.sizes) >= 2 or workload.metric == "import", workload.name


def chain_report() -> Report:
    """Penstock at 10.0 on asyncio, a tenth of that dearer on trio; LangGraph too slow for the largest size."""
    made = Report({"python": "3.12"}, {"penstock": "1"})
    for nodes in (10, 100, 1000):
        costs = {"penstock": [10.0, 10.0, 12.0], "langgraph": [200.0] * 3, "raw-anyio": [5.0] * 3}
        made.results += [Result("chain", {"nodes": nodes}, name, "asyncio", cost=cost) for name, cost in costs.items()]
        made.results.append(Result("chain", {"nodes": nodes}, "penstock", "trio", cost=[11.0] * 3))
        made.results.append(Result("chain", {"nodes": nodes}, "raw-trio", "trio", cost=[10.0] * 3))
        made.results.append(Result("chain", {"nodes": nodes}, "burr", "asyncio", status="absent"))
    slow = made.find("chain", {"nodes": 1000}, "langgraph", "asyncio")
    assert slow
    slow.refuse("too slow")
    return made


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line]


def test_a_report_survives_json_and_shows_ratios_absences_and_targets(tmp_path: Path) -> None:
    made = chain_report()
    made.save(tmp_path / "kept.json")
    kept = Report.load(tmp_path / "kept.json")
    assert kept == made
    assert json.loads((tmp_path / "kept.json").read_text())["results"][0]["cost"] == [10.0, 10.0, 12.0]

    shown = rows(report.render(kept, WORKLOADS.values()))
    assert ["penstock", "asyncio", "10.0", "10.0", "10.0", "5%", "", "20.00", "2.00", ""] in shown
    assert ["burr", "asyncio", "absent", "absent", "absent", "", "", "", "", ""] in shown
    assert ["langgraph", "asyncio", "200", "200", "too slow", "0%", "", "1.00", "40.00", ""] in shown
    assert ["chain", "nodes=100", "asyncio", "10.0", ">= 12x faster than langgraph", "20.00", "met"] in shown
    assert ["chain", "nodes=100", "trio", "11.0", "<= 1x raw trio", "1.10", "MISSED"] in shown
    # nothing is promised for ten nodes
    assert not [row for row in shown if row[:2] == ["chain", "nodes=10"]]


def test_the_markdown_has_ratios_targets_and_growth() -> None:
    text = markdown.render(chain_report(), WORKLOADS.values(), Path("docs/performance"))
    title = WORKLOADS["chain"].title
    shown = rows(text)
    figures = ["superstep", "200", "5.00", "10.0 / - / 11.0", "20", "2.0", "", "1.1", "5% / 0%"]
    verdict = ">= 12x faster than langgraph: met (20.00 / 18.18); <= 1x raw trio: **missed** (1.10)"
    assert [f"{title}: nodes=100", *figures, verdict] in shown
    sizes = "nodes: 10 / 100 / 1,000"
    growing = ["10.0 / 10.0 / 10.0", "200 / 200 / too slow", "5.00 / 5.00 / 5.00"]
    assert [title, "superstep", sizes, *growing] in shown
    assert f"![{title}](performance/chain.svg)" in text


def test_growth_is_measured_against_the_cheapest_smaller_size_and_may_leave_out_what_raw_code_grows_by() -> None:
    made = Report()
    for steps, cost, raw in ((10, 50.0, 30.0), (100, 40.0, 20.0), (1000, 60.0, 36.0)):
        size = {"steps": steps}
        made.results.append(Result("growing-list", size, "penstock", "asyncio", cost=[cost]))
        made.results.append(Result("growing-list", size, "raw-anyio", "asyncio", cost=[raw]))
    first, _, last = (one for one in made.results if one.system == "penstock")
    assert growth(made, first) is None
    assert growth(made, last) == 60 / 40
    assert own_growth(made, last) == (60 - 16) / 40
    [verdict] = verdicts(made, last)
    assert (verdict.wanted, verdict.met) == ("<= 1.1x a smaller size, beyond what raw anyio grew", True)


def everything() -> Iterator[Result]:
    """A figure for each system on each backend at each size of each workload."""
    for workload in WORKLOADS.values():
        for number, size in enumerate(workload.sizes):
            for system in SYSTEMS.values():
                for name in system.backends:
                    nothing = workload.metric == "memory" and system.raw
                    yield Result(workload.name, dict(size), system.name, name, cost=[0.0 if nothing else 3.0 + number])


def test_every_workload_has_a_plot_with_all_systems(tmp_path: Path) -> None:
    plots.save(Report({}, {}, list(everything())), WORKLOADS.values(), tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == set(WORKLOADS)
    for path in tmp_path.iterdir():
        drawing = ElementTree.parse(path).getroot()
        assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
        texts = {element.text or "" for element in drawing.iter("{http://www.w3.org/2000/svg}text")}
        assert WORKLOADS[path.stem].title in texts
        labels = {name.split(" ")[0] for name in texts} & set(SYSTEMS)
        assert labels == set(SYSTEMS)
        points = drawing.findall("{http://www.w3.org/2000/svg}circle")
        seats = sum(len(system.backends) for system in SYSTEMS.values())
        sizes = len(WORKLOADS[path.stem].sizes)
        assert len(points) == (seats * sizes if sizes > 1 else 0)
        assert "nan" not in path.read_text()


def test_a_kept_run_is_shown_as_markdown_and_plots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain_report().save(tmp_path / "kept.json")
    kept, drawn = str(tmp_path / "kept.json"), tmp_path / "drawn"
    assert command.main(["--show", kept, "--markdown", "--svg", str(drawn)]) == 0
    shown = capsys.readouterr().out
    assert "cheaper than LangGraph" in shown
    assert [path.name for path in drawn.iterdir()] == ["chain.svg"]
    ElementTree.parse(drawn / "chain.svg")
