"""Ask every system for the same workload in turn, A B A B: a slow minute of the machine hits them all."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from .client import Seat, Worker, environment
from .model import Size, Workload
from .results import UNIT_SCALE, Report, Result
from .systems import SYSTEMS

FEWEST = 3
"""Samples below which a median and a spread say nothing."""


@dataclass(frozen=True)
class Settings:
    repeats: int = 9
    budget: float = 4.0
    """Seconds one system may spend on one size before it gets by with the fewest samples."""
    collecting: bool = False
    """Also sample with the cyclic garbage collector on."""
    quick: bool = False
    large: bool = False
    core: int | None = None
    patience: float = 15.0
    """Seconds a sample may take.  A system that would need longer, at its pace of the size before, is not asked."""
    timeout: float = 300.0
    """Seconds without an answer after which a worker counts as hung."""

    def sizes(self, workload: Workload) -> tuple[Size, ...]:
        if self.quick:
            return (workload.quick,)
        return workload.sizes + (workload.large if self.large else ())


@dataclass
class Case:
    """A result in the making, and what it takes to add a sample."""

    result: Result
    sample: Callable[[], None]
    timed: bool
    spent: float = 0.0
    samples: int = 0

    def wants_more(self, settings: Settings) -> bool:
        if self.result.status != "ok":
            return False
        # memory hardly varies, and each of its samples costs the start of a process
        return self.samples < FEWEST or (self.timed and self.spent < settings.budget)

    @property
    def pace(self) -> float | None:
        """Seconds per sample."""
        return self.spent / self.samples if self.samples else None

    def add(self) -> None:
        started = perf_counter()
        try:
            self.sample()
        except Refused as refusal:
            self.result.refuse(str(refusal))
        self.samples += 1
        self.spent += perf_counter() - started


class Refused(Exception):
    """A worker answered with something else than a measurement."""


@dataclass
class Runner(AbstractContextManager["Runner"]):
    seats: list[Seat]
    settings: Settings
    progress: Callable[[str], None] = lambda line: None
    report: Report = field(default_factory=Report)
    _workers: dict[Seat, Worker] = field(default_factory=dict)
    _paces: dict[tuple[str, Seat], float] = field(default_factory=dict)
    """Seconds per sample at the last size, divided by its volume."""

    def __exit__(self, *exc_info: object) -> None:
        self._dismiss_all()

    def run(self, workloads: Iterable[Workload]) -> Report:
        self.report.machine = machine(self.settings)
        started = perf_counter()
        for workload in workloads:
            for size in self.settings.sizes(workload):
                minutes, seconds = divmod(int(perf_counter() - started), 60)
                self.progress(f"{minutes:3}:{seconds:02} {workload.name} {workload.label(size)}")
                self._compare(workload, size)
            if workload.alone:
                self._dismiss_all()
        return self.report

    def _compare(self, workload: Workload, size: Size) -> None:
        cases = {seat: self._case(workload, size, seat) for seat in self.seats}
        self.report.results += [case.result for case in cases.values()]
        for _ in range(self.settings.repeats):
            for case in cases.values():
                if case.wants_more(self.settings):
                    case.add()
        for seat, case in cases.items():
            if case.pace is not None:
                self._paces[workload.name, seat] = case.pace / volume(size)

    def _case(self, workload: Workload, size: Size, seat: Seat) -> Case:
        """Check before anything is timed: a wrong answer has no speed."""
        result = Result(workload.name, dict(size), seat.system, seat.backend)
        worker = self._worker(seat)
        sample = {"time": self._time, "memory": self._memory, "import": self._import}[workload.metric]
        case = Case(result, lambda: sample(workload, size, seat, result), workload.metric != "memory")
        if worker.absent:
            result.status = "absent"
        elif "error" in worker.greeting:
            result.status = worker.greeting["error"]
        elif self._is_too_slow(workload, size, seat):
            result.status = "too slow"
        elif workload.metric == "import":
            system = SYSTEMS[seat.system]
            # one backend is enough: what is imported does not depend on the loop that will run
            asked = system.imports_for(workload.name) and seat.backend == system.backends[0]
            result.status = "ok" if asked else "unsupported"
        else:
            # holding on to all chunks would be the very memory that is to be measured
            checked = workload.quick if workload.metric == "memory" else size
            started = perf_counter()
            try:
                _value(worker.ask(do="check", workload=workload.name, size=dict(checked)))
            except Refused as refusal:
                result.status = str(refusal)
                self._replace_if_dead(seat)
            else:
                if perf_counter() - started > self.settings.patience:
                    result.status = "too slow"
        return case

    def _is_too_slow(self, workload: Workload, size: Size, seat: Seat) -> bool:
        return self._paces.get((workload.name, seat), 0.0) * volume(size) > self.settings.patience

    def _time(self, workload: Workload, size: Size, seat: Seat, result: Result) -> None:
        scale = UNIT_SCALE["time"]
        for collect, costs in ((False, result.cost), (True, result.collecting)):
            if collect and not self.settings.collecting:
                continue
            reply = self._ask(seat, do="time", workload=workload.name, size=dict(size), collect=collect)
            costs.append(reply["cpu"] / reply["units"] * scale)
            if not collect:
                result.wall.append(reply["wall"] / reply["units"] * scale)

    def _memory(self, workload: Workload, size: Size, seat: Seat, result: Result) -> None:
        """In a process of its own each time: memory freed but not given back would hide the next growth."""
        worker = Worker(seat, self.settings.core, self.settings.timeout)
        try:
            reply = _value(worker.ask(do="memory", workload=workload.name, size=dict(size)))
            result.cost.append(reply["mebibytes"] * UNIT_SCALE["memory"])
        finally:
            worker.close()

    def _import(self, workload: Workload, size: Size, seat: Seat, result: Result) -> None:
        pin = "" if self.settings.core is None else f"import os; os.sched_setaffinity(0, {{{self.settings.core}}})\n"
        code = (
            f"{pin}import time; cpu, wall = time.process_time(), time.perf_counter()\n"
            f"{SYSTEMS[seat.system].imports_for(workload.name)}\n"
            "print(time.process_time() - cpu, time.perf_counter() - wall)"
        )
        done = subprocess.run([seat.python, "-c", code], capture_output=True, text=True, env=environment())
        if done.returncode:
            raise Refused(done.stderr.strip().splitlines()[-1])
        cpu, wall = (float(figure) * UNIT_SCALE["import"] for figure in done.stdout.split()[-2:])
        result.cost.append(cpu)
        result.wall.append(wall)

    def _ask(self, seat: Seat, **request: Any) -> dict[str, Any]:
        reply = self._worker(seat).ask(**request)
        try:
            return _value(reply)
        except Refused:
            self._replace_if_dead(seat)
            raise

    def _worker(self, seat: Seat) -> Worker:
        if seat not in self._workers:
            worker = self._workers[seat] = Worker(seat, self.settings.core, self.settings.timeout)
            if worker.absent:
                self.progress(f"{seat.label} is absent: {worker.greeting['absent']}")
            else:
                self._note_version(seat, worker.greeting)
        return self._workers[seat]

    def _note_version(self, seat: Seat, greeting: dict[str, Any]) -> None:
        version, python = greeting.get("version"), greeting.get("python")
        if python and python != platform.python_version():
            version = f"{version or ''} on Python {python}".strip()
            self.progress(f"{seat.label} runs on Python {python}: not comparable")
        if version:
            self.report.versions[seat.system] = version

    def _replace_if_dead(self, seat: Seat) -> None:
        """A worker that died or hung is started anew for the next workload."""
        if self._workers[seat].dead:
            self._dismiss(seat)

    def _dismiss_all(self) -> None:
        for seat in list(self._workers):
            self._dismiss(seat)

    def _dismiss(self, seat: Seat) -> None:
        self._workers.pop(seat).close()


def _value(reply: dict[str, Any]) -> dict[str, Any]:
    if reply.get("unsupported"):
        raise Refused("unsupported")
    if "absent" in reply:
        raise Refused("absent")
    if "error" in reply:
        raise Refused(reply["error"])
    return reply


def volume(size: Size) -> int:
    """How much there is to do, roughly: what the time to do it is expected to grow with."""
    return math.prod(size.values())


def machine(settings: Settings) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "pinned": settings.core is not None,
        "repeats": settings.repeats,
        "quick": settings.quick,
    }
