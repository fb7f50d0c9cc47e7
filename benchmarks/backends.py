"""The few things that differ between asyncio, uvloop and trio, so that workloads need not know.

The node bodies of a benchmark stand for user code that waits for a socket.  They wait by the backend's own
cheapest real suspension, the same for every system, so that what differs is the system alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

Thunk = Callable[[], Awaitable[Any]]

NAMES = ("asyncio", "uvloop", "trio")


@dataclass(frozen=True)
class Backend:
    name: str
    run: Callable[[Thunk], Any]
    """Run an async function in a fresh loop."""
    turn: Thunk
    """Suspend once: everybody else gets a turn."""
    forever: Thunk
    """Sleep until cancelled."""
    gather: Callable[[Iterable[Thunk]], Awaitable[None]]
    """Run all at once and wait."""

    @property
    def native(self) -> str:
        """Whose primitives are at the bottom: ``asyncio`` or ``trio``."""
        return "trio" if self.name == "trio" else "asyncio"


def backend(name: str) -> Backend:
    """Raises ImportError when it is not installed."""
    if name == "trio":
        return _trio()
    if name in ("asyncio", "uvloop"):
        return _asyncio(name)
    raise ValueError(f"unknown backend {name!r}: one of {', '.join(NAMES)}")


def _asyncio(name: str) -> Backend:
    import asyncio
    from functools import partial

    async def forever() -> None:
        await asyncio.Event().wait()

    async def gather(thunks: Iterable[Thunk]) -> None:
        await asyncio.gather(*(thunk() for thunk in thunks))

    run_coroutine: Callable[[Any], Any] = asyncio.run
    if name == "uvloop":
        import uvloop

        run_coroutine = uvloop.run
    return Backend(name, lambda main: run_coroutine(main()), partial(asyncio.sleep, 0), forever, gather)


def _trio() -> Backend:
    import trio

    async def gather(thunks: Iterable[Thunk]) -> None:
        async with trio.open_nursery() as nursery:
            for thunk in thunks:
                nursery.start_soon(thunk)

    return Backend("trio", trio.run, trio.lowlevel.checkpoint, trio.sleep_forever, gather)
