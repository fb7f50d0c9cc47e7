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
* trio delivers a cancellation as an answer, a failed outcome.  It is passed on at once, never delayed.
* Holding a node back inside a timeout of its own (`move_on_after`) uses up that timeout.  At most half of what
  was left of a deadline when it was first met is spent; the node's own `timeout=` stands still meanwhile.
* Each step runs inside the node's context, with `Context.run`, which isolates context variables on every Python.
"""

from __future__ import annotations

import contextvars
import functools
import math
import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

import anyio

from ._backend import interruptible, is_failed_outcome, on_trio
from ._merger import Port

T = TypeVar("T")


class Throttle:
    """The ports one attempt writes to, and its own timeout, which stands still while the reader holds it back."""

    __slots__ = ("_budget_end", "_deadline", "_left", "_pauses", "ports", "timeout_scope")

    def __init__(self) -> None:
        self.ports: list[Port] = []
        self.timeout_scope: anyio.CancelScope | None = None
        self._pauses = 0
        self._left = math.inf
        self._deadline = math.inf
        self._budget_end = 0.0

    def pressed_port(self) -> Port | None:
        """A port whose producer should be held back; none once the attempt's time is up, so it can clean up."""
        for port in self.ports:
            if (port.lane or port.unread >= port.mark) and port.pressed:
                scope = self.timeout_scope
                return port if scope is None or not scope.cancel_called else None
        return None

    def pause(self) -> None:
        """Stop the attempt's own timeout until `resume` was called as often."""
        scope = self.timeout_scope
        if scope is not None and not scope.cancel_called:
            self._pauses += 1
            if self._pauses == 1:
                self._left = scope.deadline - anyio.current_time()
                scope.deadline = math.inf

    def resume(self) -> None:
        """Let the attempt's own timeout go on."""
        scope = self.timeout_scope
        if scope is not None and self._pauses:
            self._pauses -= 1
            if self._pauses == 0:
                scope.deadline = anyio.current_time() + self._left

    async def relieve(self, port: Port) -> None:
        """Wait for a port, within what a deadline set inside the node allows."""
        self.pause()
        try:
            budget = self._budget(anyio.current_time())
            if budget > 0:
                with anyio.move_on_after(budget):
                    await port
        finally:
            self.resume()

    def _budget(self, now: float) -> float:
        deadline = anyio.current_effective_deadline()
        if deadline == math.inf:
            return math.inf
        if deadline != self._deadline:
            self._deadline = deadline
            self._budget_end = now + (deadline - now) / 2
        return self._budget_end - now


@types.coroutine
def _drive(
    coro: Coroutine[Any, Any, T], throttle: Throttle, context: contextvars.Context
) -> Generator[Any, Any, T]:
    send = functools.partial(context.run, coro.send)
    throw = functools.partial(context.run, coro.throw)
    value: Any = None
    error: BaseException | None = None
    while True:
        try:
            if error is None:
                waits_for = send(value)
            else:
                # Not inside an `except` block: the node's exception would get this one as its context.
                raised, error = error, None
                waits_for = throw(raised)
                del raised
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            value = yield waits_for
        except GeneratorExit:
            coro.close()
            raise
        except BaseException as cancelled:
            error = cancelled
            continue
        if not throttle.ports:
            continue
        port = throttle.pressed_port()
        if port is None or is_failed_outcome(value):
            continue
        try:
            yield from throttle.relieve(port).__await__()
        except GeneratorExit:
            coro.close()
            raise
        except anyio.get_cancelled_exc_class() as cancelled:
            if not on_trio() and anyio.current_effective_deadline() != -math.inf:
                error = cancelled  # native and edge-triggered: now or never


@functools.cache
def _drive_on_trio() -> Any:
    return interruptible(_drive)


def drive(coro: Coroutine[Any, Any, T], throttle: Throttle, context: contextvars.Context) -> Any:
    """An awaitable that runs `coro` in `context`, held back while a port of `throttle` is pressed."""
    return _drive_on_trio()(coro, throttle, context) if on_trio() else _drive(coro, throttle, context)
