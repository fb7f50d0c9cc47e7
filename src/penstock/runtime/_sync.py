"""The sync API: a thin bridge from a plain thread to a run that lives on an event loop.

Theory of operation
-------------------
A sync call starts a `HostedRun` on some loop and waits in its own thread.  Which loop:

* In the worker thread of a sync node: the loop of the node's own run, which is free meanwhile.
* Anywhere else, a loop running in this thread or not: the loop of a cached portal thread.  If the call is made on
  a loop's own thread, inside an async node, that loop stands still until the call returns; so the nested run must
  never wait for it (its feeds are `remote`: they hand chunks over and go on).

A stream's chunks come over in batches.  Each request of the reader is one posted callback, which answers with
everything there is, or leaves word with the merger; like the async reader it is what lets the next superstep go.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from queue import SimpleQueue
from threading import get_ident
from types import TracebackType
from typing import Any, Generic, TypeVar

from anyio import from_thread
from typing_extensions import Self

from ..errors import RunCancelledError
from ..streams._backend import forget_library, in_event_loop, loop_poster, on_trio, spawn_host
from ._host import Call, HostedRun, _report
from ._portal import Portal, open_portal

ChunkT = TypeVar("ChunkT")

_END: Any = object()


class _Bridge:
    """A hosted run on another thread's loop.

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
        self._own_portal: Portal | None = None
        self.post, backend = self._find_loop(call)
        context = call.context.copy()
        # The caller may live in another library's loop; the nodes do not.
        forget_library(context, backend)
        self._context = context
        self.run = HostedRun(replace(call, context=context), self._ended)

    def start(self) -> None:
        """Start the run."""
        self.post(lambda: spawn_host(self._main, "penstock sync run", self._context))

    def _find_loop(self, call: Call) -> tuple[Callable[[Callable[[], object]], None], str]:
        if call.parent is not None and call.parent.task.run.thread_id != get_ident():
            try:
                return from_thread.run_sync(_poster_and_backend)
            except RuntimeError:
                pass  # a thread of the user's own, not a worker thread of the node's loop
        portal, own = open_portal("trio" if on_trio() else "asyncio")
        if own:
            self._own_portal = portal
        return portal.post, portal.backend

    async def _main(self) -> None:
        self.run.open()
        if self._on_open is not None:
            self._on_open()
        await self.run.main()

    def _ended(self) -> None:
        self.ended.set()
        if self._on_end is not None:
            self._on_end()

    def cancel(self) -> None:
        """Cancel the run, from any thread, without waiting."""
        try:
            self.post(self.run.cancel)
        except RuntimeError:
            self.ended.set()  # the loop is gone, and the run with it

    def wait(self) -> None:
        """Wait until everything has ended."""
        self.ended.wait()
        if self._own_portal is not None:
            self._own_portal.close()
            self._own_portal = None


def _poster_and_backend() -> tuple[Callable[[Callable[[], object]], None], str]:
    return loop_poster(), "trio" if on_trio() else "asyncio"


def run_sync(call: Call) -> Any:
    """Run a graph to its end from a plain thread; returns its output.

    Raises:
        RunCancelledError: the event loop it ran on was shut down.
    """
    bridge = _Bridge(call)
    bridge.start()
    try:
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
        self._closed = True
        bridge.wait()
        error = bridge.run.take_error()
        self._shut()
        if error is None:
            raise StopIteration
        try:
            raise error
        finally:
            del error, self

    def _start(self) -> _Bridge:
        assert self._call is not None
        self._thread = get_ident()
        self._server = server = _Server(self._batches)
        self._bridge = server.bridge = bridge = _Bridge(self._call, server.request, server.wake)
        self._call = None
        bridge.start()
        return bridge

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
        if bridge is None or sys.is_finalizing():
            return
        if get_ident() == self._thread and not in_event_loop():
            self.close()  # `break` in a plain loop: wait, as a generator would
        else:
            bridge.run.abandoned = True
            bridge.cancel()


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
