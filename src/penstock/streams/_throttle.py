"""Backpressure for nodes that write without awaiting: holding back the coroutine itself.

Theory of operation
-------------------
`writer(chunk)` without `await` cannot wait.  So the runtime does not await a node's coroutine, it *drives* it:
`drive` is a generator that passes every suspension of the node on to the event loop and every answer back.  When
an answer arrives while one of the node's ports is pressed, `drive` keeps the answer, waits for the port, and
resumes the node after that.  A node can overshoot by what it writes between two awaits, and by no more.

What makes this delicate:

* The awaited operation *has completed* when the answer arrives.  If the wait for the port is cancelled by a
  cancel scope, the answer is handed over all the same: scopes cancel again at the node's next suspension.  A
  native `Task.cancel()` strikes only once, so it is delivered in place of the answer, as plain asyncio does.
* A cancellation from outside is passed on at once, never delayed.  trio delivers it as an answer, a failed outcome;
  but that is also how `trio.sleep` ends, by the cancellation of a scope inside the node.  Such a one is an answer
  like any other, or a node that does nothing but write and sleep would never be held back.  (asyncio's sleep gives
  a value; a scope that ends a wait there is passed on at once.)
* Holding a node back inside a timeout of its own (`move_on_after`) uses up that timeout.  At most half of what
  was left of a deadline when it was first met is spent, unless the node uses the other half to write ever more.
  Deadlines from outside, such as the reader's, are not the node's to save; its own `timeout=` stands still.
* Each step runs inside the node's context, with `Context.run`, which isolates context variables on every Python.
"""

from __future__ import annotations

import contextvars
import functools
import math
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

import anyio

from ._backend import beyond_cancelled_scopes, carried_error, interruptible, loop_clock, on_trio, scopes_here
from ._merger import Port

T = TypeVar("T")

# Marks of unread chunks after which even a deadline of the node's own is no reason to let it go on.
_SPARE_MARKS = 16


class Throttle:
    """The ports one attempt writes to, and its own timeout, which stands still while the reader holds it back.

    Args:
        outer_deadline: the nearest deadline around the graph run that the attempt belongs to.
        parent: that of the attempt around this graph run.
        stopped_with: the same, if whoever holds this attempt back holds that one back, too.
    """

    __slots__ = (
        "_deadline",
        "_half",
        "_left",
        "_now",
        "_outer_deadline",
        "_parent",
        "_pauses",
        "_stopped_with",
        "ports",
        "timeout_scope",
    )

    def __init__(
        self,
        outer_deadline: float = math.inf,
        parent: Throttle | None = None,
        stopped_with: Throttle | None = None,
    ) -> None:
        self.ports: list[Port] = []
        self.timeout_scope: anyio.CancelScope | None = None
        self._outer_deadline = outer_deadline
        self._parent = parent
        self._stopped_with = stopped_with
        self._pauses = 0
        self._left = math.inf
        self._now: Callable[[], float]
        self._deadline = math.inf
        self._half = math.inf

    def pressed_port(self) -> Port | None:
        """A port whose producer should be held back."""
        for port in self.ports:
            if (port.lane or port.unread >= port.mark) and port.pressed:
                return port
        return None

    @property
    def over(self) -> bool:
        """Whether the attempt's time is up, or that of an attempt around it: what still runs is cleanup."""
        scope, parent = self.timeout_scope, self._parent
        return (scope is not None and scope.cancel_called) or (parent is not None and parent.over)

    def limit(self, scope: anyio.CancelScope) -> None:
        """Take over the scope of the attempt's own timeout."""
        self.timeout_scope = scope
        self._now = loop_clock()  # threads post `pause` and `resume` as callbacks

    @property
    def timed(self) -> bool:
        """Whether there is a timeout to stop."""
        outer = self._stopped_with
        return self.timeout_scope is not None or (outer is not None and outer.timed)

    def pause(self) -> None:
        """Stop the attempt's own timeout until `resume` was called as often."""
        if self._stopped_with is not None:
            self._stopped_with.pause()
        scope = self.timeout_scope
        if scope is not None and not scope.cancel_called:
            self._pauses += 1
            if self._pauses == 1:
                self._left = scope.deadline - self._now()
                scope.deadline = math.inf

    def resume(self) -> None:
        """Let the attempt's own timeout go on."""
        if self._stopped_with is not None:
            self._stopped_with.resume()
        scope = self.timeout_scope
        if scope is not None and self._pauses:
            self._pauses -= 1
            if self._pauses == 0:
                scope.deadline = self._now() + self._left

    async def relieve(self, port: Port, answer: object, mark: Any) -> None:
        """Wait for a port, unless the node is being cancelled from outside.

        Args:
            port: the port.
            answer: what the node is going to be resumed with.
            mark: the scopes around the node.
        """
        error = carried_error(answer)
        if error is None or isinstance(error, Exception):
            await self._hold(port)
        elif isinstance(error, anyio.get_cancelled_exc_class()):
            with beyond_cancelled_scopes(mark) as inside:
                if inside:
                    await self._hold(port)

    async def _hold(self, port: Port) -> None:
        self.pause()
        try:
            deadline = anyio.current_effective_deadline()
            if deadline == math.inf:
                await port
                return
            now = anyio.current_time()
            until = self._patience(port, now, deadline)
            if until > now:
                with anyio.CancelScope(deadline=until):
                    await port
        finally:
            self.resume()

    def _patience(self, port: Port, now: float, deadline: float) -> float:
        """Until when the node may be held back: within what a deadline of its own allows."""
        if deadline >= self._outer_deadline:
            return deadline
        if deadline != self._deadline:
            self._deadline = deadline
            self._half = now + (deadline - now) / 2
        return self._half if port.unread < port.mark * _SPARE_MARKS else deadline


