"""Steps that several tests use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio

from penstock.runnables import Runnable, RunnableLambda


async def upper(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    async for piece in pieces:
        yield piece.upper()


def exclaim(pieces: Iterator[str]) -> Iterator[str]:
    for piece in pieces:
        yield piece + "!"


class Source:
    """A step that yields numbers as text, and notes how far it came and that it was closed."""

    def __init__(self, count: int = 5, pause: float = 0) -> None:
        self.count = count
        self.pause = pause
        self.given: list[int] = []
        self.closed = 0
        self.step: Runnable[Any, str] = RunnableLambda(self.numbers)

    async def numbers(self, pieces: AsyncIterator[Any]) -> AsyncIterator[str]:
        async for _ in pieces:
            pass
        try:
            for number in range(self.count):
                if self.pause:
                    await anyio.sleep(self.pause)
                self.given.append(number)
                yield str(number)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            self.closed += 1
