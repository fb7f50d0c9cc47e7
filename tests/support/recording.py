"""Small instruments: note what happened, read a stream to its end, let the scheduler turn."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio
import anyio.lowlevel

T = TypeVar("T")


class Recorder:
    """Notes marks in the order they are made, from tasks and threads alike.

    ```python
    seen = Recorder()
    with seen.span("a"):
        seen("in a")
    assert seen == ["a started", "in a", "a ended"]
    ```
    """

    def __init__(self) -> None:
        self.marks: list[object] = []

    def __call__(self, mark: object) -> None:
        self.marks.append(mark)

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Mark `name started` now; at the end `name ended` or `name ended: Error` (or `: cancelled`)."""
        self(f"{name} started")
        try:
            yield
        except BaseException as exc:
            kind = "cancelled" if isinstance(exc, anyio.get_cancelled_exc_class()) else type(exc).__name__
            self(f"{name} ended: {kind}")
            raise
        else:
            self(f"{name} ended")

    async def wait_for(self, mark: object) -> None:
        """Wait until `mark` has been made; after ten (virtual) seconds raise `TimeoutError`."""
        with anyio.fail_after(10):
            while mark not in self.marks:
                await anyio.sleep(0.001)

    def count(self, mark: object) -> int:
        """How often `mark` was made."""
        return self.marks.count(mark)

    def __contains__(self, mark: object) -> bool:
        return mark in self.marks

    def __iter__(self) -> Iterator[object]:
        return iter(list(self.marks))

    def __len__(self) -> int:
        return len(self.marks)

    def __eq__(self, other: object) -> bool:
        return self.marks == (other.marks if isinstance(other, Recorder) else other)

    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return f"Recorder({self.marks!r})"


async def collect(stream: AsyncIterable[T], limit: int | None = None) -> list[T]:
    """Everything `stream` yields, or its first `limit` items (the loop is then left by `break`)."""
    items: list[T] = []
    if limit == 0:
        return items
    async for item in stream:
        items.append(item)
        if len(items) == limit:
            break
    return items


async def checkpoints(n: int) -> None:
    """Let every other task run, `n` times; no virtual time passes."""
    for _ in range(n):
        await anyio.lowlevel.checkpoint()
