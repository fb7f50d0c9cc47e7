"""The runners every async test runs on, by name."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
from typing_extensions import TypeVarTuple, Unpack

from .clock import VirtualTimeLoop, virtual_trio_clock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

REAL_TIME = ("asyncio+uvloop",)
"""Backends whose clock cannot be replaced."""


def _known() -> tuple[str, ...]:
    names = ["asyncio"]
    if sys.version_info >= (3, 12):
        names.append("asyncio+eager")
    if importlib.util.find_spec("uvloop"):
        names.append("asyncio+uvloop")
    if importlib.util.find_spec("trio"):
        names.append("trio")
    return tuple(names)


BACKENDS = _known()
"""Names of the backends present: asyncio (debug mode), asyncio+eager (3.12+), asyncio+uvloop, trio."""


def _eager_loop() -> asyncio.AbstractEventLoop:
    loop = VirtualTimeLoop()
    if sys.version_info >= (3, 12):
        loop.set_task_factory(asyncio.eager_task_factory)
    return loop


def backend_with_options(backend_id: str) -> tuple[str, dict[str, Any]]:
    """anyio's name of a backend and the options that make it the runner called `backend_id`."""
    if backend_id == "asyncio":
        return "asyncio", {"debug": True, "loop_factory": VirtualTimeLoop}
    if backend_id == "asyncio+eager":
        return "asyncio", {"loop_factory": _eager_loop}
    if backend_id == "asyncio+uvloop":
        import uvloop

        return "asyncio", {"loop_factory": uvloop.new_event_loop}
    if backend_id == "trio":
        return "trio", {"clock": virtual_trio_clock()}
    raise ValueError(f"unknown backend {backend_id!r}, expected one of {BACKENDS}")


def run_on(backend_id: str, async_fn: Callable[[Unpack[Ts]], Awaitable[T]], *args: Unpack[Ts]) -> T:
    """Run `async_fn(*args)` on a fresh loop of the named backend, from a sync test; the loop ends with it."""
    backend, options = backend_with_options(backend_id)
    if backend == "trio":
        import trio

        return trio.run(async_fn, *args, **options)  # anyio 4.7's own run() drops trio's options
    return anyio.run(async_fn, *args, backend=backend, backend_options=options)
