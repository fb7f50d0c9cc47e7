"""The sync API: a thin bridge from a plain thread to a run that lives on an event loop.

Theory of operation
-------------------
A sync call starts a `HostedRun` on some loop and waits in its own thread.  Which loop:

* In the worker thread of a sync node: the loop of the node's own run, which is free meanwhile.
* Anywhere else, a loop running in this thread or not: the loop of a cached portal thread.  If the call is made on
  a loop's own thread, inside an async node, that loop stands still until the call returns; so what the nested run
  writes to the streams of its parents must not wait for room there (see `streams._merger`).

A run that is not on its parent's loop still ends with its parent: it counts among the runs that were started inside
the attempt, which cancels them when it ends and waits for them.

A loop can be frozen, by an async node that waits, synchronously, for threads which make sync calls in turn
(`executor.map(graph.invoke, ...)`).  A call that is not begun in no time is therefore begun on a loop of its own.

A stream's chunks come over in batches.  Each request of the reader is one posted callback, which answers with
everything there is, or leaves word with the merger; like the async reader it is what lets the next superstep go.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import get_ident
from types import TracebackType
from typing import Any, Generic, TypeVar

from anyio import from_thread, to_thread
from typing_extensions import Self

from ..errors import RunCancelledError
from ..streams._backend import forget_library, in_event_loop, loop_poster, on_trio, spawn_host
from ..streams._merger import check_cancelled
from ._host import SLOW_END, Call, HostedRun, _report
from ._portal import Portal, exiting, open_portal
from ._task import Attempt

ChunkT = TypeVar("ChunkT")

_END: Any = object()

# Seconds after which a loop that has not begun a run is taken for frozen.
_FROZEN = 0.1


class _Bridge:
    """A hosted run on another thread's loop; to the attempt it is called in, one of the runs to end with it.

    Args:
        call: what to run.
        on_open: called in the loop's thread when the run is bound to it.
        on_end: called in the loop's thread when everything has ended.
    """

    def __init__(
        self, call: Call, on_open: Callable[[], object] | None = None, on_end: Callable[[], object] | None = None
    ) -> None:
        self.ended = threading.Event()
        self._on_open = on_open
        self._on_end = on_end
        # Whoever takes it decides about the beginning: the loop, a second loop if that one is frozen, or `cancel`.
        self._begun = threading.Lock()
        self._abandoned = False
        self._nested = call.parent is not None
        self._parent: Attempt | None = None
        self._own_portal: Portal | None = None
        self.post, self._backend = self._find_loop(call)
        context = call.context.copy()
        # The caller may live in another library's loop; the nodes do not.
        forget_library(context, self._backend)
        self._context = context
        self.run = HostedRun(replace(call, context=context), self._ended)

    def start(self) -> None:
        """Start the run."""
        self._start_on(self.post)

    def _start_on(self, post: Callable[[Callable[[], object]], None]) -> None:
        def begin() -> None:
            if self._begun.acquire(blocking=False):
                self.post = post
                spawn_host(self._main, "penstock sync run", self._context)

        post(begin)

    def make_sure(self) -> None:
        """Start the run on a loop of its own if the first one is frozen."""
        if self._own_portal is None and not self._begun.locked():
            self._own_portal = Portal(self._backend)
            self._start_on(self._own_portal.post)

    def _find_loop(self, call: Call) -> tuple[Callable[[Callable[[], object]], None], str]:
        if call.parent is not None and call.parent.task.run.thread_id != get_ident():
            try:
                return from_thread.run_sync(_poster_and_backend)
            except RuntimeError:
                pass  # a thread of the user's own, not a worker thread of the node's loop
        elif call.parent is not None:
            for projector in call.parent.task.run.projectors:
                projector.merger.stand_still_here()
        portal, own = open_portal("trio" if on_trio() else "asyncio")
        if own:
            self._own_portal = portal
        return portal.post, portal.backend

    async def _main(self) -> None:
        run = self.run
        run.open()
        assert run.call is not None
        assert run.graph_run is not None
        parent = run.call.parent
        if parent is not None and run.graph_run.remote:
            self._parent = parent
            parent.children.add(self)
            if parent.ended:
                run.cancel()
        if self._on_open is not None:
            self._on_open()
        await run.main()

    def _ended(self) -> None:
        if self._parent is not None:
            self._parent.children.discard(self)
        self.ended.set()
        if self._abandoned:
            self._clear_up()
        if self._on_end is not None:
            self._on_end()

    def _close_portal(self) -> None:
        portal, self._own_portal = self._own_portal, None
        if portal is not None:
            portal.close()

    def cancel(self) -> None:
        """Cancel the run, from any thread, without waiting."""
        if self._begun.acquire(blocking=False):
            self.ended.set()  # and it never begins
            return
        try:
            self.post(self.run.cancel)
        except RuntimeError:
            self.ended.set()  # the loop is gone, and the run with it

    def abandon(self) -> None:
        """Nobody reads any more, and nobody waits: cancel the run, and log the error that it may end with."""
        self._abandoned = True
        self.cancel()
        # The loop looks at `_abandoned` after it has set `ended`: whichever comes second sees the other.
        if self.ended.is_set():
            self._clear_up()

    def _clear_up(self) -> None:
        self.run.abandon()
        self._close_portal()

    def wait(self) -> None:
        """Wait until everything has ended."""
        if not self.ended.wait(_FROZEN):
            self.make_sure()
            while not self.ended.wait(SLOW_END):
                if self.run.cancelled:
                    self.run.warn_of_slow_end()
        self._close_portal()
        if exiting() and not self._nested and threading.current_thread().daemon:
            threading.Event().wait()  # the interpreter has ended the run: daemon threads just stop, they do not fail

    # ---------------------------------------------------------------- for the attempt around it

    def abort(self) -> None:
        """The attempt around this run is being cancelled."""
        self.cancel()

    async def end(self) -> None:
        """The attempt around this run has ended: so does this run."""
        self.cancel()
        await to_thread.run_sync(self.ended.wait)

    def running(self) -> list[str]:
        """Names of the nodes that are running now."""
        return self.run.running()


def _poster_and_backend() -> tuple[Callable[[Callable[[], object]], None], str]:
    return loop_poster(), "trio" if on_trio() else "asyncio"


def _cancelled_from_outside() -> RunCancelledError:
    """What a call in a node raises when the node was cancelled; in the thread of a sync node, the cancellation."""
    check_cancelled()
    return RunCancelledError("the run around this call was cancelled, and this one with it")


def run_sync(call: Call) -> Any:
    """Run a graph to its end from a plain thread; returns its output.

    Raises:
        RunCancelledError: the run around it was cancelled, or the event loop it ran on was shut down.
    """
    bridge = _Bridge(call)
    try:
        bridge.start()
        bridge.wait()
    except BaseException:  # KeyboardInterrupt in the waiting thread
        bridge.cancel()
        bridge.wait()
        raise
    error = bridge.run.take_error()
    if error is not None:
        try:
            raise error
        finally:
            del error
    if bridge.run.cancelled:
        raise _cancelled_from_outside()
    return bridge.run.result


class SyncRunStream(Iterator[ChunkT], Generic[ChunkT]):
    """A run's chunks, read from a plain thread: what `stream()` returns.

    Leaving the loop, `close()`, or the end of a `with` block end the run and wait for its cleanup.
    """

    def __init__(self, call: Call) -> None:
        self._call: Call | None = call
        self._bridge: _Bridge | None = None
        self._batches: SimpleQueue[Any] = SimpleQueue()
        self._batch: deque[Any] = deque()
        self._closed = False
        self._result: Any = _END
        self._thread = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ChunkT:
        batch = self._batch
        if not batch:
            self._fetch()
            batch = self._batch
        return batch.popleft()  # type: ignore[no-any-return]

    def _fetch(self) -> None:
        if self._closed:
            raise StopIteration
        try:
            bridge = self._bridge
            if bridge is None:
                bridge = self._start()
                batch = self._first_batch(bridge)
            else:
                bridge.post(self._server.request)
                batch = self._batches.get()
        except RuntimeError as error:
            self._closed = True
            raise RunCancelledError("the event loop of this run was shut down") from error
        except BaseException:  # KeyboardInterrupt in the waiting thread
            self.close()
            raise
        if batch is not _END:
            self._batch = batch
            return
        from_outside = bridge.run.cancelled and not self._closed
        self._closed = True
        bridge.wait()
        failure = bridge.run.take_error()
        self._shut()
        if failure is None and from_outside:
            raise _cancelled_from_outside()
        if failure is None:
            self._result = bridge.run.result
            raise StopIteration
        try:
            raise failure
        finally:
            del failure, self

    def _start(self) -> _Bridge:
        assert self._call is not None
        self._thread = get_ident()
        self._server = server = _Server(self._batches)
        self._bridge = server.bridge = bridge = _Bridge(self._call, server.request, server.wake)
        self._call = None
        bridge.start()
        return bridge

    def _first_batch(self, bridge: _Bridge) -> Any:
        try:
            return self._batches.get(timeout=_FROZEN)
        except Empty:
            bridge.make_sure()
            return self._batches.get()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        error = self._end()
        if error is None or isinstance(error, RunCancelledError):
            return
        if exc is None:
            raise error
        _report(error, "in a run whose reader had failed before")

    def result(self) -> Any:
        """The final state, restricted to the output schema; reads and discards the chunks that are left.

        Raises:
            RunCancelledError: the run was cancelled, or its error was raised before.
        """
        for _ in self:
            pass
        if self._result is _END:
            raise RunCancelledError("the run was cancelled, or its error was raised before; it has no result")
        return self._result

    def close(self) -> None:
        """End the run and wait for its cleanup; any number of times. An unfetched error is logged."""
        error = self._end()
        if error is not None:
            _report(error, "in a run that was being closed")

    def _end(self) -> BaseException | None:
        self._closed = True
        self._batch.clear()
        bridge = self._bridge
        if bridge is None or bridge.run is None:
            return None
        bridge.cancel()
        bridge.wait()
        error = bridge.run.take_error()
        self._shut()
        return error

    def _shut(self) -> None:
        bridge, self._bridge = self._bridge, None
        if bridge is not None and bridge.run.merger is not None:
            bridge.run.merger.close()

    def __del__(self) -> None:
        bridge = getattr(self, "_bridge", None)
        if bridge is None:
            return
        if sys.is_finalizing():
            if bridge.ended.is_set():
                self._shut()
            return
        if get_ident() == self._thread and not in_event_loop():
            self.close()  # `break` in a plain loop: wait, as a generator would
        else:
            bridge.abandon()


class _Server:
    """The loop's side of a sync stream: answers each request with a batch.

    It does not refer to the stream, which could not be dropped then.
    """

    __slots__ = ("_batches", "_due", "bridge")

    def __init__(self, batches: SimpleQueue[Any]) -> None:
        self._batches = batches
        self._due = False
        self.bridge: _Bridge

    def request(self) -> None:
        """The reader wants more."""
        self._due = True
        self.wake()

    def wake(self) -> None:
        """Send what there is, if the reader waits for it."""
        if not self._due:
            return
        run = self.bridge.run
        merger = run.merger
        assert merger is not None
        merger.asking = False
        batch: deque[Any] = deque()
        while merger.in_stream and len(batch) < merger.capacity:
            batch.append(merger.take())
        if batch:
            self._due = False
            self._batches.put(batch)
        elif run.ended.is_set():
            self._due = False
            self._batches.put(_END)
        else:
            merger.ask(self.wake)
