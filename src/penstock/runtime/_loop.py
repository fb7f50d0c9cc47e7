"""The superstep loop: plan, run, commit, until nothing is due.

Theory of operation
-------------------
A `GraphRun` is one execution of one graph: the root of a run, or a subgraph inside a task.  It is plain data plus
one coroutine, `execute`, and it lives in whatever task awaits that: a stream's host, the caller of `ainvoke`, or
the task of the node a subgraph belongs to.

A superstep with one task runs it right there.  The node is driven in a context of its own (`streams.drive`), so
nothing it sets leaks, and no task has to be started, which is most of what a superstep costs.  A superstep with
several tasks opens a task group for them.

Errors never meet the task group, which would wrap them: a task records its error and cancels the group's scope,
and `_run_group` raises the first one recorded afterwards, as itself.

A native cancellation that nobody asked for (a node awaited a future that was cancelled, or somebody cancelled the
node's task) would end the run without a word.  It is told from a real one by asking who is being cancelled: a
scope around us shows in the effective deadline, the caller's task in `Task.cancelling()`.
"""

from __future__ import annotations

import contextvars
import math
import random
import sys
from collections import deque
from collections.abc import Sequence
from threading import get_ident
from typing import Any

import anyio

from ..channels import MISSING, LastValue, reduce_writes
from ..config import RunConfig
from ..constants import START
from ..errors import GraphRecursionError, InvalidUpdateError, NodeCancelledError, NodeError, NodeTimeoutError
from ..managed import StepProgress
from ..streams import Feed, Merger, Projector
from ..streams._backend import native_cancel_requested
from ..types import Command, Namespace
from ._body import call_body
from ._failure import attach_others, describe_failure, plain_error, without_cancellation
from ._program import BodyKind, NodeSpec, Program, Reader
from ._result import ParentCommand, read_result, read_route
from ._retry import retry_delay
from ._step import Frontier, Outcome, Planned, advance, commit, plan
from ._task import Attempt, Task

# Worker threads per graph run, unless `max_concurrency` allows fewer or more.
DEFAULT_THREADS = 40


