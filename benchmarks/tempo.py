"""How a node writes: in bursts larger than the high-water mark, or with a suspension before each chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Literal

from .backends import Thunk

Tempo = Literal["burst", "paced"]

BURST = 100
"""Writes between two suspensions; more than a mark of 64, so that waiting at the mark is in the figure."""


def bursts(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while burst := list(islice(rest, BURST)):
        yield burst


async def write_all(write: Callable[[Any], Any], items: Iterable[Any], tempo: Tempo, turn: Thunk) -> None:
    """What a node does with a plain writer that cannot wait."""
    if tempo == "burst":
        for burst in bursts(items):
            for item in burst:
                write(item)
            await turn()
    else:
        for item in items:
            await turn()
            write(item)


async def await_all(write: Callable[[Any], Any], items: Iterable[Any], turn: Thunk) -> None:
    """The same bursts with a writer that waits while the buffer is full."""
    for burst in bursts(items):
        for item in burst:
            await write(item)
        await turn()
