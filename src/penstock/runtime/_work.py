"""A call of something that is no graph, watched while it runs: what `astream_events` of tools, models, chains does."""

from __future__ import annotations

import contextvars
import math
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any

import anyio

from ..config import maybe_scope, parse_config
from ..streams import DEFAULT_HIGH_WATER_MARK, Merger, Port, StreamRequest, Throttle, drive, parse_mark
from ..types import StreamEvent
from ._events import EventOptions, EventView, check_options, select_events
from ._run import RunStream
from ._spans import Around, Ground, look_around, set_span
from ._task import Attempt

Work = Callable[[Mapping[str, Any]], Coroutine[Any, Any, Any]]
"""Makes the call, of a config that has everything but `callbacks`."""


@dataclass(frozen=True)
class WatchedCall:
    """A call, checked: everything that is needed to run and show it.

    Attributes:
        name: of what is called.
        work: makes the call.
        config: its config.
        around: what it is inside of, and who observes it.
        view: what shows it.
        request: how much of it may be unread.
        parent: the attempt it is made in, or None.
        context: the caller's context variables.
    """

    name: str
    work: Work
    config: Mapping[str, Any]
    around: Around
    view: EventView
    request: StreamRequest
    parent: Attempt | None
    context: contextvars.Context = field(default_factory=contextvars.copy_context)

    def open(self, *, hosted: bool, merger: Merger | None = None) -> WatchedRun:
        """What runs it."""
        assert merger is not None
        self.view.merger = merger
        return WatchedRun(self, merger)


class WatchedRun:
    """Runs a watched call in the host's task.

    Args:
        call: the call.
        merger: where it is read.
    """

    def __init__(self, call: WatchedCall, merger: Merger) -> None:
        self._call = call
        self._merger = merger
        self._outer = call.around.span
        self.draining = False
        self.around_deadline = True
        self.remote = call.parent is not None and call.parent.task.run.thread_id != get_ident()
        self.behind: list[Port] = []
        self._throttle = Throttle()
        self._port = Port(merger)
        self._adopt(self._port)

    async def execute(self) -> Any:
        """Make the call; returns what it returns."""
        call = self._call
        deadline = anyio.current_effective_deadline() if self.around_deadline else math.inf
        self._throttle = throttle = Throttle(deadline)
        self._adopt(self._port)
        ground = Ground(self._outer, (*call.around.observers, call.view), self)
        context = call.context.copy()
        context.run(set_span, ground)
        try:
            return await drive(context.run(call.work, call.config), throttle, context)
        finally:
            self._port.close()
            throttle.ports.clear()

    def port_in(self, merger: Merger) -> Port | None:
        """Where its events are written, for this reader or for one further out."""
        if merger is self._merger:
            return self._port
        producer = None if self._outer is None else self._outer.producer
        return None if producer is None else producer.port_in(merger)

    def _adopt(self, port: Port) -> None:
        port.clock = self._throttle
        self._throttle.ports.append(port)

    def abort(self) -> None:
        """It is being cancelled: do not hold up its cleanup."""
        self._port.close(aborted=True)

    def running(self) -> list[str]:
        """What is running."""
        return [self._call.name]


def stream_events(
    name: str,
    work: Work,
    input: Any,
    config: Mapping[str, Any] | None,
    *,
    version: str,
    options: EventOptions,
) -> RunStream[StreamEvent]:
    """A stream of what goes on in a call.

    Args:
        name: of what is called.
        work: makes the call.
        input: what it is given, as the reader is to see it.
        config: of the call.
        version: "v2".
        options: which events are wanted, and how many may be unread.

    Raises:
        ValueError: there is no such version, or an argument is out of range.
        TypeError: an argument has the wrong type, or does not exist.
    """
    check_version(version)
    check_options(options)
    given = dict(config or {})
    parse_config(given)
    around = look_around(given.pop("callbacks", None))
    scope = maybe_scope()
    parent = scope if isinstance(scope, Attempt) and not scope.ended else None
    mark = parse_mark(options.get("high_water_mark", DEFAULT_HIGH_WATER_MARK))
    view = EventView(select_events(options), input)
    request = StreamRequest(modes=frozenset(), high_water_mark=mark)
    return RunStream(WatchedCall(name, work, given, around, view, request, parent))


def check_version(version: object) -> None:
    """Refuse a version of `astream_events` that there is not.

    Raises:
        ValueError: it is not "v2".
    """
    if version != "v2":
        raise ValueError(f"astream_events: version must be 'v2', got {version!r}")
