"""Record LangGraph: ``python -m tests.golden.record [--check] [case ...]``, with LangGraph installed.

Performs every run of the named cases (of all) on LangGraph and asyncio in virtual time, and writes those of our own to
``data/own``.  With ``--check`` nothing is written: it tells what differs from the recordings, of ours and of
the given ones, and fails if anything does.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
import sys
import warnings

os.environ["GOLDEN_LIBRARY"] = "langgraph"

from ..support.clock import VirtualTimeLoop
from . import cases  # noqa: F401
from .harness import CASES, EVENTS, OWN, Case, Outcome, perform, perform_sync
from .normalise import by_producer, renumber, without_library


def record(case: Case) -> dict[str, Outcome]:
    outcomes = {}
    for run in case.runs().values():
        if run.is_async:
            with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
                outcome, _ = runner.run(perform(run))
        else:
            outcome, _ = perform_sync(run)
        outcomes[run.name] = outcome
    return outcomes


def write(case: Case, runs: dict[str, Outcome]) -> None:
    versions = {"langgraph": importlib.metadata.version("langgraph"), "python": platform.python_version()}
    head = json.dumps({"case": case.name, "title": case.title, "versions": versions})
    text = f'{head[:-1]},\n"runs": [\n' + ",\n".join(map(lines, runs.values())) + "\n]}\n"
    assert json.loads(text)["runs"] == list(runs.values())
    OWN.mkdir(parents=True, exist_ok=True)
    case.file.write_text(text, encoding="utf-8")


def lines(outcome: Outcome) -> str:
    """A run as JSON with one line per chunk, so that a difference can be read."""
    chunks = outcome.get("chunks")
    rest = {key: value for key, value in outcome.items() if key != "chunks"}
    if not chunks:
        return json.dumps(outcome)
    return json.dumps(rest)[:-1] + ', "chunks": [\n ' + ",\n ".join(map(json.dumps, chunks)) + "\n]}"


def differences(case: Case, runs: dict[str, Outcome]) -> list[str]:
    found = []
    for name, recorded in case.recorded().items():
        if name not in runs:
            continue
        got, expected = without_library(runs[name]), without_library(recorded)
        if case.loose and case.name in EVENTS:
            got, expected = ({**outcome, "chunks": by_producer(outcome["chunks"])} for outcome in (got, expected))
        if renumber(got) != renumber(expected):
            found.append(f"{case.name}.{name}\n  got      {renumber(got)}\n  recorded {renumber(expected)}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the recordings, write nothing")
    parser.add_argument("cases", nargs="*", default=[], help="names of cases (default: all)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found: list[str] = []
    for case in (*CASES.values(), *EVENTS.values()):
        if options.cases and case.name not in options.cases:
            continue
        if not (case.own or options.check):
            continue
        runs = record(case)
        print(f"{case.name}: {len(runs)} runs")
        if options.check:
            found += differences(case, runs)
        else:
            write(case, runs)
    print(*found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
