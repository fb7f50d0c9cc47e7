"""Measure one program once: CPU and wall time, or peak memory; and check that what it produced is right."""

from __future__ import annotations

import gc
import itertools
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from time import perf_counter, process_time
from typing import Any

from .model import Program, Size, Workload


class WrongAnswer(Exception):
    """A system did not do the job; its time would mean nothing."""


class Meter:
    """Collects a program's chunks and the time between ``start`` and ``stop``, over any number of laps.

    ``take`` is the bound ``append`` of a C container, the cheapest call there is.  The container keeps
    everything when the answer is checked, and only the last chunk when time or memory counts: holding on to
    100,000 chunks would add the same page faults to every system and so flatter the slow ones.
    """

    def __init__(self, keep_all: bool) -> None:
        self.kept: list[Any] | deque[Any] = [] if keep_all else deque(maxlen=1)
        self.take: Callable[[Any], None] = self.kept.append
        self.cpu = 0.0
        self.wall = 0.0
        self._cpu_started = 0.0
        self._wall_started = 0.0

    def start(self) -> None:
        self._wall_started = perf_counter()
        self._cpu_started = process_time()

    def stop(self) -> None:
        # CPU time of the whole process: worker threads and helper loops count for whoever started them
        self.cpu += process_time() - self._cpu_started
        self.wall += perf_counter() - self._wall_started


def canonical(workload: Workload, chunks: Iterable[Any]) -> list[Any]:
    if workload.order == "any":
        return sorted(chunks)
    if workload.order == "by-source":
        return sorted(chunks, key=itemgetter(0))  # stable: each producer's own order survives
    return list(chunks)


def verify(workload: Workload, size: Size, program: Program, meter: Meter) -> int:
    """Compare what the meter kept with the right answer; return a checksum of it."""
    got = canonical(workload, (program.read(chunk) for chunk in meter.kept))
    wanted = canonical(workload, workload.expected(size))
    if isinstance(meter.kept, deque):
        wanted = wanted[-len(got) :] if got else wanted[-1:]
    if got != wanted:
        raise WrongAnswer(f"{workload.name} {dict(size)}: {_first_difference(got, wanted)}")
    return zlib.crc32(repr(got).encode())


def _first_difference(got: list[Any], wanted: list[Any]) -> str:
    nothing = "nothing"
    for index, (one, other) in enumerate(itertools.zip_longest(got, wanted, fillvalue=nothing)):
        if one != other:
            return f"chunk {index} of {len(wanted)} is {one!r}, expected {other!r}"
    return "equal"


@dataclass(frozen=True)
class Bench:
    """One program of one workload at one size: run for a check, for time, or for memory."""

    workload: Workload
    size: Size
    program: Program
    warm: Program
    """The same at the quick size, run first in every loop."""

    def check(self, run: Callable[..., Any]) -> int:
        """Run once, keeping every chunk; ``run`` is the backend's way to run an async function."""
        meter = Meter(keep_all=True)
        self._run(run, meter)
        return verify(self.workload, self.size, self.program, meter)

    def time(self, run: Callable[..., Any], *, collect: bool) -> Meter:
        """One sample.  ``collect``: leave the cyclic collector on, as users have it."""
        # what arrives in no fixed order cannot be checked by its last chunk, so all of it is kept
        meter = Meter(keep_all=self.workload.order != "exact")
        self._run(run, meter, freeze=not collect)
        verify(self.workload, self.size, self.program, meter)
        return meter

    def memory(self, run: Callable[..., Any]) -> float:
        """Growth of peak memory in MiB, for a process of its own: what an earlier run left would hide it."""
        meter = Meter(keep_all=False)
        before = []
        self._run(run, meter, at_start=lambda: before.append(reset_peak()))
        growth = max(0, peak() - before[0])  # the kernel counts in batches of pages
        if self.workload.order == "exact":
            verify(self.workload, self.size, self.program, meter)
        return growth / 2**20

    def _run(
        self,
        run: Callable[..., Any],
        meter: Meter,
        *,
        freeze: bool = False,
        at_start: Callable[[], None] = lambda: None,
    ) -> None:
        """Warm up, then run the program once, both in one fresh loop: thread pools are born with a loop."""

        def begin() -> None:
            gc.collect()
            if freeze:
                gc.disable()
            at_start()
            if not self.workload.laps:
                meter.start()

        def end() -> None:
            if not self.workload.laps:
                meter.stop()
            gc.enable()

        def call() -> None:
            self.warm.run(Meter(keep_all=False))
            begin()
            try:
                self.program.run(meter)
            finally:
                end()

        async def acall() -> None:
            await self.warm.run(Meter(keep_all=False))  # type: ignore[misc]  # async exactly when not .sync
            begin()
            try:
                await self.program.run(meter)  # type: ignore[misc]
            finally:
                end()

        if self.workload.sync:
            call()
        else:
            run(acall)


def peak() -> int:
    """Highest resident memory of this process so far, in bytes."""
    high = _status("VmHWM")
    if high is not None:
        return high
    import resource  # absent on Windows, where this workload is reported as failed
    import sys

    # getrusage counts in KiB, on macOS in bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def reset_peak() -> int:
    """Start counting the peak anew where the system can (Linux); return where it starts."""
    try:
        with open("/proc/self/clear_refs", "w") as refs:
            refs.write("5")
    except OSError:
        return peak()  # a lower bound of the growth then: the peak so far may be above the present use
    return _status("VmRSS") or peak()


def _status(key: str) -> int | None:
    if not os.path.exists("/proc/self/status"):
        return None
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    return None
