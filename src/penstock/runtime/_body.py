"""Calling a node's or router's function, whatever kind it is, in the context of its attempt."""

from __future__ import annotations

import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from types import CoroutineType
from typing import Any

import anyio
from anyio import to_thread

from ..streams import drive
from ..streams._backend import forget_library, loop_poster
from ._program import Body, BodyKind
from ._task import Attempt

_END: Any = object()


def call_body(attempt: Attempt, kind: BodyKind, body: Body, value: Any) -> Awaitable[Any]:
    """Call `body(value, attempt)` as its kind demands; awaiting it gives what that returns.

    A generator returns the list of what it yielded, each item having been shown as it came.
    """
    if kind is BodyKind.ASYNC:  # without a coroutine around it: every suspension of a node goes through all of them
        return _drive_awaitable(attempt, attempt.context.run(body, value, attempt))
    return _call_other_body(attempt, kind, body, value)


async def _call_other_body(attempt: Attempt, kind: BodyKind, body: Body, value: Any) -> Any:
    if kind is BodyKind.INLINE or kind is BodyKind.SYNC:
        inline = kind is BodyKind.INLINE
        result = (
            attempt.context.run(body, value, attempt) if inline else await _in_thread(attempt, body, value, attempt)
        )
        # A plain function around an async one: a decorator's wrapper, a lambda.
        return await _drive_awaitable(attempt, result) if inspect.isawaitable(result) else result
    if kind is BodyKind.ASYNC_GENERATOR:
        return await _drive_awaitable(attempt, _collect(attempt, attempt.context.run(body, value, attempt)))
    assert kind is BodyKind.GENERATOR, kind
    return await _collect_in_thread(attempt, await _in_thread(attempt, body, value, attempt))


def _drive_awaitable(attempt: Attempt, awaitable: Awaitable[Any]) -> Awaitable[Any]:
    if type(awaitable) is not CoroutineType:
        awaitable = _wait_for(awaitable)
    return drive(awaitable, attempt.throttle, attempt.context)  # type: ignore[no-any-return]


async def _wait_for(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def _in_thread(attempt: Attempt, function: Any, *args: Any) -> Any:
    """Call a function in a worker thread, in the attempt's context; waits for the thread whatever happens."""
    context = attempt.context
    forget_library(context)

    def call() -> tuple[Any]:
        try:
            return (context.run(function, *args),)  # wrapped: trio refuses a bare coroutine as a thread's result
        except StopIteration as error:  # cannot pass through a future
            raise RuntimeError("a node raised StopIteration, which has a meaning of its own") from error

    thread_call = _ThreadCall(call)
    native: BaseException | None = None
    with anyio.CancelScope() as scope:
        try:
            (result,) = await to_thread.run_sync(thread_call, limiter=attempt.task.run.threads)
            return result
        except anyio.get_cancelled_exc_class() as raised:  # noqa: ASYNC103 - raised below
            if not thread_call.give_up():
                raise
            native = raised
            scope.cancel()  # the function finds out if it asks,
            attempt.abort()  # or writes
            await thread_call.wait()  # noqa: ASYNC102 - shields itself
    assert native is not None
    try:
        raise native
    finally:
        del native


class _ThreadCall:
    """A call made by a worker thread, which can still be waited for when its result has been given up.

    anyio waits for its threads whatever scope is cancelled, but `Task.cancel()` of asyncio strikes through.
    """

    __slots__ = ("_call", "_ended", "_given_up", "_lock", "_post", "_running")

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call: Callable[[], Any] | None = call
        self._lock = threading.Lock()
        self._running = False
        self._given_up = False
        self._ended: anyio.Event
        self._post: Callable[[Callable[[], object]], None]

    def __call__(self) -> Any:
        with self._lock:
            if self._given_up:  # before the thread came to it
                return None
            self._running = True
        try:
            return self._take()()
        finally:
            self._finish()

    def _finish(self) -> None:
        with self._lock:
            self._running = False
            tell = self._given_up
        if tell:
            self._post(self._ended.set)

    def _take(self) -> Callable[[], Any]:
        """The call, for its one use: an idle thread must not keep the node's input alive."""
        call, self._call = self._call, None
        assert call is not None
        return call

    def give_up(self) -> bool:
        """Do not begin any more; True if it has begun and not ended."""
        self._ended = anyio.Event()
        self._post = loop_poster()
        with self._lock:
            self._given_up = True
            return self._running

    async def wait(self) -> None:
        """Wait for the end, which was still to come when it was given up, whatever is cancelled meanwhile."""
        with anyio.CancelScope(shield=True):
            while not self._ended.is_set():
                with suppress(anyio.get_cancelled_exc_class()):
                    await self._ended.wait()


async def _collect(attempt: Attempt, generator: AsyncIterator[Any]) -> list[Any]:
    items = []
    try:
        async for item in generator:
            items.append(item)
            await attempt.task.run.show_update(attempt, item)
    finally:
        close = getattr(generator, "aclose", None)
        if close is not None:
            with anyio.CancelScope(shield=True):
                await close()
    return items


async def _collect_in_thread(attempt: Attempt, generator: Iterator[Any]) -> list[Any]:
    items: list[Any] = []
    try:
        while (item := await _in_thread(attempt, next, generator, _END)) is not _END:
            items.append(item)
            await attempt.task.run.show_update(attempt, item)
    finally:
        close = getattr(generator, "close", None)
        if close is not None:
            with anyio.CancelScope(shield=True):
                await _in_thread(attempt, close)
    return items
