"""The one module that knows which event loop runs: what anyio does not offer.

anyio can start tasks only inside a task group, and a bare `async for` has none to start a run in; so the host of
a run is started here.  The rest are things a runtime needs to know about the loop beneath it: how to reach it
from another thread or a finaliser, and what a cancellation looks like while a coroutine is driven by hand.

trio and sniffio are never imported from here, only found if the program has imported them already, and asyncio is
imported when it is needed: a program on one of them does not pay for the other, and `import penstock` pays for
neither, which is a quarter of what it would cost.
"""

from __future__ import annotations

import contextvars
import functools
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio

if TYPE_CHECKING:
    import asyncio

F = TypeVar("F", bound=Callable[..., Any])

# asyncio keeps only weak references to tasks: a host that nobody awaits would vanish at the next collection.
_hosts: set[asyncio.Task[Any]] = set()

# The class of cancel scopes on each library; the key is whether that is trio.
_scope_kinds: dict[bool, type[anyio.CancelScope]] = {}


def on_trio() -> bool:
    """Whether the calling code runs inside a trio task."""
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())


def in_event_loop() -> bool:
    """Whether an event loop of either kind is running in this thread."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        return True
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return sys.modules["asyncio"].get_running_loop()  # type: ignore[no-any-return]
    except KeyError:
        raise RuntimeError("no running event loop") from None


class Wakeup(Protocol):
    """What one task waits for until another sets it."""

    def set(self) -> object: ...
    def wait(self) -> Awaitable[object]: ...


class _Future:
    """A `Wakeup` on asyncio."""

    __slots__ = ("_future",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._future: asyncio.Future[None] = loop.create_future()

    def set(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    def wait(self) -> Awaitable[None]:
        return self._future


def new_scope() -> anyio.CancelScope:
    """A cancel scope without a deadline, made directly: `anyio.CancelScope()` spends a microsecond on a search."""
    trio = on_trio()
    kind = _scope_kinds.get(trio)
    if kind is None:
        kind = _scope_kinds[trio] = type(anyio.CancelScope())
    return kind()


def cancelled_class() -> type[BaseException]:
    """`anyio.get_cancelled_exc_class()`, in a third of its time; RuntimeError outside of an event loop."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        return trio.Cancelled  # type: ignore[no-any-return]
    _running_loop()
    return sys.modules["asyncio"].CancelledError  # type: ignore[no-any-return]


def loop_tools() -> tuple[
    Callable[[Callable[[], object]], None],
    Callable[[], Wakeup],
    Callable[[], float],
]:
    """`loop_poster`, `wakeup_maker` and `loop_clock` in one: a stream needs all of them."""
    if on_trio():
        return loop_poster(), wakeup_maker(), loop_clock()
    loop = _running_loop()
    return _asyncio_poster(loop), functools.partial(_Future, loop), loop.time


def wakeup_maker() -> Callable[[], Wakeup]:
    """What makes wakeups for tasks of the current loop.

    A reader that waits for every chunk needs one per chunk, and `anyio.Event` looks the library up each time: with
    this a chunk of a node that suspends before each write costs a fifth less.
    """
    return sys.modules["trio"].Event if on_trio() else functools.partial(_Future, _running_loop())


def spawn_host(main: Callable[[], Coroutine[Any, Any, None]], name: str, context: contextvars.Context) -> None:
    """Start a background task that must never raise, in a given context."""
    if on_trio():
        sys.modules["trio"].lowlevel.spawn_system_task(main, name=name, context=context)
        return
    # asyncio.Task in the context, rather than create_task(context=): works on 3.10, and is never eager, so no
    # code of the user's runs before the caller's next await.
    task = context.run(_asyncio_task, main(), name)
    _hosts.add(task)
    # In an empty context, or the set would keep the caller's context alive.
    task.add_done_callback(_hosts.discard, context=contextvars.Context())


def _asyncio_task(coro: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    return sys.modules["asyncio"].Task(coro, loop=_running_loop(), name=name)  # type: ignore[no-any-return]


def loop_poster() -> Callable[[Callable[[], object]], None]:
    """A function that runs its argument soon in the current loop, callable from any thread or finaliser.

    The function raises RuntimeError when the loop is gone.
    """
    if on_trio():
        trio = sys.modules["trio"]
        run_sync_soon = trio.lowlevel.current_trio_token().run_sync_soon
        gone = trio.RunFinishedError

        def post_trio(fn: Callable[[], object]) -> None:
            try:
                run_sync_soon(fn)
            except gone as error:
                raise RuntimeError("the event loop has ended") from error

        return post_trio
    return _asyncio_poster(_running_loop())


def _asyncio_poster(loop: asyncio.AbstractEventLoop) -> Callable[[Callable[[], object]], None]:
    empty = contextvars.Context()

    def post_asyncio(fn: Callable[[], object]) -> None:
        loop.call_soon_threadsafe(fn, context=empty)

    return post_asyncio


def loop_clock() -> Callable[[], float]:
    """The current loop's clock; unlike anyio's, it can be read in a callback."""
    if on_trio():
        return sys.modules["trio"].current_time  # type: ignore[no-any-return]
    return _running_loop().time


def carried_error(value: Any) -> BaseException | None:
    """The exception that the loop is resuming a coroutine with, if it is wrapped as a value, as trio does."""
    outcome: Any = sys.modules.get("outcome")
    return value.error if outcome is not None and isinstance(value, outcome.Error) else None


def scopes_here() -> Any:
    """A mark for `beyond_cancelled_scopes`: the cancel scopes around the calling trio task."""
    return sys.modules["trio"].lowlevel.current_task()._cancel_status


@contextmanager
def beyond_cancelled_scopes(mark: Any) -> Iterator[bool]:
    """On trio, wait as if outside of the cancelled scopes that were entered since the mark was made.

    Gives False, and changes nothing, if the cancellation comes from outside of the mark.
    """
    # trio has no public way to tell a scope inside of a place from one outside, and a shield would be deaf to both.
    task = sys.modules["trio"].lowlevel.current_task()
    inner = scopes = task._cancel_status
    while scopes is not mark and scopes.effectively_cancelled:
        scopes = scopes.parent
    if scopes.effectively_cancelled:
        yield False
        return
    task._activate_cancel_status(scopes)
    try:
        yield True
    finally:
        task._activate_cancel_status(inner)


def native_cancel_requested() -> bool:
    """Whether somebody called `Task.cancel()` on the current asyncio task (known from Python 3.11 on)."""
    if on_trio():
        return False
    import asyncio

    task = asyncio.current_task()
    cancelling = getattr(task, "cancelling", None)
    return bool(cancelling()) if cancelling is not None else False


def interruptible(fn: F) -> F:
    """`fn` made open to Ctrl-C on trio, whose system tasks, hence all hosts, are protected from it.

    trio marks the code object, so this must be the outermost decorator.
    """
    trio = sys.modules.get("trio")
    return fn if trio is None else trio.lowlevel.disable_ki_protection(fn)


def forget_library(context: contextvars.Context, name: str | None = None) -> None:
    """Make `context` say that it belongs to no event loop library (or to `name`).

    A context that moves to a worker thread or another loop would otherwise still name the one it came from, and
    anyio would refuse to start a loop there.
    """
    sniffio = sys.modules.get("sniffio")
    if sniffio is not None:
        context.run(sniffio.current_async_library_cvar.set, name)
