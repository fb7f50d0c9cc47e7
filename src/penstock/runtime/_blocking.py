"""Coroutines and async iterators, used from plain threads.

In a worker thread of a node the code runs on the loop of the node's own run, which is free meanwhile, and is
cancelled with the node; anywhere else on the loop of a cached portal thread. Context variables follow.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

import anyio
from anyio import from_thread
from typing_extensions import Self

from ..errors import RunCancelledError
from ..streams._backend import forget_library, loop_poster, on_trio, spawn_host
from ._portal import Portal, open_portal

T = TypeVar("T")

# Seconds after which a loop that has not begun a call is taken for frozen.
_FROZEN = 0.1


class LoopElsewhere:
    """A loop that runs coroutines for the calling thread.

    `close()` it when nothing else is to be run.
    """

    def __init__(self) -> None:
        self._own: Portal | None = None
        self._portal: Portal | None = None
        try:
            # Also the way to learn whether this is a worker thread of anyio.
            self.post = from_thread.run_sync(loop_poster)
        except RuntimeError:
            portal, own = open_portal("trio" if on_trio() else "asyncio")
            self._portal = portal
            self._own = portal if own else None
            self.post = portal.post

    def run(self, fn: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine to its end while this thread waits."""
        if self._portal is None:
            return from_thread.run(_within_cancellation, fn)
        call = _PortalCall(fn, self._portal.backend)
        call.start(self.post)
        if not call.ended.wait(_FROZEN) and not call.begun.locked():
            # The portal's loop stands still, perhaps until this very call returns.
            self._own = self._own or Portal(self._portal.backend)
            call.start(self._own.post)
            self._portal, self.post = self._own, self._own.post
        return call.wait()

    def close(self) -> None:
        """Nothing else will be run."""
        own, self._own = self._own, None
        if own is not None:
            own.close()


async def _within_cancellation(fn: Callable[[], Coroutine[Any, Any, T]]) -> T:
    # On asyncio a scope that was cancelled earlier overlooks what joins it from a thread, until a shield ends in it.
    with anyio.CancelScope(shield=True):  # noqa: ASYNC100
        pass
    return await fn()


class _PortalCall(Generic[T]):
    """One coroutine on a portal's loop."""

    def __init__(self, fn: Callable[[], Coroutine[Any, Any, T]], backend: str) -> None:
        self._fn = fn
        self._context = contextvars.copy_context()
        forget_library(self._context, backend)
        self.begun = threading.Lock()
        self.ended = threading.Event()
        self._scope: anyio.CancelScope | None = None
        self._post: Callable[[Callable[[], object]], None] | None = None
        self._result: Any = None
        self._error: BaseException | None = RunCancelledError("the event loop of this call was shut down")

    def start(self, post: Callable[[Callable[[], object]], None]) -> None:
        def begin() -> None:
            if self.begun.acquire(blocking=False):
                self._post = post
                spawn_host(self._main, "penstock sync call", self._context)

        post(begin)

    async def _main(self) -> None:
        try:
            with anyio.CancelScope() as self._scope:
                self._result = await self._fn()
                self._error = None
        except Exception as error:
            self._error = error
        finally:
            self.ended.set()

    def wait(self) -> T:
        try:
            self.ended.wait()
        except BaseException:  # KeyboardInterrupt in the waiting thread
            self._cancel()
            raise
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error
        return self._result  # type: ignore[no-any-return]

    def _cancel(self) -> None:
        if self.begun.acquire(blocking=False):
            return  # and it never begins
        if self._post is not None and self._scope is not None:
            self._post(self._scope.cancel)
            self.ended.wait()


def run_blocking(fn: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine from a plain thread, whether or not a loop is running in it.

    Args:
        fn: makes the coroutine; called on the loop that runs it.

    Returns:
        What the coroutine returns; what it raises is raised here.
    """
    loop = LoopElsewhere()
    try:
        return loop.run(fn)
    finally:
        loop.close()


_END: Any = object()


class BlockingIterator(Iterator[T], Generic[T]):
    """An async generator, read from a plain thread, one item at a time.

    The generator lives in one task from beginning to end, so that it may use cancel scopes and task groups. It is
    not resumed before the next item is asked for. Closing, also by the garbage collector, ends it.

    Args:
        make: makes the generator; called on the loop that runs it.
    """

    def __init__(self, make: Callable[[], AsyncGenerator[T, None]]) -> None:
        self._make: Callable[[], AsyncGenerator[T, None]] | None = make
        self._pump: _Pump[T] | None = None
        self._loop: LoopElsewhere | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        if self._make is not None:
            self._pump, self._make = _Pump(self._make, contextvars.copy_context()), None
            self._loop = LoopElsewhere()
        if self._loop is None or self._pump is None:
            raise StopIteration
        try:
            item = self._loop.run(self._pump.next)
        except BaseException:
            self.close()
            raise
        if item is _END:
            self.close()
            raise StopIteration
        return item  # type: ignore[no-any-return]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the generator and wait for its cleanup; any number of times."""
        self._make = None
        loop, self._loop = self._loop, None
        pump, self._pump = self._pump, None
        if loop is None or pump is None:
            return
        try:
            # Not through `run`: in a worker thread that is being cancelled nothing can be awaited any more.
            loop.post(pump.cancel)
            pump.ended.wait()
        except RuntimeError:
            pass  # the loop is gone, and the generator with it
        finally:
            loop.close()

    def __del__(self) -> None:
        loop, pump = getattr(self, "_loop", None), getattr(self, "_pump", None)
        if loop is None or pump is None or pump.ended.is_set():
            return
        with contextlib.suppress(RuntimeError):  # the loop is gone, and the generator with it
            loop.post(pump.cancel)


class _Pump(Generic[T]):
    """The loop's side of a `BlockingIterator`: a task that takes one item from the generator per request."""

    def __init__(self, make: Callable[[], AsyncGenerator[T, None]], context: contextvars.Context) -> None:
        self._make = make
        self._context = context
        self._scope: anyio.CancelScope
        self._begun = False
        self._asked: anyio.Event
        self._answered: anyio.Event
        self._item: Any = _END
        self._error: BaseException | None = None
        self.ended = threading.Event()

    async def next(self) -> Any:
        self._answered = anyio.Event()
        if not self._begun:
            self._begun = True
            self._asked, self._scope = anyio.Event(), anyio.CancelScope()
            forget_library(self._context, "trio" if on_trio() else "asyncio")
            spawn_host(self._main, "penstock sync stream", self._context)
        self._asked.set()
        await self._answered.wait()
        item, self._item = self._item, _END
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error
        return item

    async def _main(self) -> None:
        source = self._make()
        try:
            with self._scope:
                async for self._item in source:
                    self._asked = anyio.Event()
                    self._answered.set()
                    await self._asked.wait()
        except Exception as error:
            self._error = error
        finally:
            with anyio.CancelScope(shield=True):
                await source.aclose()
            self._answered.set()
            self.ended.set()

    def cancel(self) -> None:
        if self._begun:
            self._scope.cancel()
        else:
            self.ended.set()
