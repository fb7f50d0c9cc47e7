"""Calling a plain function in a worker thread."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import anyio
from anyio import to_thread

from ..runtime._body import _ThreadCall
from ..streams._backend import forget_library

# Whether the code runs in one of our threads, which whoever waits for it in turn must not wait for.
_in_thread: contextvars.ContextVar[bool] = contextvars.ContextVar("penstock_chain_thread", default=False)


class ThreadPlace:
    """Where calls of plain functions run: in which context, and how many of them at a time.

    Args:
        reserved: whether to have a thread at any time. A thread that waits for another step's thread would otherwise
            take from it what it waits for.
    """

    def __init__(self, *, reserved: bool = False) -> None:
        self.context = contextvars.copy_context()
        self.limiter = anyio.CapacityLimiter(1) if reserved or _in_thread.get() else None
        forget_library(self.context)
        self.context.run(_in_thread.set, True)


async def in_thread(place: ThreadPlace, function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a worker thread; waits for it whatever happens.

    Raises:
        RuntimeError: the function raised StopIteration, which cannot pass through a future.
    """

    def call() -> tuple[Any]:
        try:
            return (place.context.run(function, *args),)  # wrapped: trio refuses a bare coroutine as a thread's result
        except StopIteration as error:
            raise RuntimeError("a step raised StopIteration, which has a meaning of its own") from error

    thread_call = _ThreadCall(call)
    native: BaseException | None = None
    with anyio.CancelScope() as scope:
        try:
            (result,) = await to_thread.run_sync(thread_call, limiter=place.limiter)
            return result
        except anyio.get_cancelled_exc_class() as raised:  # noqa: ASYNC103 - raised below
            if not thread_call.give_up():
                raise
            native = raised
            scope.cancel()  # the function finds out if it asks
            await thread_call.wait()  # noqa: ASYNC102 - shields itself
    assert native is not None
    try:
        raise native
    finally:
        del native