@types.coroutine
def _drive(
    coro: Coroutine[Any, Any, T], throttle: Throttle, context: contextvars.Context, mark: Any
) -> Generator[Any, Any, T]:
    run: Any = context.run
    send, throw = coro.send, coro.throw
    value: Any = None
    error: BaseException | None = None
    waits_for: Any = None
    try:
        while True:
            try:
                # Not inside an `except` block: the node's exception would get this one as its context.
                waits_for = run(send, value) if error is None else run(throw, error)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            error = None
            try:
                value = yield waits_for
            except GeneratorExit:
                coro.close()
                raise
            except Exception as failed:  # an answer like any other
                error = failed
            except BaseException as cancelled:  # noqa: ASYNC103 - thrown into the node
                error = cancelled
                continue  # noqa: ASYNC104
            if not throttle.ports:
                continue
            port = throttle.pressed_port()
            if port is None:
                continue
            try:
                yield from throttle.relieve(port, value, mark).__await__()
            except GeneratorExit:
                coro.close()
                raise
            except anyio.get_cancelled_exc_class() as cancelled:  # noqa: ASYNC103 - the answer goes first
                if not on_trio() and anyio.current_effective_deadline() != -math.inf:
                    error = cancelled  # native and edge-triggered: now or never
    finally:
        value = error = waits_for = None  # no cycle from an exception through this frame back to it


@types.coroutine
def go_on(coro: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Go on with a coroutine that was begun by hand, with `send(None)`, which gave what it waits for."""
    value: Any = None
    error: BaseException | None = None
    try:
        while True:
            try:
                value = yield waits_for
            except GeneratorExit:
                coro.close()
                raise
            except BaseException as raised:  # noqa: ASYNC103 - thrown into the coroutine
                error = raised
            try:
                waits_for = coro.send(value) if error is None else coro.throw(error)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            error = None
    finally:
        value = error = waits_for = None  # no cycle from an exception through this frame back to it


@functools.cache
def _drive_on_trio() -> Any:
    return interruptible(_drive)


def drive(coro: Coroutine[Any, Any, T], throttle: Throttle, context: contextvars.Context) -> Any:
    """An awaitable that runs `coro` in `context`, held back while a port of `throttle` is pressed."""
    if on_trio():
        return _drive_on_trio()(coro, throttle, context, scopes_here())
    return _drive(coro, throttle, context, None)
