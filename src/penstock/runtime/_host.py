"""A run in a task of its own, and how it ends.

Theory of operation
-------------------
A `HostedRun` lives in a *host task*: started in the background by a bare `async for` or by the sync API, or as a
child of the caller's task by `async with`.  Everything the run starts lives below the host, so when the host has
ended nothing of the run is left.

The host never raises.  It stores how the run ended, and whoever reads the stream raises that, once, in its own
task.  A background task that raised would end trio's whole program, and asyncio would only log it.

The handle the user holds refers to the run, the run never refers to the handle: dropping the handle is how a bare
`async for` tells us that nobody reads any more.  A finaliser can run anywhere, inside the event loop's own code or
in another thread, so it only posts the cancellation.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any, Protocol

import anyio
import anyio.lowlevel

from ..config import RunConfig
from ..errors import NodeCancelledError, RunCancelledError
from ..streams import Merger, Projector, StreamRequest
from ..streams._backend import loop_poster, new_scope, spawn_host
from ..types import Send
from ._events import EventView
from ._failure import plain_error, strip_own_frames, without_cancellation
from ._loop import GraphRun, Pace
from ._program import Program
from ._slot import slot_holder
from ._spans import NOWHERE, Around
from ._task import Attempt

logger = logging.getLogger("penstock")

NOTHING_SHOWN = StreamRequest(modes=frozenset())
"""For a stream whose items are written by others than the feeds."""

# Seconds after which somebody who waits for a cancelled run is told what holds it up.
SLOW_END = 10.0


@dataclass(eq=False)  # not frozen: its fields would cost two microseconds to set, of the sixty of a first chunk
class Call:
    """One call of a graph, checked: everything a run needs. Never changed.

    Attributes:
        program: the graph.
        writes: its input, taken apart.
        goto: nodes and sends to run first, besides what is behind the entry.
        config: settings of the run.
        user_context: what nodes get as `runtime.context`.
        parent: the attempt it is made in, or None.
        request: how it is to be shown, or None if nobody reads.
        output_keys: what the result is restricted to, or None for the output schema.
        run_ahead: supersteps that may run before the reader asks for them.
        context: the caller's context variables.
        around: what it is inside of, and who observes it.
        identity: the `run_name` and `run_id` of its own config, if that has any.
        view: what shows it as events, if it is to be shown so; one of its observers.
    """

    program: Program
    writes: Sequence[tuple[str, Any]]
    goto: Sequence[str | Send]
    config: RunConfig
    user_context: Any
    parent: Attempt | None
    request: StreamRequest | None = None
    output_keys: str | tuple[str, ...] | None = None
    run_ahead: int = 0
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    around: Around = NOWHERE
    identity: Mapping[str, Any] = field(default_factory=dict)
    view: EventView | None = None

    def open(self, *, hosted: bool, merger: Merger | None = None) -> GraphRun:
        """The graph run of this call; `merger` is where it is read."""
        parent = self.parent
        namespace = () if parent is None else parent.child_namespace()
        projectors: list[Projector] = [] if parent is None else [*parent.task.run.projectors]
        pace = None
        if merger is not None and self.request is not None:
            wrap = None
            if self.view is not None:
                self.view.merger, wrap = merger, self.view.wrap
            projectors.insert(0, Projector(self.request, merger, namespace, wrap))
            pace = Pace(merger, self.run_ahead)
        if self.around.observers:
            known = {projector.merger for projector in projectors}
            # Of the views around a call that is none of a graph: it has no attempt that knows them.
            others = [o for o in self.around.observers if isinstance(o, EventView) and o.merger not in known]
            projectors += [Projector(NOTHING_SHOWN, view.merger, namespace, view.wrap) for view in others]
        return GraphRun(
            self.program,
            self.writes,
            goto=self.goto,
            config=self.config,
            user_context=self.user_context,
            projectors=projectors,
            namespace=namespace,
            parent=parent,
            context=self.context,
            hosted=hosted,
            pace=pace,
            output_keys=self.output_keys,
            around=self.around,
            identity=self.identity,
            shown_keys=self.output_keys or self.program.output_keys if self.request is None else None,
        )


class Job(Protocol):
    """What a host runs: a graph's run, or anything else that is shown while it runs."""

    draining: bool
    around_deadline: bool

    @property
    def remote(self) -> bool: ...
    async def execute(self) -> Any: ...
    def abort(self) -> None: ...
    def running(self) -> list[str]: ...


