"""``python -m benchmarks``: choose what to measure, measure it, print the tables."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from . import markdown, peers, plots, report
from .backends import NAMES
from .client import Seat
from .model import Workload
from .results import Report
from .runner import Runner, Settings
from .systems import SYSTEMS
from .workloads import WORKLOADS


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    workloads = [WORKLOADS[name] for name in options.only or WORKLOADS]
    if options.show:
        present(Report.load(options.show), workloads, options)
        return 0
    with Runner(seats(options), settings(options), say) as runner:
        try:
            runner.run(workloads)
        except KeyboardInterrupt:
            say("interrupted: showing what there is")
    if options.json:
        runner.report.save(options.json)
    present(runner.report, workloads, options)
    failed = report.failures(runner.report)
    for line in failed:
        say(f"failed: {line}")
    # peers may fail as they like; penstock may not
    return int(any(line.startswith("penstock/") for line in failed))


def present(made: Report, workloads: list[Workload], options: argparse.Namespace) -> None:
    if options.svg:
        plots.save(made, workloads, options.svg)
    if options.markdown:
        print(markdown.render(made, workloads, options.svg), end="")
    else:
        print(report.render(made, workloads), end="")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure penstock beside LangGraph, other graph libraries and the raw backends.",
    )
    made.add_argument("--only", metavar="WORKLOAD", nargs="+", choices=WORKLOADS, help=f"of {', '.join(WORKLOADS)}")
    made.add_argument("--systems", metavar="SYSTEM", nargs="+", choices=SYSTEMS, help=f"of {', '.join(SYSTEMS)}")
    made.add_argument("--backends", nargs="+", choices=NAMES, default=NAMES)
    made.add_argument(
        "--peers-env",
        metavar="DIR",
        type=Path,
        default=os.environ.get("PENSTOCK_BENCH_PEERS"),
        help="environment of the peers, or its Python (default: $PENSTOCK_BENCH_PEERS, else this one); "
        "a directory that does not exist is created and filled from benchmarks/peers.txt",
    )
    made.add_argument("--quick", action="store_true", help="smallest sizes, few repeats: does it work?")
    made.add_argument("--large", action="store_true", help="also the sizes that only show growth and take long")
    made.add_argument("--repeats", type=int, help="samples of each system at each size (default 9)")
    made.add_argument("--budget", metavar="SECONDS", type=float, default=Settings.budget)
    made.add_argument(
        "--patience",
        metavar="SECONDS",
        type=float,
        default=Settings.patience,
        help="longest sample: a system slower than that is not asked for larger sizes (default %(default)g)",
    )
    made.add_argument("--gc", action="store_true", help="also sample with the garbage collector left on")
    made.add_argument("--no-pin", action="store_true", help="do not pin the workers to one core")
    made.add_argument("--json", metavar="FILE", type=Path, help="keep every sample")
    made.add_argument("--show", metavar="FILE", type=Path, help="print the tables of a kept run and measure nothing")
    made.add_argument("--markdown", action="store_true", help="print the tables of docs/performance.md instead")
    made.add_argument("--svg", metavar="DIR", type=Path, help="write a plot of each workload, cost per unit by size")
    return made


def seats(options: argparse.Namespace) -> list[Seat]:
    peer_python = peers.interpreter(Path(options.peers_env), say) if options.peers_env else sys.executable
    return [
        Seat(system.name, backend, peer_python if system.peer else sys.executable)
        for system in SYSTEMS.values()
        if not options.systems or system.name in options.systems
        for backend in system.backends
        if backend in options.backends
    ]


def settings(options: argparse.Namespace) -> Settings:
    return Settings(
        repeats=options.repeats or (3 if options.quick else Settings.repeats),
        budget=options.budget,
        patience=options.patience,
        collecting=options.gc,
        quick=options.quick,
        large=options.large,
        core=None if options.no_pin else last_core(),
    )


def last_core() -> int | None:
    """The last core this process may use, often the quietest; None where the system cannot pin."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
