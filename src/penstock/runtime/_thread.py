"""Calling a plain function in a worker thread, outside of an attempt's own bookkeeping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
from anyio import to_thread

from ._body import _ThreadCall


async def call_in_thread(function: Callable[[], Any], what: str, limiter: anyio.CapacityLimiter | None = None) -> Any:
    """Call a function in a worker thread; waits for it whatever happens.

    Args:
        function: the function.
        what: whose it is, for an error.
        limiter: who else it shares its threads with; by default everybody.

    Raises:
        RuntimeError: the function raised StopIteration, which cannot pass through a future.
    """

    def call() -> tuple[Any]:
        try:
            return (function(),)  # wrapped: trio refuses a bare coroutine as a thread's result
        except StopIteration as error:
            raise RuntimeError(f"{what} raised StopIteration, which has a meaning of its own") from error

    thread_call = _ThreadCall(call)
    native: BaseException | None = None
    with anyio.CancelScope() as scope:
        try:
            (result,) = await to_thread.run_sync(thread_call, limiter=limiter)
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
