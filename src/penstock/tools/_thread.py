"""Calling a plain function in a worker thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
from anyio import to_thread

from ..runtime._body import _ThreadCall


async def in_thread(function: Callable[[], Any]) -> Any:
    """Call a function in a worker thread, with the caller's context variables; waits for it whatever happens.

    Raises:
        RuntimeError: the function raised StopIteration, which cannot pass through a future.
    """

    def call() -> tuple[Any]:
        try:
            return (function(),)  # wrapped: trio refuses a bare coroutine as a thread's result
        except StopIteration as error:
            raise RuntimeError("a tool raised StopIteration, which has a meaning of its own") from error

    thread_call = _ThreadCall(call)
    native: BaseException | None = None
    with anyio.CancelScope() as scope:
        try:
            (result,) = await to_thread.run_sync(thread_call)
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
