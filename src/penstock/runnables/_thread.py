"""Where the plain functions of a chain run."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio

from ..runtime._thread import call_in_thread
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
    return await call_in_thread(partial(place.context.run, function, *args), "a step", place.limiter)
