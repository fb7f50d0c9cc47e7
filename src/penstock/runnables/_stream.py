"""`ChainStream`: what `Runnable.astream` returns.

The steps of a streamed call run in a host task, which owns the task group that parallel branches live in. So no
generator has to hold a task group across a `yield`, each generator is driven by one task from beginning to end, and
ending the host ends everything. The host never raises: it keeps the error for the reader. It goes on only when the
reader asks for the next piece.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from threading import get_ident
from typing import Any, Generic, TypeVar

import anyio
from anyio.abc import TaskGroup
from typing_extensions import Self

from ..config import maybe_scope
from ..errors import RunCancelledError, StreamBusyError
from ..runtime._failure import plain_error, without_cancellation
from ..runtime._task import Attempt
from ..streams._backend import Wakeup, interruptible, loop_poster, spawn_host, wakeup_maker
from ._flow import close

logger = logging.getLogger("penstock")

T = TypeVar("T")

Make = Callable[[TaskGroup], AsyncGenerator[Any, None]]

NO_PIECE: Any = object()


class ChainStream(AsyncIterator[T], Generic[T]):
    """The pieces of one streamed call.

    Iterate over it. Inside `async with` everything has ended when the block has; otherwise the call ends with its
    last piece, with an error, when the iteration is cancelled, with `aclose()`, or when Python drops the stream.
    Between two pieces the steps wait for the reader.

    Example:
        ```python
        from penstock.runnables import StrOutputParser
        from penstock.testing import ScriptedChatModel

        chain = ScriptedChatModel(["One two three"]) | StrOutputParser()
        async with chain.astream("Count") as pieces:
            async for piece in pieces:
                break
        assert piece == "One"
        ```
    """

    def __init__(self, make: Make) -> None:
        self._host = _Host(make)
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        host = self._host
        if self._closed:
            raise StopAsyncIteration
        if host.waited_for:
            raise StreamBusyError("another task is waiting for the next piece of this stream")
        if not host.started:
            host.start()
        try:
            piece = await host.next()
        except GeneratorExit:  # the reader's coroutine is being closed and cannot wait
            self._closed = True
            host.cancel()
            raise
        except BaseException:
            self._closed = True
            host.cancel()
            await host.wait_ended()  # noqa: ASYNC102, ASYNC120 - shields itself
            host.report()
            raise
        if piece is not NO_PIECE:
            return piece  # type: ignore[no-any-return]
        self._closed = True
        error = host.take_error()
        if error is None:
            raise StopAsyncIteration
        try:
            raise error
        finally:
            del error, host, self  # no cycle from the error through this frame back to it

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the call and wait until all its tasks have ended; any number of times, from any task."""
        self._closed = True
        host = self._host
        if host.started:
            host.cancel()
            await host.wait_ended()
            host.report()

    def __del__(self) -> None:
        host = getattr(self, "_host", None)
        if host is not None and host.started and not host.ended.is_set():
            with contextlib.suppress(RuntimeError):  # the loop is gone, and its tasks with it
                host.post(host.abandon)