class IdSource:
    """Makes the ids of a run's tasks: unique, cheap, and in order."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = random.getrandbits(128)

    def next(self) -> str:
        self._last = (self._last + 1) % (1 << 128)
        h = f"{self._last:032x}"
        return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


class Pace:
    """When the next superstep of a streamed run may start: by default when the reader asks for more.

    Args:
        merger: the stream that is read.
        run_ahead: how many supersteps may be finished and not yet read.
    """

    __slots__ = ("_ends", "_merger", "_run_ahead")

    def __init__(self, merger: Merger, run_ahead: int) -> None:
        self._merger = merger
        self._run_ahead = run_ahead
        self._ends: deque[int] = deque()

    async def before_step(self) -> None:
        if self._run_ahead == 0:
            await self._merger.demand()
        elif len(self._ends) > self._run_ahead:
            await self._merger.taken_up_to(self._ends.popleft())

    def after_step(self) -> None:
        if self._run_ahead:
            self._ends.append(self._merger.written)


class GraphRun:
    """One execution of one graph.

    Args:
        program: the graph.
        writes: the input, taken apart.
        config: settings of the run.
        user_context: what nodes get as `runtime.context`.
        goto: nodes to run first, besides those behind the entry.
        projectors: the streams that may want to see it, the innermost first.
        namespace: where it lies; `()` for a root.
        parent: the attempt it runs inside of, or None.
        context: the context variables its nodes start from.
        hosted: whether it lives in a task of our own, which nobody but the loop's shutdown cancels natively.
        pace: when the next superstep may start, if somebody reads.
        output_keys: what the result is restricted to; the output schema by default.
    """

    __slots__ = (
        "_output_keys",
        "_slots",
        "_threads",
        "config",
        "context",
        "draining",
        "feeds",
        "frontier",
        "goto",
        "hosted",
        "ids",
        "live",
        "namespace",
        "pace",
        "parent",
        "remote",
        "program",
        "projectors",
        "step",
        "thread_id",
        "user_context",
        "values",
        "writes",
        "wrote",
    )

    def __init__(
        self,
        program: Program,
        writes: Sequence[tuple[str, Any]],
        *,
        goto: Sequence[str] = (),
        config: RunConfig,
        user_context: Any = None,
        projectors: Sequence[Projector] = (),
        namespace: Namespace = (),
        parent: Attempt | None = None,
        context: contextvars.Context,
        hosted: bool,
        pace: Pace | None = None,
        output_keys: str | tuple[str, ...] | None = None,
    ) -> None:
        self.program = program
        self.writes = writes
        self.config = config
        self.user_context = user_context
        self.goto = goto
        self.projectors = projectors
        self.namespace = namespace
        feeds = (p.feed(namespace, program) for p in projectors)
        self.feeds: tuple[Feed, ...] = tuple(f for f in feeds if f is not None)
        self.parent = parent
        self.context = context
        self.hosted = hosted
        self.pace = pace
        self._output_keys = program.output_keys if output_keys is None else output_keys
        self.thread_id = get_ident()
        # A sync call on the loop's own thread runs on another loop: nothing of its parent's can be waited for.
        self.remote = parent is not None and parent.task.run.thread_id != self.thread_id
        self.ids: IdSource = IdSource() if parent is None else parent.task.run.ids
        self.step = 0
        self.values: dict[str, Any] = {}
        self.frontier = Frontier()
        self.live: set[Attempt] = set()
        self.draining = False
        self.wrote = False
        self._slots = self._find_slots()
        self._threads: anyio.CapacityLimiter | None = None

    # ---------------------------------------------------------------- concurrency

    def _find_slots(self) -> anyio.Semaphore | None:
        parent = self.parent
        if parent is not None and not self.remote and parent.task.run._slots is not None:
            return parent.task.run._slots
        limit = self.config.max_concurrency
        return None if limit is None else anyio.Semaphore(limit)

    async def acquire_slot(self) -> bool:
        """Wait for one of the run's concurrency slots; False if there are none to wait for."""
        if self._slots is None:
            return False
        await self._slots.acquire()
        return True

    def release_slot(self) -> None:
        """Give a slot back."""
        assert self._slots is not None
        self._slots.release()

    @property
    def threads(self) -> anyio.CapacityLimiter:
        """The limiter of this graph run's worker threads.

        Not shared with nested runs: a thread that waits for one would hold the place the nested one needs.
        """
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(self.config.max_concurrency or DEFAULT_THREADS)
        return self._threads

    # ---------------------------------------------------------------- the loop

    async def execute(self) -> Any:
        """Run to the end; returns the output, or None if nothing was ever written to it."""
        try:
            await self._enter()
            await self._supersteps()
        except ParentCommand as up:
            if self.parent is None:
                raise InvalidUpdateError(
                    f"a node returned {up.command!r}, but {self.program.name!r} is no subgraph: there is no parent"
                ) from None
            raise
        finally:
            for feed in self.feeds:
                feed.close()
        return self.output()

    def output(self) -> Any:
        """What `invoke` returns: the state restricted to the output keys."""
        if not self.wrote:
            return None
        keys = self._output_keys
        if isinstance(keys, str):
            return self.values.get(keys)
        return {k: self.values[k] for k in keys if k in self.values}

    async def _enter(self) -> None:
        program = self.program
        initial = ((k, c.initial()) for k, c in program.channels.items())
        self.values = {k: v for k, v in initial if v is not MISSING}
        changes = reduce_writes(program.channels, self.values, ((START, k, v) for k, v in self.writes))
        merged = {**self.values, **changes}
        self.values = {k: merged[k] for k in program.channels if k in merged}  # shown in the schema's order
        self._apply(changes)
        goto, sends = [*self.goto], list[Any]()
        if program.entry.branches:
            spec = NodeSpec(START, BodyKind.INLINE, lambda _i, _a: None, Reader(), exits=program.entry)
            attempt = Attempt(Task(self, Planned(spec), 0, None), 1)
            try:
                more_goto, sends = await self._route(attempt, ())
                goto += more_goto
                await self._settle(attempt)
            finally:
                await self._end(attempt)
        advance(program, self.frontier, Outcome(START, (), program.entry, goto, sends))
        await self._barrier()

    async def _supersteps(self) -> None:
        program, frontier, limit = self.program, self.frontier, self.config.recursion_limit
        while True:
            step = self.step = self.step + 1
            if step > limit:
                raise GraphRecursionError(
                    f"the run of {program.name!r} took {limit} supersteps, its recursion_limit, without coming to an "
                    "end; check the condition that leaves the loop, or raise config['recursion_limit']"
                )
            if self.draining:
                return
            planned = plan(program, frontier)
            if not planned:
                return
            progress = StepProgress(step, limit)
            tasks = [Task(self, p, step, self._input(p, progress)) for p in planned]
            for feed in self.feeds:
                if feed.tasks:
                    await self._announce(feed, tasks)
            await (anyio.lowlevel.checkpoint() if self.pace is None else self._wait_turn(self.pace))
            outcomes = await self._run(tasks)
            changes = commit(program, self.values, frontier, outcomes)
            self._apply(changes)
            await self._barrier()
            if self.pace is not None:
                self.pace.after_step()

    def _input(self, planned: Planned, progress: StepProgress) -> Any:
        if planned.send is not None:
            arg = planned.send.arg
            return dict(arg) if type(arg) is dict else arg
        return planned.spec.reader.read(self.values, progress)

    async def _announce(self, feed: Feed, tasks: Sequence[Task]) -> None:
        for task in tasks:
            feed.started(self.step, task)
            if feed.pending:
                await feed.flush()

    async def _wait_turn(self, pace: Pace) -> None:
        await anyio.lowlevel.checkpoint_if_cancelled()
        await pace.before_step()
        # Whoever ends the run opens every gate: a gate that was open already is no cancellation point.
        await anyio.lowlevel.checkpoint_if_cancelled()

    def _apply(self, changes: dict[str, Any]) -> None:
        if not changes:
            return
        self.values.update(changes)
        self.wrote = True
        for key, value in changes.items():
            if value is MISSING:
                del self.values[key]
        for feed in self.feeds:
            feed.state(self.values, changes)

    async def _barrier(self) -> None:
        """Everything of this superstep is in the stream before anything of the next."""
        for feed in self.feeds:
            if feed.pending:
                await feed.flush()

    # ---------------------------------------------------------------- one superstep

    async def _run(self, tasks: Sequence[Task]) -> Sequence[Outcome]:
        # On 3.10 asyncio does not say whether the caller's task is being cancelled, so a stray cancellation can be
        # told from a real one only in a task of the node's own.
        if len(tasks) == 1 and (self.hosted or sys.version_info >= (3, 11)):
            return [await self._run_lone(tasks[0])]
        return await self._run_group(tasks)

    async def _run_lone(self, task: Task) -> Outcome:
        holds_slot = task.spec.subgraph is None and await self.acquire_slot()
        try:
            return await self._perform(task, holds_slot)
        except anyio.get_cancelled_exc_class() as cancelled:
            if anyio.current_effective_deadline() == -math.inf or (
                not self.hosted and native_cancel_requested()
            ):
                raise
            raise _stray_cancellation(task) from cancelled

    async def _run_group(self, tasks: Sequence[Task]) -> Sequence[Outcome]:
        group_run = _GroupRun(self, tasks)
        try:
            async with anyio.create_task_group() as group:
                group_run.scope = group.cancel_scope
                for index, task in enumerate(tasks):
                    holds_slot = task.spec.subgraph is None and await self.acquire_slot()
                    group.start_soon(group_run.run, index, holds_slot, name=f"penstock node {task.name}")
        except anyio.get_cancelled_exc_class():
            # A node's error, or one raised by its cleanup, must not get lost behind a cancellation.
            if not group_run.failures:
                raise
        if group_run.failures:
            raise attach_others(group_run.failures)
        return group_run.outcomes  # type: ignore[return-value]  # no failure: none is missing

    def abort(self) -> None:
        """Open every gate a cancelled task could be waiting at."""
        for attempt in list(self.live):
            attempt.abort()

    def running(self) -> list[str]:
        """Names of the nodes that are running now, those of nested runs included."""
        names = []
        for attempt in list(self.live):
            inner = [name for child in list(attempt.children) for name in child.running()]
            names += inner or [attempt.task.name]
        return names

    # ---------------------------------------------------------------- one task

    async def _perform(
        self, task: Task, holds_slot: bool, *, spawned: bool = False, failed: NodeError | None = None
    ) -> Outcome:
        """Run a task, with retries and its error handler; tells the feeds how it went."""
        number = 1
        try:
            if spawned:  # a task that is started in a cancelled group still runs to its first await
                await anyio.lowlevel.checkpoint_if_cancelled()
            while True:
                attempt = Attempt(task, number, holds_slot, failed)
                self.live.add(attempt)
                try:
                    return await self._attempt(attempt)
                except ParentCommand:
                    raise
                except Exception as error:
                    problem = plain_error(error)
                finally:
                    await self._end(attempt)
                    holds_slot = attempt.holds_slot
                delay = retry_delay(task.spec.retry, problem, number, random.random)
                if delay is None:
                    break
                await anyio.sleep(delay)
                number += 1
        finally:
            if holds_slot:
                self.release_slot()
        try:
            return await self._failed(task, number, problem)
        finally:
            del problem  # no cycle from the error through this frame back to it

    async def _end(self, attempt: Attempt) -> None:
        """The attempt is over: end what it started, deliver what it wrote, refuse what comes later."""
        self.live.discard(attempt)
        if attempt.children:
            with anyio.CancelScope(shield=True):
                for child in list(attempt.children):
                    await child.end()
        port = attempt.port
        if port is not None and port.merger.has_inbox and not self.remote:
            port.merger.drain_inbox()
        attempt.close()

    async def _failed(self, task: Task, number: int, error: Exception) -> Outcome:
        handler = task.spec.handler
        if handler is None:
            describe_failure(error, task, number)
        for feed in self.feeds:
            feed.ended(self.step, task, (), error, number)
        if handler is None:
            raise error
        progress = StepProgress(self.step, self.config.recursion_limit)
        substitute = Task(self, Planned(handler), self.step, handler.reader.read(self.values, progress))
        return await self._perform(substitute, await self.acquire_slot(), failed=NodeError(task.name, error))

    async def _attempt(self, attempt: Attempt) -> Outcome:
        task = attempt.task
        spec = task.spec
        value = await self._within_timeout(attempt)
        writes, goto, sends = read_result(self.program, task.name, value)
        await self._settle(attempt)
        if spec.kind.is_generator:  # its updates were shown as it yielded them
            writes = self._last_of_each(writes)
        else:
            for feed in self.feeds:
                feed.updated(task, writes)
        if spec.exits.branches:
            more_goto, more_sends = await self._route(attempt, writes)
            goto, sends = [*goto, *more_goto], [*sends, *more_sends]
            await self._settle(attempt)
        for feed in self.feeds:
            feed.ended(self.step, task, writes, None, attempt.number)
        return Outcome(task.name, writes, spec.exits, goto, sends)

    def _last_of_each(self, writes: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """A generator may yield a key several times; where a key keeps only one value, the last one counts."""
        channels = self.program.channels
        last = {key: index for index, (key, _) in enumerate(writes)}
        return [w for i, w in enumerate(writes) if last[w[0]] == i or type(channels[w[0]]) is not LastValue]

    async def show_update(self, attempt: Attempt, value: Any) -> None:
        """Show what a generator node has just yielded."""
        task = attempt.task
        writes = read_result(self.program, task.name, value).writes
        await self._settle(attempt)
        for feed in self.feeds:
            feed.updated(task, writes)
            await feed.relieved()

    async def _settle(self, attempt: Attempt) -> None:
        """Runs that were started inside have ended, and what was written is in the stream."""
        for child in list(attempt.children):
            await child.end()
        port = attempt.port
        if port is not None and not self.remote:
            if port.merger.has_inbox:
                port.merger.drain_inbox()
            if port.pending:
                await port.flush()

    async def _within_timeout(self, attempt: Attempt) -> Any:
        task = attempt.task
        seconds = task.spec.timeout if task.send is None or task.send.timeout is None else task.send.timeout
        if seconds is None:
            return await self._call(attempt)
        with anyio.CancelScope(deadline=anyio.current_time() + seconds) as scope:
            attempt.throttle.timeout_scope = scope
            return await self._call(attempt)
        raise NodeTimeoutError(task.name, seconds)

    async def _call(self, attempt: Attempt) -> Any:
        spec = attempt.task.spec
        try:
            if spec.subgraph is None:
                return await call_body(attempt, spec.kind, spec.body, attempt.task.input)
            return await self._call_subgraph(attempt, spec.subgraph)
        except ParentCommand as up:  # from a graph inside this node, for this graph
            command = up.command
            return Command(update=command.update, goto=command.goto)

    async def _call_subgraph(self, attempt: Attempt, program: Program) -> Any:
        nested = GraphRun(
            program,
            program.read_input(attempt.task.input),
            config=self.config,
            user_context=self.user_context,
            projectors=self.projectors,
            namespace=attempt.child_namespace(),
            parent=attempt,
            context=attempt.context,
            hosted=self.hosted,
        )
        attempt.children.add(nested)
        try:
            return await nested.execute()
        finally:
            attempt.children.discard(nested)

    async def end(self) -> None:
        """A nested run that is awaited has ended by the time its attempt ends."""

    # ---------------------------------------------------------------- routers

    async def _route(self, attempt: Attempt, writes: Sequence[tuple[str, Any]]) -> tuple[list[str], list[Any]]:
        """Ask a node's routers; they see the state with the node's own writes applied."""
        task = attempt.task
        values = self.values
        if writes:
            own = reduce_writes(self.program.channels, values, ((task.name, k, v) for k, v in writes))
            values = {**values, **own}
        progress = StepProgress(self.step, self.config.recursion_limit)
        goto: list[str] = []
        sends: list[Any] = []
        for branch in task.spec.exits.branches:
            seen = branch.reader.read(values, progress)
            chosen = await call_body(attempt, branch.kind, branch.body, seen)
            more_goto, more_sends = read_route(self.program, branch, chosen)
            goto += more_goto
            sends += more_sends
        return goto, sends


class _GroupRun:
    """The tasks of one superstep that run side by side, and what becomes of them."""

    __slots__ = ("failures", "outcomes", "run_", "scope", "tasks")

    def __init__(self, run: GraphRun, tasks: Sequence[Task]) -> None:
        self.run_ = run
        self.tasks = tasks
        self.outcomes: list[Outcome | None] = [None] * len(tasks)
        self.failures: list[tuple[str, BaseException]] = []
        self.scope: anyio.CancelScope

    async def run(self, index: int, holds_slot: bool) -> None:
        """Run one of the tasks; raises nothing but cancellation."""
        task = self.tasks[index]
        try:
            self.outcomes[index] = await self.run_._perform(task, holds_slot, spawned=True)
        except GeneratorExit:
            raise
        except BaseException as raised:
            error = without_cancellation(raised)
            if error is None:
                if anyio.current_effective_deadline() == -math.inf:
                    raise
                error = _stray_cancellation(task)
                error.__cause__ = raised
            self._fail(task, error)

    def _fail(self, task: Task, error: BaseException) -> None:
        if isinstance(error, Exception):
            self.failures.append((task.name, error))
        else:  # KeyboardInterrupt, SystemExit: first in line
            self.failures.insert(0, (task.name, error))
        self.scope.cancel()
        self.run_.abort()


def _stray_cancellation(task: Task) -> NodeCancelledError:
    error = NodeCancelledError(
        f"node {task.name!r} was cancelled, but not by its run: it awaited something that was cancelled, or its task "
        "was cancelled from outside"
    )
    describe_failure(error, task, 1)
    return error
