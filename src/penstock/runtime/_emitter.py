"""Writing chunks of a mode to every stream that asks for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any

from ..streams import DONE, Port, Receipt

Target = tuple["Port | None", "Callable[[Any], Any] | None"]
"""A port, and what shapes its chunks; without a port they are only printed, by being shaped."""


class Emitter:
    """Writes chunks of one mode to one or more streams, in the name of one attempt.

    A call writes at once. Await what it returns to be held back by a slow reader; without that the node is held
    back at its next `await`, and a worker thread in the call itself.

    Args:
        targets: where to write.
    """

    __slots__ = ("_targets",)

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets: Sequence[Target] = targets

    def __call__(self, data: Any) -> Port | Receipt | Receipts:
        targets = self._targets
        if len(targets) == 1:
            return _write(targets[0], data)
        return Receipts([_write(target, data) for target in targets])


def _write(target: Target, data: Any) -> Port | Receipt:
    port, shape = target
    item = data if shape is None else shape(data)
    return DONE if port is None else port.write(item)


class Receipts:
    """What a write to several streams returns; awaiting it waits for all of them."""

    __slots__ = ("_written",)

    def __init__(self, written: Sequence[Awaitable[Any]]) -> None:
        self._written = written

    def __await__(self) -> Generator[Any, Any, None]:
        for one in self._written:
            yield from one.__await__()