class Startable(Protocol):
    """What makes a job once it is known where it is read; `Call` for a graph."""

    @property
    def parent(self) -> Attempt | None: ...
    @property
    def request(self) -> StreamRequest | None: ...
    @property
    def context(self) -> contextvars.Context: ...
    def open(self, *, hosted: bool, merger: Merger | None = None) -> Job: ...


class _End:
    """An event that most runs reach before anybody waits for it: one is made for whoever does."""

    __slots__ = ("_event", "_set")

    def __init__(self) -> None:
        self._set = False
        self._event: anyio.Event | None = None

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        if self._event is not None:
            self._event.set()

    async def wait(self) -> None:
        if self._set:
            await anyio.lowlevel.checkpoint()
            return
        if self._event is None:
            self._event = anyio.Event()
        await self._event.wait()


class HostedRun:
    """A run in a task of its own.

    Args:
        call: what to run.
        on_end: called in the loop's thread when everything has ended.
    """

    __slots__ = (
        "__weakref__",
        "_on_end",
        "_regaining",
        "abandoned",
        "call",
        "cancelled",
        "draining",
        "ended",
        "error",
        "graph_run",
        "merger",
        "post",
        "result",
        "scope",
        "thread_id",
    )

    def __init__(self, call: Startable, on_end: Callable[[], object] | None = None) -> None:
        self.call: Startable | None = call
        self._on_end = on_end
        self._regaining: anyio.CancelScope | None = None
        self.merger: Merger | None = None
        self.graph_run: Job | None = None
        self.error: BaseException | None = None
        self.result: Any = None
        self.cancelled = False
        self.abandoned = False
        self.draining = False
        self.scope: anyio.CancelScope
        self.ended = _End()
        self.post: Callable[[Callable[[], object]], None]
        self.thread_id = 0

    def open(self) -> None:
        """Bind the run to the current loop; nothing runs yet."""
        call = self.call
        assert call is not None
        self.thread_id = get_ident()
        self.scope = new_scope()
        if call.request is not None:
            self.merger = Merger(call.request.high_water_mark)
        self.post = loop_poster() if self.merger is None else self.merger.post
        self.graph_run = call.open(hosted=True, merger=self.merger)
        self.graph_run.draining = self.draining
        if call.parent is not None and not self.graph_run.remote:
            call.parent.children.add(self)
            slot_holder(call.parent, call.context).lend_slot()
        if self.cancelled:
            self.scope.cancel()

    def start(self) -> None:
        """Start the host in the background, in the caller's context."""
        assert self.call is not None
        assert self.graph_run is not None
        self.graph_run.around_deadline = False  # nothing is around a task of its own
        spawn_host(self.main, "penstock run", self.call.context.copy())

    async def main(self) -> None:
        """The host task."""
        error: BaseException | None = None
        assert self.graph_run is not None
        try:
            with self.scope:
                self.result = await self.graph_run.execute()
        except BaseException as raised:  # noqa: ASYNC103 - stored, and raised by the reader
            error = self._outcome(raised)
        await self._leave_parent()
        self.error = error if error is None else strip_own_frames(error)
        del error
        self._close()

    def _outcome(self, raised: BaseException) -> BaseException | None:
        error = without_cancellation(raised)
        if error is None:
            if self.cancelled:
                return None
            if self.merger is not None:
                self.merger.close()  # nobody can read in a loop that is gone
            return RunCancelledError("the event loop was shut down while the run was going on")
        return plain_error(error) if isinstance(error, Exception) else error

    async def _leave_parent(self) -> None:
        call, graph_run = self.call, self.graph_run
        if call is None or graph_run is None or call.parent is None or graph_run.remote:
            return
        try:
            # Within the scope: whoever cancels this run does not wait for a slot that others hold.
            self._regaining = anyio.CancelScope()
            with self._regaining:
                if self.cancelled:
                    self._regaining.cancel()
                await slot_holder(call.parent, call.context).regain_slot()
        except BaseException as raised:  # noqa: ASYNC103 - the host must not raise: it has ended
            if without_cancellation(raised) is not None:
                raise
        call.parent.children.discard(self)

    def _close(self) -> None:
        if self.abandoned:
            self._report_unfetched()
        # Nothing may keep the nodes' states alive through a handle that the user stores.
        self.call = self.graph_run = None
        self.ended.set()
        if self.merger is not None:
            if self.cancelled:
                self.merger.close()
            self.merger.wake()
        if self._on_end is not None:
            self._on_end()

    def cancel(self) -> None:
        """End the run now; what is unread is dropped. For the loop's thread only."""
        if self.cancelled:
            return
        if not self.thread_id:  # not even bound to a loop
            self.cancelled = True
            return
        if self.ended.is_set():
            return
        self.cancelled = True
        # The scope first: whoever wakes at an opened gate must find itself cancelled.
        self.scope.cancel()
        if self._regaining is not None:
            self._regaining.cancel()
        if self.graph_run is not None:
            self.graph_run.abort()
        if self.merger is not None:
            self.merger.close()

    def abandon(self) -> None:
        """Nobody reads any more: end the run, and log the error that it may end with. For the loop's thread only."""
        self.abandoned = True
        if self.thread_id and self.ended.is_set():
            if self.merger is not None:
                self.merger.close()
            self._report_unfetched()
        else:
            self.cancel()

    def _report_unfetched(self) -> None:
        error = self.take_error()
        if error is not None:
            _report(error, "in a run whose stream was abandoned")

    def abort(self) -> None:
        """The attempt around this run is being cancelled."""
        self.cancel()

    async def end(self) -> None:
        """The attempt around this run has ended: so does this run, and its error with it."""
        self.cancel()
        await self.wait_ended()

    def drain(self) -> None:
        """Let the current superstep finish, and start no other."""
        self.draining = True
        if self.graph_run is not None:
            self.graph_run.draining = True

    def running(self) -> list[str]:
        """Names of the nodes that are running now."""
        return [] if self.graph_run is None else self.graph_run.running()

    def post_soon(self, fn: Callable[[], object]) -> None:
        """Call a function in the run's loop, from anywhere: a finaliser, the loop's own code, after its end."""
        with contextlib.suppress(RuntimeError):  # the loop is gone, and its tasks with it
            self.post(fn)

    def runs_around(self, scope: object) -> bool:
        """Whether the code of a task lies inside this run."""
        while isinstance(scope, Attempt):
            graph_run = scope.task.run
            if graph_run is self.graph_run:
                return True
            scope = graph_run.parent
        return False

    async def wait_ended(self) -> None:
        """Wait until the host has ended, whatever happens to the task that waits.

        A scope's cancellation is shielded off and comes again afterwards; a native one comes only once, so it is
        kept and raised then.
        """
        cancelled = anyio.get_cancelled_exc_class()  # noqa: ASYNC118 - used within one loop only
        native: BaseException | None = None
        with anyio.CancelScope(shield=True):
            while not self.ended.is_set():
                try:
                    with anyio.move_on_after(SLOW_END) as patience:
                        await self.ended.wait()
                except cancelled as raised:
                    native = raised
                    continue
                if patience.cancelled_caught:
                    self.warn_of_slow_end()
        if native is not None:
            try:
                raise native
            finally:
                del native

    def warn_of_slow_end(self) -> None:
        """Tell what holds up the end of a cancelled run."""
        nodes = ", ".join(map(repr, self.running())) or "cleanup"
        logger.warning(
            "waiting for a cancelled run to end: still running %s; a sync node ends when its function returns or "
            "writes to the stream",
            nodes,
        )

    def take_error(self) -> BaseException | None:
        """How the run failed; only once, so that no error is raised or reported twice."""
        error, self.error = self.error, None
        return error


def _report(error: BaseException, where: str) -> None:
    """Nobody is left to raise an error to."""
    if isinstance(error, (NodeCancelledError, RunCancelledError)):
        return  # the loop's shutdown cancels nodes, host and reader natively, in any order
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        signal.raise_signal(signal.SIGINT)  # hand it back to whoever handles Ctrl-C
        return
    logger.error("error %s", where, exc_info=(type(error), error, error.__traceback__))