class _Host:
    """The task that a streamed call runs in; the stream refers to it, and not the other way round."""

    def __init__(self, make: Make) -> None:
        self._make: Make | None = make
        self._context = contextvars.copy_context()
        self._piece: Any = NO_PIECE
        self._error: BaseException | None = None
        self._parent: Attempt | None = None
        self._abandoned = False
        self._cancelled = False
        self._complete = False
        self._event: Callable[[], Wakeup]
        self._asked: Wakeup
        self._answered: Wakeup
        self._scope: anyio.CancelScope
        self.ended: anyio.Event
        self.post: Callable[[Callable[[], object]], None]
        self.started = False
        self.waited_for = False

    # ---------------------------------------------------------------- the reader's side

    def start(self) -> None:
        self.started = True
        self.post = loop_poster()
        self._event = wakeup_maker()
        self._asked = self._event()
        self._scope, self.ended = anyio.CancelScope(), anyio.Event()
        scope = self._context.run(maybe_scope)
        if isinstance(scope, Attempt) and scope.task.run.thread_id == get_ident():
            self._parent = scope  # which ends what its node leaves behind
            scope.children.add(self)
        spawn_host(self.main, "penstock chain", self._context.copy())

    async def next(self) -> Any:
        """The next piece; NO_PIECE at the end."""
        self._piece = NO_PIECE
        if not self.ended.is_set():
            self._answered = self._event()
            self._asked.set()
            self.waited_for = True
            try:
                await self._answered.wait()
            finally:
                self.waited_for = False
        piece, self._piece = self._piece, NO_PIECE
        if piece is NO_PIECE:
            await self.wait_ended()
        return piece

    def cancel(self) -> None:
        if not self.ended.is_set():
            self._cancelled = True
            self._scope.cancel()

    def abandon(self) -> None:
        """The stream has been dropped: end, and log an error of the cleanup."""
        self._abandoned = True
        self.cancel()

    async def wait_ended(self) -> None:
        """Wait until the host has ended, whatever happens to the task that waits.

        A scope's cancellation comes again afterwards; a native one comes only once, so it is kept and raised then.
        """
        cancelled = anyio.get_cancelled_exc_class()  # noqa: ASYNC118 - used within one loop only
        native: BaseException | None = None
        with anyio.CancelScope(shield=True):
            while not self.ended.is_set():
                try:
                    await self.ended.wait()
                except cancelled as raised:
                    native = raised
        if native is not None:
            try:
                raise native
            finally:
                del native

    def take_error(self) -> BaseException | None:
        error, self._error = self._error, None
        return error

    def report(self) -> None:
        """Log an error that nobody is left to raise."""
        error = self.take_error()
        if error is not None and not isinstance(error, RunCancelledError):
            logger.error("error while a chain's stream was being closed", exc_info=error)

    # ---------------------------------------------------------------- what the attempt around it wants

    def running(self) -> list[str]:
        return ["a chain's stream"]

    def abort(self) -> None:
        self.cancel()

    async def end(self) -> None:
        self.cancel()
        await self.wait_ended()

    # ---------------------------------------------------------------- the host

    async def main(self) -> None:
        """The host task."""
        try:
            with self._scope:
                await interruptible(self._run)()
        except BaseException as raised:  # noqa: ASYNC103 - stored, and raised by the reader
            if self._error is None and not self._cancelled:
                self._error = without_cancellation(raised) or RunCancelledError(
                    "the event loop was shut down while a chain was streaming"
                )
        if self._error is None and not self._complete and not self._cancelled:
            # The task group takes a cancellation that comes from nowhere for its own.
            self._error = RunCancelledError("a step of a chain was cancelled although nobody cancelled the stream")
        if isinstance(self._error, Exception):
            self._error = plain_error(self._error)
        if self._parent is not None:
            self._parent.children.discard(self)
        self._make = self._parent = None
        if self._abandoned:
            self.report()
        self.ended.set()
        if self.waited_for:
            self._answered.set()

    async def _run(self) -> None:
        make = self._make
        assert make is not None
        async with anyio.create_task_group() as group:
            source = make(group)
            try:
                try:
                    async for piece in source:
                        self._asked = self._event()
                        self._piece = piece
                        self._answered.set()
                        del piece
                        await self._asked.wait()
                    self._complete = True
                finally:
                    await close(source)  # noqa: ASYNC102 - shields itself
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as error:  # noqa: ASYNC103 - stored, not raised as part of a group
                self._error = error
            group.cancel_scope.cancel()


async def relay(stream: ChainStream[T]) -> AsyncGenerator[T, None]:
    """The stream as a generator that closes it."""
    try:
        async for piece in stream:
            yield piece
    finally:
        await stream.aclose()  # noqa: ASYNC102 - shields itself
