"""The nodes of one superstep that run side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup

from ..streams._backend import native_cancel_requested, on_trio
from ..streams._throttle import go_on
from ._failure import attach_others, stray_cancellation, without_cancellation
from ._result import ParentCommand
from ._step import Outcome
from ._task import Task

if TYPE_CHECKING:
    from ._loop import GraphRun


async def run_group(run: GraphRun, tasks: Sequence[Task]) -> Sequence[Outcome]:
    """Run the tasks of a superstep in a task group; raises the first error of one of them, as itself."""
    all_of_them = _Group(run, tasks)
    try:
        async with anyio.create_task_group() as group:
            all_of_them.group = group
            if run.has_slots or on_trio():
                for index, task in enumerate(tasks):
                    holds_slot = task.spec.subgraph is None and await run.acquire_slot()
                    all_of_them.start(index, all_of_them.run, index, holds_slot)
            else:
                all_of_them.start(0, all_of_them.run_in_turn)
    except anyio.get_cancelled_exc_class():  # noqa: ASYNC103 - our own scope was cancelled
        # A node's error, or one raised by its cleanup, must not get lost behind a cancellation.
        if not all_of_them.failures:
            raise
    try:
        if all_of_them.failures:
            raise attach_others(all_of_them.failures)
        if all_of_them.handovers:
            raise all_of_them.handovers[0]
        return [_outcome(*ended) for ended in zip(tasks, all_of_them.outcomes, strict=True)]
    finally:  # no cycle from an error through the frames of this superstep back to it
        all_of_them.failures, all_of_them.handovers = [], []


def _outcome(task: Task, outcome: Outcome | None) -> Outcome:
    if outcome is None:  # by the end of a sibling that had cancelled its own task, which Python 3.10 does not tell
        raise stray_cancellation(task)
    return outcome


class _Group:
    """The tasks of one superstep that run side by side, and what becomes of them."""

    __slots__ = ("failures", "group", "handovers", "outcomes", "run_", "tasks")

    def __init__(self, run: GraphRun, tasks: Sequence[Task]) -> None:
        self.run_ = run
        self.tasks = tasks
        self.outcomes: list[Outcome | None] = [None] * len(tasks)
        self.failures: list[tuple[str, BaseException]] = []
        self.handovers: list[ParentCommand] = []
        self.group: TaskGroup

    def start(self, index: int, run: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """Start a task for one of the nodes, or for that one and those behind it."""
        self.group.start_soon(run, *args, name=f"penstock node {self.tasks[index].name}")

    async def run_in_turn(self) -> None:
        """Run one after another, up to the first that suspends; each of the others then gets a task of its own.

        Nodes that never suspend have nothing to run side by side with, and a task is half of what a node costs.
        asyncio begins tasks in order, so all nodes have begun before the first goes on; on trio, which shuffles them,
        one could be cancelled by the failure of another before it has begun.
        """
        begun = self._begin_in_turn()
        if begun is not None:
            await go_on(*begun)

    def _begin_in_turn(self) -> tuple[Coroutine[Any, Any, None], Any] | None:
        """The first that suspends, and what it waits for."""
        # The reader is woken behind them: what a node writes that has not begun yet must not come a streak later.
        held = [feed for feed in self.run_.feeds if feed.hold_reader()]
        try:
            for index in range(len(self.tasks)):
                running = self.run(index)
                try:
                    waits_for = running.send(None)
                except StopIteration:
                    continue
                for other in range(index + 1, len(self.tasks)):
                    self.start(other, self.run, other)
                return running, waits_for
            return None
        finally:
            for feed in held:
                feed.free_reader()

    async def run(self, index: int, holds_slot: bool = False) -> None:
        """Run one of the tasks; raises nothing but cancellation."""
        task = self.tasks[index]
        try:
            outcome = await self.run_.perform(task, holds_slot, spawned=True)
            if native_cancel_requested():  # by the node itself, at its end: it would hit the others, and silently
                await anyio.lowlevel.checkpoint()
            self.outcomes[index] = outcome
        except GeneratorExit:
            raise
        except BaseException as raised:  # noqa: ASYNC103 - recorded, and raised by the loop
            error = without_cancellation(raised)
            if error is None:
                if self.run_.aborted or anyio.current_effective_deadline() == -math.inf:
                    raise
                error = stray_cancellation(task)
                error.__cause__ = raised
            self._fail(task, error)
            del error  # no cycle from the error through this frame back to it

    def _fail(self, task: Task, error: BaseException) -> None:
        if isinstance(error, ParentCommand):  # no failure: its siblings finish, and an error of theirs comes first
            self.handovers.append(error)
            return
        if isinstance(error, Exception):
            self.failures.append((task.name, error))
        else:  # KeyboardInterrupt, SystemExit: first in line
            self.failures.insert(0, (task.name, error))
        self.group.cancel_scope.cancel()
        self.run_.abort()
