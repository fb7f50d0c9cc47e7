"""Virtual time: a loop's clock jumps to its next timer as soon as nothing else can happen.

"Nothing else can happen" is easy to say of tasks and hard to say of threads: a worker thread may be about to
hand its result over, or it may be waiting for something that only the passing of (virtual) time brings about.
So the stacks of all other threads are looked at, and each thread's state gives a grace: the real time for
which the loop stays ready to be woken before its clock jumps.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import sys
import threading
import time
from types import FrameType
from typing import Any

PARKED = 0.0
"""Every other thread is an idle worker, or sits in an event loop of its own."""
BLOCKED = 0.01
"""A thread waits for a lock, an event or a result; most likely for this loop."""
RUNNING = 0.1
"""A thread runs, or is in a blocking call of unknown kind."""

LONG_JUMP, PATIENCE = 5.0, 0.3
"""Virtual seconds that only a guard against deadlocks waits for, and the grace before they pass if any thread is at
work: on a busy machine one can get no turn for longer than the graces above."""

DEADLOCK_AFTER = 10.0
"""Real seconds without a timer, a ready task or an outside event after which a test is declared stuck."""

_BLOCKED_IN = ("threading.py", "queue.py", "concurrent/futures/_base.py", "trio/_threads.py")


def shortly() -> float:
    """Seconds in which a run gets under way, for a deadline: few in virtual time, more where a busy machine counts."""
    trio = sys.modules.get("trio")
    virtual = trio is not None and trio.lowlevel.in_trio_run()
    return 0.02 if virtual or isinstance(asyncio.get_running_loop(), VirtualTimeLoop) else 0.3


class Deadlock(RuntimeError):
    """Nothing can wake the loop any more."""


def grace(ahead: float = 0.0) -> float:
    """How long to wait, in real seconds, for the other threads of the process, before that much virtual time passes."""
    me = threading.get_ident()
    frames = sys._current_frames()
    try:
        needed = max((_grace_of(frame) for ident, frame in frames.items() if ident != me), default=PARKED)
        return PATIENCE if needed != PARKED and ahead >= LONG_JUMP else needed
    finally:
        frames.clear()  # a cycle, for this frame is among them, and it would keep alive what the threads' frames hold


def _grace_of(frame: FrameType) -> float:
    if _is_event_loop(frame) or _is_idle_worker(frame):
        return PARKED
    return BLOCKED if _path(frame).endswith(_BLOCKED_IN) else RUNNING


def _is_event_loop(frame: FrameType) -> bool:
    return (frame.f_code.co_name, _path(frame).rpartition("/")[2]) in (
        ("select", "selectors.py"),
        ("get_events", "_io_epoll.py"),
        ("get_events", "_io_kqueue.py"),
    )


def _is_idle_worker(frame: FrameType | None) -> bool:
    """Whether a thread waits in a pool, and has not been given a job that it has yet to wake up for."""
    if frame is None:
        return False
    name, path, local = frame.f_code.co_name, _path(frame), frame.f_locals
    if name == "_worker" and path.endswith("concurrent/futures/thread.py"):
        executor = local["executor_reference"]()
        # a job may have left the queue and not have reached the worker, so the idle ones are counted, too
        return local["work_queue"].empty() and (
            executor is None or executor._idle_semaphore._value >= len(executor._threads)
        )
    if name == "_work" and path.endswith("trio/_core/_thread_cache.py"):
        return local["self"] in local["self"]._thread_cache._idle_workers
    if name == "run" and path.endswith("anyio/_backends/_asyncio.py"):
        return local["self"] in local["self"].idle_workers
    # anyio's worker waits in a queue's condition
    return path.endswith(("threading.py", "queue.py")) and _is_idle_worker(frame.f_back)


def _path(frame: FrameType) -> str:
    return frame.f_code.co_filename.replace("\\", "/")


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that moves its own clock where it would have waited for a timer."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if ready := super().select(0):
            return ready
        if timeout is not None and timeout <= 0:
            return ready
        # First the state of the threads, then the poll: a thread that hands its result over and goes idle in
        # between is not missed.
        if ready := super().select(grace(timeout or 0.0)):
            return ready
        if timeout is None:
            if ready := super().select(DEADLOCK_AFTER):
                return ready
            raise Deadlock(f"no timer, no ready task and no event for {DEADLOCK_AFTER} s")
        self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop in virtual time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the executor's threads, however much virtual time a real join would take."""
        await super().shutdown_default_executor()


def virtual_trio_clock() -> Any:
    """A trio `MockClock` that jumps at once, but gives worker threads the same grace as `VirtualTimeLoop`."""
    import trio.testing

    clock: Any = trio.testing.MockClock(autojump_threshold=PARKED)
    jump = clock._autojump
    run_context: Any = trio._core._run.GLOBAL_RUN_CONTEXT
    stuck_at: tuple[int, int] | None = None
    stuck_since = 0.0

    def autojump() -> None:
        nonlocal stuck_at, stuck_since
        runner = run_context.runner
        needed = grace(runner.deadlines.next_deadline() - clock.current_time())
        if runner.runq or runner.entry_queue.queue or runner.entry_queue.idempotent_queue:
            return  # a thread has just posted something
        if runner.deadlines.next_deadline() == math.inf:
            # Only the outside can help: look now and then instead of spinning.
            clock.autojump_threshold = BLOCKED
            progress = (len(runner.tasks), sum(task._schedule_points for task in runner.tasks))
            if progress != stuck_at:
                stuck_at, stuck_since = progress, time.monotonic()
            elif time.monotonic() - stuck_since > DEADLOCK_AFTER:
                sys.stderr.write(f"{DEADLOCK_AFTER} s without a timer or a ready task: cancelling the run\n")
                runner.system_nursery.cancel_scope.cancel()
        elif clock.autojump_threshold >= needed:
            jump()
            if clock.autojump_threshold != PARKED:
                clock.autojump_threshold = PARKED
        else:
            clock.autojump_threshold = needed

    clock._autojump = autojump
    return clock
