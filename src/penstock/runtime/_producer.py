"""Who writes what is told of a span into the stream of a view."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Any, Protocol

from ..streams import DONE, Merger, Port


class Producer(Protocol):
    """A run of a graph, an attempt, or a call that is watched: it has a port of its own in the stream of every view.

    Attributes:
        behind: ports of what has failed inside of it, with chunks that are still on their way into their streams.
    """

    behind: list[Port]

    def port_in(self, merger: Merger) -> Port | None:
        """Its port in a stream; None if nothing of it is shown there."""
        ...


def write_event(producer: Producer, merger: Merger, event: Any) -> Awaitable[Any]:
    """Write an event in the name of a producer; returns what can be awaited to be held back by the reader."""
    for port in producer.behind:
        if port.merger is merger and port.pending:
            # What has failed was not waited for: its siblings are cancelled at once, whatever the reader does.
            port.put(event)
            return DONE
    found = producer.port_in(merger)
    if found is None or found.closed:  # what ends after its attempt has ended is not shown
        return DONE
    return found.write(event)


async def flush_ports(ports: Iterable[Port]) -> None:
    """Wait until nothing of them waits outside of its stream, so that a later port cannot overtake it."""
    for port in list(ports):
        if port.pending:
            await port.flush()
