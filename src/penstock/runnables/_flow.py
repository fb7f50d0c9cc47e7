"""Pieces of a value that streams: adding them up, closing where they come from, doing several things at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from inspect import isawaitable
from typing import Any

import anyio

from ..errors import RunCancelledError
from ..messages import AIMessageChunk, sum_chunks
from ..messages._chunks import BaseMessageChunk

# Seconds that a source gets to close when nobody wants the rest of it.
CLOSE_TIMEOUT = 5.0


class Pieces(dict[str, Any]):
    """A dict, some of whose keys have pieces of their values; adding two adds the values of each key."""

    def __add__(self, other: object) -> Pieces:
        if not isinstance(other, Mapping):
            return NotImplemented
        both = Pieces(self)
        for key, piece in other.items():
            both[key] = add(both[key], piece) if key in both else piece
        return both


def add(left: Any, right: Any) -> Any:
    """Two pieces in a row; of values that do not add up the later one replaces the earlier."""
    try:
        return left + right
    except TypeError:
        return right


def add_up(pieces: list[Any]) -> Any:
    """The value that came in pieces, of the type that it would have had if it had come at once."""
    if not pieces:
        return None
    if all(type(piece) is str for piece in pieces):
        return "".join(pieces)
    if all(type(piece) is Pieces for piece in pieces):
        lists: dict[str, list[Any]] = {}
        for piece in pieces:
            for key, part in piece.items():
                lists.setdefault(key, []).append(part)
        return {key: add_up(parts) for key, parts in lists.items()}
    if all(isinstance(piece, AIMessageChunk) for piece in pieces):
        return sum_chunks(pieces).to_message()
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = add(whole, piece)
    return whole.to_message() if isinstance(whole, BaseMessageChunk) else whole


async def read_whole(source: AsyncIterator[Any]) -> Any:
    """Everything that a source gives, added up."""
    return add_up([piece async for piece in source])


class Once(AsyncIterator[Any]):
    """A source of one piece, with nothing to close."""

    def __init__(self, value: Any) -> None:
        self._values = [value]

    async def __anext__(self) -> Any:
        if not self._values:
            raise StopAsyncIteration
        return self._values.pop()


async def close(source: Any) -> None:
    """Close an async iterator, if it can be closed, also in the middle of a cancellation."""
    closer = getattr(source, "aclose", None)
    # A generator that has ended has no frame any more; and nothing to close, which is how most are found.
    if closer is not None and getattr(source, "ag_frame", closer) is not None:
        with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
            closing = closer()
            if isawaitable(closing):
                await closing


async def at_once(
    calls: Sequence[Callable[[], Awaitable[Any]]], *, limit: int | None = None, return_exceptions: bool = False
) -> list[Any]:
    """Await all of them at the same time; the first error cancels the others and is raised as itself."""
    if len(calls) == 1 and not return_exceptions:
        return [await calls[0]()]
    missing: Any = object()
    results: list[Any] = [missing] * len(calls)
    failed: list[BaseException] = []
    gate = anyio.Semaphore(limit) if limit else nullcontext()
    cancelled = anyio.get_cancelled_exc_class()  # noqa: ASYNC118 - used within one loop only
    # Each lets the next one begin: trio would begin with any of them.
    turns = [anyio.Event() for _ in range(len(calls) + 1)]
    turns[0].set()

    async def run(index: int) -> None:
        try:
            await turns[index].wait()
            async with gate:
                turns[index + 1].set()
                results[index] = await calls[index]()
        except cancelled:
            raise
        except BaseException as error:  # noqa: ASYNC103 - raised below, not as part of a group
            if return_exceptions and isinstance(error, Exception):
                results[index] = error
            else:
                failed.append(error)
                group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for index in range(len(calls)):
            group.start_soon(run, index)
    if not failed and any(result is missing for result in results):
        failed.append(RunCancelledError("a parallel step was cancelled although nobody cancelled the call"))
    if failed:
        try:
            raise failed[0]
        finally:
            failed.clear()
    return results
