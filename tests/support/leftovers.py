"""What a finished test must not leave behind: tasks, threads, log records."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import re
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio.lowlevel

from .clock import PARKED, grace

CACHED_THREADS = re.compile(r"penstock-(asyncio|trio)$")
"""Portal threads, of which one per backend is kept for the next sync call, by design."""

QUIET_LOGGERS = ("penstock", "asyncio", "trio", "concurrent.futures", "anyio")
"""Loggers that a well-behaved test leaves silent at WARNING and above."""

_SETTLE_TURNS = 50
_SETTLE_SECONDS = 2.0


class Leftovers(AssertionError):
    """A test left something behind."""


# --- tasks -----------------------------------------------------------------------------------------------


def live_tasks() -> dict[int, str]:
    """The tasks alive on this loop besides the current one: their identities and what to call them."""
    if _on_trio():
        import trio

        current = trio.lowlevel.current_task()
        return {id(task): repr(task) for task in _trio_tasks() if task is not current}
    return {id(task): repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def leftover_tasks(known: Iterable[int] = (), *, settle: bool = True) -> list[str]:
    """The tasks on this loop that are neither the current one nor `known` (keys of `live_tasks()`).

    With `settle` (the default) tasks that are already on their way out get some scheduler turns to finish,
    and busy worker threads some real time; no virtual time passes.
    """
    known = set(known)
    turns, deadline = 0, time.monotonic() + _SETTLE_SECONDS
    while True:
        left = [name for ident, name in live_tasks().items() if ident not in known]
        if not left or not settle:
            return left
        if turns >= _SETTLE_TURNS:
            if grace() == PARKED or time.monotonic() > deadline:
                return left
            time.sleep(0.001)
        turns += 1
        await anyio.lowlevel.checkpoint()


def checked(test: Callable[..., Awaitable[None]], allowed: Callable[[str], bool]) -> Callable[..., Any]:
    """`test`, failing when a task outlives it that is not `allowed` by its representation."""

    @functools.wraps(test)
    async def run(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        known = live_tasks()
        await test(*args, **kwargs)
        gc.collect()  # an abandoned run is cancelled by its finaliser
        left = [task for task in await leftover_tasks(known) if not allowed(task)]
        if left:
            raise Leftovers("tasks left behind:\n" + "\n".join(left))

    return run


def _on_trio() -> bool:
    if trio := sys.modules.get("trio"):
        with suppress(RuntimeError):
            return trio.lowlevel.current_task() is not None
    return False


def _trio_tasks() -> list[Any]:
    import trio

    found: list[Any] = []
    todo = [trio.lowlevel.current_root_task()]
    while todo:
        task = todo.pop()
        if task is not None:
            found.append(task)
            todo.extend(child for nursery in task.child_nurseries for child in nursery.child_tasks)
    return found


# --- threads ---------------------------------------------------------------------------------------------


def penstock_threads() -> set[threading.Thread]:
    """The live threads that penstock started, except the oldest of each name that may be cached."""
    cached: set[str] = set()
    found: set[threading.Thread] = set()
    for thread in threading.enumerate():
        if CACHED_THREADS.match(thread.name) and thread.name not in cached:
            cached.add(thread.name)
        elif thread.name.startswith("penstock-"):
            found.add(thread)
    return found


def leftover_threads(known: Iterable[threading.Thread] = ()) -> list[str]:
    """The names of penstock's threads that are not `known` and do not end within a moment."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    left = penstock_threads() - set(known)
    for thread in left:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [thread.name for thread in left if thread.is_alive()]


# --- log records -----------------------------------------------------------------------------------------


class LogTrap(logging.Handler):
    """Collects what the `QUIET_LOGGERS` say at WARNING and above, as `logger:LEVEL:message` lines."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{record.name}:{record.levelname}:{record.getMessage()}"
        if record.exc_info and record.exc_info[1] is not None:
            line += f" ({record.exc_info[1]!r})"
        self.lines.append(line)

    def __enter__(self) -> LogTrap:
        for name in QUIET_LOGGERS:
            logging.getLogger(name).addHandler(self)
        return self

    def __exit__(self, *exc: object) -> None:
        for name in QUIET_LOGGERS:
            logging.getLogger(name).removeHandler(self)


# --- what a test expects ---------------------------------------------------------------------------------


@dataclass
class ExpectedNoise:
    """The log lines, threads and tasks a test announces: regular expressions, searched for.

    A log line that was announced and never came fails the test, too, unless it was announced with `maybe`.
    """

    logs: list[str] = field(default_factory=list)
    maybe: list[str] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)

    def log(self, *patterns: str) -> None:
        """These log lines (`logger:LEVEL:message`) will come."""
        self.logs.extend(patterns)

    def allow(self, *patterns: str) -> None:
        """These log lines may come."""
        self.maybe.extend(patterns)

    def allow_threads(self, *patterns: str) -> None:
        """Threads with these names may outlive the test."""
        self.threads.extend(patterns)

    def allow_tasks(self, *patterns: str) -> None:
        """Tasks with these representations may outlive the test's coroutine."""
        self.tasks.extend(patterns)

    def task_is_allowed(self, task: str) -> bool:
        """Whether a task of this representation was announced."""
        return _matches(task, self.tasks)

    def complaints(self, lines: Iterable[str], threads: Iterable[str]) -> list[str]:
        """What happened unannounced, and what was announced and did not happen."""
        lines = list(lines)
        found = [f"logged: {line}" for line in lines if not _matches(line, [*self.logs, *self.maybe])]
        found += [
            f"never logged: {pattern!r}" for pattern in self.logs if not any(re.search(pattern, line) for line in lines)
        ]
        found += [f"thread alive: {name}" for name in threads if not _matches(name, self.threads)]
        return found


def _matches(text: str, patterns: Iterable[str]) -> bool:
    return any(re.search(pattern, text) for pattern in patterns)
