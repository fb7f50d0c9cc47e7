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
and `run_group` raises the first one recorded afterwards, as itself.

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
from collections.abc import Awaitable, Collection, Mapping, Sequence
from threading import get_ident
from typing import Any

import anyio

from ..channels import MISSING, LastValue, reduce_writes
from ..config import RunConfig
from ..constants import START
from ..errors import (
    GraphRecursionError,
    InvalidUpdateError,
    NodeError,
    NodeTimeoutError,
    StreamClosedError,
    add_note,
)
from ..managed import StepProgress
from ..streams import Feed, Merger, Port, Projector, Throttle
from ..streams._backend import native_cancel_requested
from ..types import Command, Namespace, Send
from ._body import call_body
from ._failure import describe_failure, plain_error, stray_cancellation
from ._group import run_group
from ._model_call import show_messages
from ._observed import (
    attempt_observed,
    call_router_observed,
    execute_observed,
    observe_task,
    open_attempt,
    run_step_observed,
    show_graph_update,
    show_result,
)
from ._observer import Span
from ._program import BodyKind, NodeSpec, Program, Reader
from ._result import ParentCommand, read_result, read_route
from ._retry import retry_delay
from ._spans import NOWHERE, Around, around_span, failing
from ._step import Frontier, Outcome, Planned, advance, commit, in_reduce_order, plan
from ._task import Attempt, Task

# Worker threads per graph run, unless `max_concurrency` limits the nodes.
DEFAULT_THREADS = 40


