"""A worker process: one system on one backend, answering requests on standard input, a JSON object a line.

It is started with the interpreter of the system's own environment, so it imports nothing but the standard
library and this package before it is told what to load.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

from .backends import backend
from .measure import Bench
from .model import Absent, Size, Workload
from .systems import SYSTEMS, Loaded, System
from .workloads import WORKLOADS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker")
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("backend")
    parser.add_argument("--core", type=int)
    arguments = parser.parse_args()
    replies = claim_stdout()
    if arguments.core is not None:
        os.sched_setaffinity(0, {arguments.core})
    system = SYSTEMS[arguments.system]
    try:
        loaded = system.load(backend(arguments.backend))
    except ImportError as error:
        say(replies, {"absent": str(error)})
        return
    say(replies, {"version": version(system), "python": sys.version.split()[0]})
    worker = Worker(loaded)
    for line in sys.stdin:
        say(replies, worker.answer(json.loads(line)))


def claim_stdout() -> TextIO:
    """Keep standard output for replies: whatever a library prints goes to standard error instead."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return replies


def say(replies: TextIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


def version(system: System) -> str | None:
    if system.distribution is None:
        return None
    found = installed(system.distribution) or "from source"
    beside = installed(system.beside) if system.beside else None
    return f"{found} with {system.beside} {beside}" if beside else found


def installed(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


class Worker:
    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.benches: dict[str, Bench | None] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Errors are answers too: one system that fails a workload must not end the comparison."""
        workload, size = WORKLOADS[request["workload"]], request["size"]
        operation: Callable[[Bench, dict[str, Any]], dict[str, Any]] = getattr(self, "do_" + request["do"])
        try:
            bench = self.bench(workload, size)
            if bench is None:
                return {"unsupported": True}
            return operation(bench, request)
        except Absent as absence:
            return {"absent": str(absence)}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def bench(self, workload: Workload, size: Size) -> Bench | None:
        """Built once, so that compiling the graph is not part of any sample."""
        key = json.dumps([workload.name, size])
        if key not in self.benches:
            program = self.loaded.program(workload, size)
            warm = self.loaded.program(workload, workload.quick)
            self.benches[key] = Bench(workload, size, program, warm) if program and warm else None
        return self.benches[key]

    def do_check(self, bench: Bench, request: dict[str, Any]) -> dict[str, Any]:
        return {"checksum": bench.check(self.loaded.backend.run)}

    def do_time(self, bench: Bench, request: dict[str, Any]) -> dict[str, Any]:
        meter = bench.time(self.loaded.backend.run, collect=request["collect"])
        return {"cpu": meter.cpu, "wall": meter.wall, "units": bench.workload.units(bench.size)}

    def do_memory(self, bench: Bench, request: dict[str, Any]) -> dict[str, Any]:
        return {"mebibytes": bench.memory(self.loaded.backend.run)}


if __name__ == "__main__":
    main()
