"""`RunStream`: what `astream()` returns."""

from __future__ import annotations

import logging
import warnings
from collections.abc import AsyncIterator
from dataclasses import dataclass
from threading import get_ident
from types import TracebackType
from typing import Any, Generic, TypeVar

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from typing_extensions import Self

from ..config import maybe_scope
from ..errors import RunCancelledError, StreamBusyError
from ..streams import DONE, Merger, Receipt
from ._host import HostedRun, Startable, _report

ChunkT = TypeVar("ChunkT")

logger = logging.getLogger("penstock")

# Chunks taken in a row before the reader lets others run: a firehose must not starve timers and cancellation. Half as
# many made a chunk a tenth dearer.
_STREAK = 64


@dataclass(frozen=True)
class StreamStatistics:
    """A snapshot of one stream.

    Attributes:
        buffered: chunks written and not yet read.
        peak: most chunks that were ever buffered.
        delivered: chunks read so far.
        dropped: chunks lost to an overflow policy.
        blocked_time: seconds for which producers waited for the reader, added up over all of them.
        high_water_mark: unread chunks one producer may have before it waits.
        running: names of the nodes that are running.
    """

    buffered: int
    peak: int
    delivered: int
    dropped: int
    blocked_time: float
    high_water_mark: int
    running: tuple[str, ...]


