"""The event loops that sync calls run on: one cached thread per backend.

The loop stays, so worker threads and the connections of HTTP clients stay warm from call to call.  It runs in an
empty context; each run brings its caller's.
"""

from __future__ import annotations

import atexit
import contextvars
import os
import threading
from collections.abc import Callable
from threading import get_ident

import anyio

from ..streams._backend import loop_poster


class Portal:
    """A thread with an event loop.

    Args:
        backend: name of the event loop library.
    """

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.post: Callable[[Callable[[], object]], None]
        self.ident = 0
        self._stop: anyio.Event
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name=f"penstock-{backend}", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def _main(self) -> None:
        try:
            contextvars.Context().run(lambda: anyio.run(self._serve, backend=self.backend))
        except BaseException as error:  # noqa: ASYNC103 - raised by whoever opens the portal
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        self.ident = get_ident()
        self.post = loop_poster()
        self._stop = anyio.Event()
        self._ready.set()
        await self._stop.wait()

    @property
    def alive(self) -> bool:
        """Whether the loop is running."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End the loop, and with it every run that is left on it."""
        try:
            self.post(self._stop.set)
        except RuntimeError:
            return
        if get_ident() != self.ident:
            self._thread.join(_JOIN_TIMEOUT)


# Seconds the interpreter's exit waits for runs that are still going on.
_JOIN_TIMEOUT = 5.0

_exiting = threading.Event()
_lock = threading.Lock()
_portals: dict[str, Portal] = {}


def open_portal(backend: str) -> tuple[Portal, bool]:
    """A portal, and whether it is the caller's own to close.

    A sync call made on the cached portal's thread itself, by an async node, would wait for itself; it gets a portal
    of its own.
    """
    portal = _portals.get(backend)
    if portal is None or not portal.alive:
        with _lock:
            portal = _portals.get(backend)
            if portal is None or not portal.alive:
                portal = _portals[backend] = Portal(backend)
    if portal.ident == get_ident():
        return Portal(backend), True
    return portal, False


def exiting() -> bool:
    """Whether the interpreter is on its way out, and the loops with it."""
    return _exiting.is_set()


def _close_all() -> None:
    _exiting.set()
    while _portals:
        _portals.popitem()[1].close()


def _after_fork() -> None:
    """A child process has the dictionary, but not the threads."""
    global _lock  # noqa: PLW0603 - the old one may be held by a thread that is no more
    _lock = threading.Lock()
    _portals.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
# After the interpreter has joined its threads, which may be in the middle of a call.  Those of the runs themselves are
# not among them: portals are daemons, and so is what they start.
atexit.register(_close_all)