class IdSource:
    """Makes the ids of a run's tasks: unique, cheap, and in order."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = -1  # most runs never need one

    def next(self) -> str:
        self._last = random.getrandbits(128) if self._last < 0 else (self._last + 1) % (1 << 128)
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
        elif len(self._ends) >= self._run_ahead:
            await self._merger.taken_up_to(self._ends.popleft())
        else:
            await anyio.lowlevel.checkpoint()

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
        goto: nodes and sends to run first, besides what is behind the entry.
        projectors: the streams that may want to see it, the innermost first.
        namespace: where it lies; `()` for a root.
        parent: the attempt it runs inside of, or None.
        context: the context variables its nodes start from.
        hosted: whether it lives in a task of our own, which nobody but the loop's shutdown cancels natively.
        pace: when the next superstep may start, if somebody reads.
        output_keys: what the result is restricted to; the output schema by default.
        shown_keys: what the streams around it show of its state; everything by default.
        around: what it is inside of, and who observes it.
        identity: the `run_name` and `run_id` of its own config, if that has any.
    """

    __slots__ = (
        "_output_keys",
        "_slots",
        "_threads",
        "aborted",
        "around",
        "around_deadline",
        "behind",
        "clock",
        "config",
        "context",
        "deadline",
        "draining",
        "feeds",
        "frontier",
        "goto",
        "hosted",
        "identity",
        "ids",
        "live",
        "namespace",
        "pace",
        "parent",
        "program",
        "projectors",
        "remote",
        "shows_messages",
        "shows_tasks",
        "span",
        "step",
        "step_span",
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
        goto: Sequence[str | Send] = (),
        config: RunConfig,
        user_context: Any = None,
        projectors: Sequence[Projector] = (),
        namespace: Namespace = (),
        parent: Attempt | None = None,
        context: contextvars.Context,
        hosted: bool,
        pace: Pace | None = None,
        output_keys: str | tuple[str, ...] | None = None,
        shown_keys: str | tuple[str, ...] | None = None,
        around: Around = NOWHERE,
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        self.program: Program = program
        self.writes: Sequence[tuple[str, Any]] = writes
        self.config: RunConfig = config
        self.user_context: Any = user_context
        self.goto: Sequence[str | Send] = goto
        self.projectors: Sequence[Projector] = projectors
        self.namespace: Namespace = namespace
        feeds = [p.feed(namespace, program, shown_keys) for p in projectors]
        self.feeds: tuple[Feed, ...] = tuple([f for f in feeds if f is not None])
        # Lists: a generator would cost as much as the rest of these lines, for one stream at most times.
        self.shows_messages: bool = any([f.messages for f in self.feeds])  # noqa: C419
        self.shows_tasks: bool = any([f.tasks for f in self.feeds])  # noqa: C419
        self.parent: Attempt | None = parent
        self.context: contextvars.Context = context
        self.hosted: bool = hosted
        self.pace: Pace | None = pace
        self._output_keys = program.output_keys if output_keys is None else output_keys
        self.thread_id: int = get_ident()
        # A sync call on the loop's own thread runs on another loop: nothing of its parent's can be waited for.
        self.remote: bool = parent is not None and parent.task.run.thread_id != self.thread_id
        # Whoever holds this run back holds back the attempt around it, unless that is the reader itself.
        self.clock: Throttle | None = None if parent is None or pace is not None or self.remote else parent.throttle
        for feed in self.feeds:
            feed.stop_with(self.clock)
        self.ids: IdSource = IdSource() if parent is None else parent.task.run.ids
        self.step: int = 0
        self.values: dict[str, Any] = {}
        self.frontier: Frontier = Frontier()
        self.live: set[Attempt] = set()
        self.draining: bool = False
        self.aborted: bool = False
        self.deadline: float = math.inf
        self.around_deadline: bool = True  # whether a deadline can be around it
        self.wrote: bool = False
        self.around: Around = around
        self.identity: Mapping[str, Any] = identity or {}
        self.span: Span | None = None
        self.step_span: Span | None = None
        self.behind: list[Port] = []
        self._slots = self._find_slots()
        self._threads: anyio.CapacityLimiter | None = None

    # ---------------------------------------------------------------- concurrency

    def _find_slots(self) -> anyio.Semaphore | None:
        parent = self.parent
        if parent is not None and not self.remote and parent.task.run._slots is not None:
            return parent.task.run._slots
        limit = self.config.max_concurrency
        return None if limit is None else anyio.Semaphore(limit)

    @property
    def has_slots(self) -> bool:
        """Whether only so many of its nodes may run at once."""
        return self._slots is not None

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

        Not shared with nested runs: a thread that waits for one would hold the place the nested one needs.  Where
        slots limit the node bodies, nothing else may: whoever has a slot gets a thread, or a thread that has lent
        its slot to a nested run would keep it from ever coming back.
        """
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(DEFAULT_THREADS if self._slots is None else math.inf)
        return self._threads

    # ---------------------------------------------------------------- the loop

    async def execute(self) -> Any:
        """Run to the end; returns the output, or None if none of its keys was ever written."""
        try:
            return await (execute_observed(self) if self.around.observers else self._execute())
        finally:
            for feed in self.feeds:
                feed.close()

    async def _execute(self) -> Any:
        if self.feeds and self.around_deadline:
            self.deadline = anyio.current_effective_deadline()
        try:
            await self._enter()
            await self._supersteps()
        except ParentCommand as up:
            if self.parent is None:
                raise InvalidUpdateError(
                    f"node {up.node!r} returned {up.command!r}, but {self.program.name!r} is no subgraph: there is no "
                    "parent"
                ) from None
            raise
        return self.output()

    def port_in(self, merger: Merger) -> Port | None:
        """Where events of the run itself are written, for one reader of such."""
        for feed in self.feeds:
            if feed.is_in(merger):
                return feed.own_port
        return None

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
        self.values = {k: v for k, c in program.starting if (v := c.initial()) is not MISSING}
        changes = reduce_writes(program.channels, self.values, [(START, k, v) for k, v in self.writes])
        self._change(changes)
        goto: list[str] = []
        sends: list[Any] = []
        for target in self.goto:
            if isinstance(target, str):
                goto.append(target)
            else:
                sends.append(target)
        if program.entry.branches:
            spec = NodeSpec(START, BodyKind.INLINE, lambda _i, _a: None, Reader(), program.entry, (START,))
            attempt = Attempt(Task(self, Planned(spec), 0, dict(self.writes)), 1)
            try:
                more_goto, more_sends = await self._route_entry(attempt)
                goto += more_goto
                sends += more_sends
                await self._settle(attempt)
            except Exception as error:
                describe_failure(error, attempt.task, 1)
                raise
            finally:
                await self._end(attempt)  # noqa: ASYNC102 - shields what it awaits
        self._show_state(changes)
        advance(program, self.frontier, Outcome(START, (), program.entry, goto, sends))
        if self._unsettled():
            await self._barrier()

    async def _route_entry(self, attempt: Attempt) -> tuple[list[str], list[Any]]:
        """Where the routers behind the start lead."""
        if self.span is None:
            return await self._route(attempt, ())
        span = open_attempt(attempt)
        with failing(span):
            await span.receipt
            chosen = await self._route(attempt, ())
        await show_result(attempt, attempt.task.input, streamed=False)
        return chosen

    async def _supersteps(self) -> None:
        program, frontier, limit = self.program, self.frontier, self.config.recursion_limit
        while True:
            step = self.step = self.step + 1
            if step > limit:
                raise GraphRecursionError(
                    f"the run of {program.name!r} took {limit} supersteps, its recursion_limit, without coming to an "
                    "end; check the condition that leaves the loop, or raise config['recursion_limit']"
                )
            planned = plan(program, frontier)
            if not planned:
                return
            if self.pace is not None:
                await self.pace.before_step()
                if self.draining:
                    return
            progress = StepProgress(step, limit)
            tasks = [Task(self, p, step, self._input(p, progress)) for p in planned]
            if self.shows_tasks:
                await self._announce(tasks)
            if self.pace is None:
                await anyio.lowlevel.checkpoint()
            results = self._run(tasks) if self.span is None else run_step_observed(self, tasks)
            outcomes = in_reduce_order(planned, await results)
            changes = commit(program, self.values, frontier, outcomes)
            self._change(changes)
            # A superstep that only lets a key be forgotten has written nothing.
            self._show_state(changes if not program.forgetful else {k for o in outcomes for k, _ in o.writes})
            if self._unsettled():
                await self._barrier()
            if self.pace is not None:
                self.pace.after_step()

    def _input(self, planned: Planned, progress: StepProgress) -> Any:
        if planned.send is not None:
            arg = planned.send.arg
            return dict(arg) if type(arg) is dict else arg
        try:
            return planned.spec.reader.read(self.values, progress)
        except Exception as error:  # a schema that checks its values
            add_note(error, f"While the input of node {planned.spec.name!r} was made from the state")
            raise

    async def _announce(self, tasks: Sequence[Task]) -> None:
        for feed in self.feeds:
            for task in tasks:
                feed.started(self.step, task)
                if feed.pending:
                    await feed.flush()
        if self.pace is not None:
            await self.pace.before_step()

    def _change(self, changes: dict[str, Any]) -> None:
        if not changes:
            return
        values = self.values
        known = len(values)
        values.update(changes)
        if len(values) > known and len(values) > 1:  # shown in the schema's order
            self.values = values = {k: values[k] for k in self.program.channels if k in values}
        self.wrote = self.wrote or self._has_output(changes)
        for key, value in changes.items():
            if value is MISSING:
                del values[key]

    def _has_output(self, changes: dict[str, Any]) -> bool:
        keys = self._output_keys
        return keys in changes if isinstance(keys, str) else not changes.keys().isdisjoint(keys)

    def _show_state(self, written: Collection[str]) -> None:
        for feed in self.feeds:
            feed.state(self.values, written)

    def _unsettled(self) -> bool:
        """Whether `_barrier` would wait: asked first, because a coroutine costs twice as much."""
        for feed in self.feeds:  # noqa: SIM110 - a generator costs as much as the coroutine
            if feed.pending:
                return True
        return False

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
        return await run_group(self, tasks)

    async def _run_lone(self, task: Task) -> Outcome:
        holds_slot = task.spec.subgraph is None and await self.acquire_slot()
        try:
            return await self.perform(task, holds_slot)
        except anyio.get_cancelled_exc_class() as cancelled:
            if self._is_cancelled():
                raise
            raise stray_cancellation(task) from cancelled  # noqa: ASYNC104 - nobody cancelled us

    def _is_cancelled(self) -> bool:
        """Whether somebody is cancelling this run: a scope around it or, in its caller's task, the caller."""
        if anyio.current_effective_deadline() == -math.inf:
            return True
        return not self.hosted and native_cancel_requested()

    def abort(self) -> None:
        """The run is being cancelled: open every gate a task could be waiting at."""
        self.aborted = True
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

    def perform(self, task: Task, holds_slot: bool, *, spawned: bool = False) -> Awaitable[Outcome]:
        """Run a task, with retries and its error handler, seen by whoever observes; gives back its slot."""
        work = self._perform(task, holds_slot, spawned=spawned)
        return work if self.span is None else observe_task(self, task, work)

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
                    return await (self._attempt(attempt) if self.span is None else attempt_observed(self, attempt))
                except ParentCommand:
                    raise
                except Exception as error:
                    problem = plain_error(error)
                finally:
                    if attempt.children:
                        await self._end(attempt)  # noqa: ASYNC102 - shields what it awaits
                    else:
                        self._close_attempt(attempt)
                    holds_slot = attempt.holds_slot
                if attempt.aborted and isinstance(problem, StreamClosedError):
                    # Its thread was told so by the writer, because the run is being cancelled: that is what it is.
                    await anyio.lowlevel.checkpoint()
                delay = retry_delay(task.spec.retry, problem, number, random.random)
                # What cleanup raises while the run is being cancelled is the end: the cancellation that strikes in
                # the back-off would bury it.
                if delay is None or self._is_cancelled():
                    break
                await anyio.sleep(delay)
                number += 1
        finally:
            if holds_slot:
                self.release_slot()
        try:
            return await self._failed(attempt, problem)
        finally:
            del problem  # no cycle from the error through this frame back to it

    async def _end(self, attempt: Attempt) -> None:
        """The attempt is over: end what it started, deliver what it wrote, refuse what comes later."""
        self.live.discard(attempt)
        try:
            if attempt.children:
                await self._end_children(attempt)
        finally:
            self._close_attempt(attempt)

    def _close_attempt(self, attempt: Attempt) -> None:
        self.live.discard(attempt)
        for port in attempt.ports:
            if port.merger.has_inbox and not self.remote:
                port.merger.drain_inbox()
        attempt.close()

    async def _end_children(self, attempt: Attempt) -> None:
        native: BaseException | None = None
        with anyio.CancelScope(shield=True):
            for child in list(attempt.children):
                try:
                    await child.end()
                except anyio.get_cancelled_exc_class() as raised:  # noqa: ASYNC103 - raised below
                    native = raised  # strikes through the shield, and only once: it waits for the other children
        if native is not None:
            try:
                raise native
            finally:
                del native

    async def _failed(self, attempt: Attempt, error: Exception) -> Outcome:
        task, writes = attempt.task, attempt.writes
        handler = None if self._is_cancelled() else task.spec.handler
        describe_failure(error, task, attempt.number)
        for feed in self.feeds:
            if writes and not task.spec.kind.is_generator:  # the node was done, its router failed
                feed.updated(task, writes, behind=attempt.port_to(feed))
            feed.ended(self.step, task, writes, error, attempt.number, behind=attempt.port_to(feed))
        if handler is None:
            try:
                raise error
            finally:
                del error  # no cycle from the error through this frame back to it
        progress = StepProgress(self.step, self.config.recursion_limit)
        substitute = Task(self, Planned(handler), self.step, self._input(Planned(handler), progress))
        return await self._perform(substitute, await self.acquire_slot(), failed=NodeError(task.name, error))

    async def _attempt(self, attempt: Attempt) -> Outcome:
        task = attempt.task
        spec = task.spec
        try:
            value = await self._within_timeout(attempt)
        except ParentCommand as up:  # from a graph inside this node, for this graph
            value = Command(update=up.command.update, goto=up.command.goto)
        writes, goto, sends = read_result(self.program, task.name, value)
        if spec.kind.is_generator:
            writes = self._last_of_each(writes)
        if spec.exits.branches:
            attempt.writes = writes
            more_goto, more_sends = await self._route(attempt, writes)
            goto, sends = [*goto, *more_goto], [*sends, *more_sends]
        if attempt.ports or attempt.children or self.feeds:
            await self._settle(attempt)
        if self.shows_messages and not spec.kind.is_generator:
            writes = show_messages(attempt, writes)
        if attempt.span is not None:
            streamed = spec.kind.is_generator
            await show_result(attempt, dict(writes) if streamed else value, streamed=streamed)
            await show_graph_update(self, task, writes)
        for feed in self.feeds:
            if not spec.kind.is_generator:  # a generator's updates were shown as it yielded them
                feed.updated(task, writes)
            feed.ended(self.step, task, writes, None, attempt.number)
            # Hold on to the slot, so that of many sends only so many run ahead of the reader. Without one the superstep
            # waits for all of them at once.
            if attempt.holds_slot and feed.pending:
                await feed.flush()
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
        attempt.throttle.pause()
        try:
            await self._settle(attempt)
            if self.shows_messages:
                writes = show_messages(attempt, writes)
            if attempt.span is not None and attempt.span.wants_chunks:
                await attempt.span.stream(value)
            for feed in self.feeds:
                feed.updated(task, writes)
                await feed.relieved()
        finally:
            attempt.throttle.resume()

    async def _settle(self, attempt: Attempt) -> None:
        """Runs that were started inside have ended, and what was written is in the stream."""
        if attempt.children:
            for child in list(attempt.children):
                await child.end()
        if attempt.ports and not self.remote:
            for port in list(attempt.ports):
                if port.merger.has_inbox:
                    port.merger.drain_inbox()
                if port.pending:
                    await port.flush()
        for feed in self.feeds:
            if feed.relaying:
                await feed.flush_relay()

    def _within_timeout(self, attempt: Attempt) -> Awaitable[Any]:
        task = attempt.task
        seconds = task.spec.timeout if task.send is None or task.send.timeout is None else task.send.timeout
        return self._begin(attempt) if seconds is None else self._timed(attempt, seconds)

    async def _timed(self, attempt: Attempt, seconds: float) -> Any:
        with anyio.CancelScope(deadline=anyio.current_time() + seconds) as scope:
            attempt.throttle.limit(scope)
            return await self._begin(attempt)
        raise NodeTimeoutError(attempt.task.name, seconds)

    def _begin(self, attempt: Attempt) -> Awaitable[Any]:
        spec = attempt.task.spec
        if spec.subgraph is None:
            return call_body(attempt, spec.kind, spec.body, attempt.input())
        return self._call_subgraph(attempt, spec.subgraph)

    async def _call_subgraph(self, attempt: Attempt, program: Program) -> Any:
        nested = GraphRun(
            program,
            program.read_input(attempt.task.input),
            config=attempt.run_config,
            user_context=self.user_context,
            projectors=self.projectors,
            namespace=attempt.child_namespace(),
            parent=attempt,
            context=attempt.context,
            hosted=self.hosted,
            shown_keys=program.output_keys,
            around=around_span(attempt.span),
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
        last = len(task.spec.exits.branches) - 1
        for index, branch in enumerate(task.spec.exits.branches):
            # The last may have the copy that was made above: another one of a wide state is a fifth of its superstep.
            spare = writes and index == last and branch.reader.is_whole
            seen = values if spare else branch.reader.read(values, progress)
            if attempt.span is None:
                chosen = await call_body(attempt, branch.kind, branch.body, seen)
            else:
                chosen = await call_router_observed(attempt, index, branch, seen)
            more_goto, more_sends = read_route(self.program, branch, chosen)
            goto += more_goto
            sends += more_sends
        return goto, sends
