"""What the tests share: runners in virtual time, leftovers checks, recorders."""

from .backends import BACKENDS, REAL_TIME, backend_with_options, run_on
from .clock import Deadlock, VirtualTimeLoop, shortly, virtual_trio_clock
from .leftovers import ExpectedNoise, Leftovers, leftover_tasks, leftover_threads, live_tasks
from .recording import Recorder, checkpoints, collect

__all__ = [
    "BACKENDS",
    "REAL_TIME",
    "Deadlock",
    "ExpectedNoise",
    "Leftovers",
    "Recorder",
    "VirtualTimeLoop",
    "backend_with_options",
    "checkpoints",
    "collect",
    "leftover_tasks",
    "leftover_threads",
    "live_tasks",
    "run_on",
    "shortly",
    "virtual_trio_clock",
]