class RunStream(AsyncIterator[ChunkT], Generic[ChunkT]):
    """A run that is going on, and the chunks it gives.

    Iterate it directly, and leaving the loop ends the run; or enter it with `async with`, and everything the run
    started has ended when the block is left.  Nothing runs before the first chunk is asked for, and between two
    supersteps the run waits until the reader asks for more.

    Example:
        ```python
        from typing import TypedDict

        from penstock.graph import START, StateGraph

        class State(TypedDict):
            n: int

        async def add(state: State):
            return {"n": state["n"] + 1}

        graph = StateGraph(State).add_node(add).add_edge(START, "add").compile()

        async with graph.astream({"n": 1}, stream_mode="updates") as run:
            async for chunk in run:
                assert chunk == {"add": {"n": 2}}
            assert await run.result() == {"n": 2}
            assert run.statistics().delivered == 1
        ```
    """

    __slots__ = ("__weakref__", "_closed", "_failed", "_group", "_rests_at", "_run", "_strict")

    def __init__(self, call: Startable) -> None:
        self._run = HostedRun(call)
        self._group: TaskGroup | None = None
        self._strict = False
        self._closed = False
        self._failed: str | None = None
        self._rests_at = _STREAK  # chunks taken

    # ---------------------------------------------------------------- iteration

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChunkT:
        merger = self._run.merger
        if merger is not None and merger.stream and merger.taken < self._rests_at:
            return merger.take()  # type: ignore[no-any-return]
        return await self._next_slowly()

    async def _next_slowly(self) -> ChunkT:
        run = self._run
        if run.merger is None:
            if self._closed:
                raise StopAsyncIteration
            run.open()
            run.start()
        merger = run.merger
        assert merger is not None
        self._check_thread(merger)
        try:
            if merger.taken >= self._rests_at:
                await anyio.lowlevel.checkpoint()
                self._rests_at = merger.taken + _STREAK
            while not merger.stream:
                if run.ended.is_set():
                    await self._finish()
                if merger.asking:
                    raise StreamBusyError(
                        "this stream is being read by another task; a run has one reader, which may pass the chunks on"
                    )
                await merger.wait()
                self._rests_at = merger.taken + _STREAK  # others have run meanwhile
        except GeneratorExit:  # the reader's coroutine is being closed, wherever that is: it must not wait
            run.post_soon(run.cancel)
            raise
        except (StopAsyncIteration, StreamBusyError):
            raise
        except BaseException:
            if not self._strict and not self._closed:
                await self.aclose()
            raise
        finally:
            del run
        return merger.take()  # type: ignore[no-any-return]

    def _check_thread(self, merger: Merger) -> None:
        if merger.thread_id != get_ident():
            raise StreamBusyError("a stream can be read only in the event loop in which it was started")

    async def _finish(self) -> None:
        """Raise how the run ended: its error, once, or the end of the iteration."""
        self._closed = True
        run = self._run
        error = run.take_error()
        if run.merger is not None:
            run.merger.close()
        del run
        if error is None or isinstance(error, RunCancelledError):
            await anyio.lowlevel.checkpoint()  # a cancellation of the reader explains it better
        if error is None:
            raise StopAsyncIteration
        self._failed = repr(error)
        try:
            raise error
        finally:
            del error, self  # no cycle from the error through this frame back to the run

    # ---------------------------------------------------------------- strict nesting

    async def __aenter__(self) -> Self:
        if self._run.merger is not None or self._closed:
            raise StreamBusyError("this stream has been started already; call astream() again for another run")
        self._run.open()
        self._strict = True
        group = anyio.create_task_group()
        await group.__aenter__()
        self._group = group
        group.start_soon(self._run.main, name="penstock run")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        run, group = self._run, self._group
        assert group is not None
        self._closed = True
        finished = run.ended.is_set()
        run.cancel()
        try:
            await run.wait_ended()  # noqa: ASYNC102 - shields itself
        finally:
            # The body's own exception must leave as itself, so the group never sees it.
            await group.__aexit__(None, None, None)  # noqa: ASYNC102 - the group is empty
        if finished and run.merger is not None:
            run.merger.close()
        error = run.take_error()
        if error is None or isinstance(error, RunCancelledError):
            return
        if exc is not None and not isinstance(exc, GeneratorExit):
            if exc.__context__ is None and error is not exc:
                exc.__context__ = error
            _report(error, "in a run whose reader had failed before")
            return
        try:
            raise error
        finally:
            del error  # no cycle from the error through this frame back to it

    # ---------------------------------------------------------------- control

    async def aclose(self) -> None:
        """End the run and wait until all its tasks have ended; any number of times, from any task.

        An error that nobody has fetched by then is logged.
        """
        self._closed = True
        run = self._run
        if run.merger is None:
            return
        run.cancel()
        if run.runs_around(maybe_scope()):
            # A node that closes its own run waits for itself. It is being cancelled: let that reach it.
            await run.ended.wait()
        await run.wait_ended()
        run.merger.close()
        error = run.take_error()
        if error is not None:
            _report(error, "in a run that was being closed")

    def cancel(self) -> None:
        """End the run without waiting: its nodes are cancelled, unread chunks are dropped, iteration stops."""
        if self._run.merger is None:
            self._closed = True
        else:
            self._run.cancel()

    def drain(self) -> Receipt:
        """Finish the current superstep, then stop: its chunks are still to be read, and iteration ends after them."""
        self._run.drain()
        return DONE

    async def result(self) -> Any:
        """The final state, restricted to the output schema; reads and discards the chunks that are left.

        Returns:
            What `ainvoke` would return: a dict, or None if nothing was written.

        Raises:
            RunCancelledError: the run was cancelled, or its error was raised before.
        """
        if self._failed is None:
            async for _ in self:
                pass
        run = self._run
        if self._failed is not None:
            raise RunCancelledError(f"the run has no result; its error was raised before: {self._failed}")
        if run.cancelled or run.merger is None:
            raise RunCancelledError("the run was cancelled before it had a result")
        return run.result

    def statistics(self) -> StreamStatistics:
        """How full the stream is and was, and what is running."""
        run = self._run
        merger = run.merger
        call = run.call
        if merger is None:
            mark = call.request.high_water_mark if call is not None and call.request is not None else 0
            return StreamStatistics(0, 0, 0, 0, 0.0, mark, ())
        return StreamStatistics(
            buffered=merger.buffered,
            peak=merger.peak,
            delivered=merger.taken,
            dropped=merger.dropped,
            blocked_time=merger.blocked_time,
            high_water_mark=merger.high_water_mark,
            running=tuple(run.running()),
        )

    def __del__(self) -> None:
        run = getattr(self, "_run", None)
        if run is None or run.merger is None:
            return
        if run.ended.is_set():
            if run.error is not None or not run.merger.closed:
                run.abandon()  # it may have failed before its reader did
            return
        if self._strict or self._closed:
            return
        run.abandoned = True
        nodes = () if run.cancelled else run.running()  # who has called cancel() has decided not to wait
        run.post_soon(run.abandon)  # before the warning, which may be made an exception
        if nodes:
            names = ", ".join(map(repr, nodes))
            warnings.warn(
                f"a stream was dropped while {names} ran; they are cancelled, but nobody waits for their cleanup. "
                "Use `async with graph.astream(...) as run`, or await run.aclose()",
                ResourceWarning,
                stacklevel=2,
            )
