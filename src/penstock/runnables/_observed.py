"""Steps as spans: what is told of a step around its work, at once or piece by piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from anyio.abc import TaskGroup

from ..messages import AIMessageChunk, sum_chunks
from ..runtime import Span
from ..runtime._spans import Around, StepsInside, failing, inside, linked, open_span, room
from ._config import Config, add_configs, check_config, for_steps
from ._flow import Once, Pieces, add, close, read_whole

if TYPE_CHECKING:
    from ._runnable import Runnable

OutputT = TypeVar("OutputT")

_END: Any = object()

# Pieces after which they are added up: what is kept of a long stream is its sum, not its pieces.
_MANY = 256


async def compute_observed(step: Runnable[Any, Any], value: Any, config: Config, around: Around) -> Any:
    """The whole output of a step, told as a span."""
    if around.observers:
        await room(around)
    span = open_span(step._kind, step.name, config, input=value, around=around)
    if span is None:
        return await step._compute(value, config)
    with failing(span), inside(span):
        await span.receipt
        output = await step._compute(value, linked(for_steps(config), span))
    await span.end(output)
    return output


def call_observed(
    step: Runnable[Any, OutputT], function: Callable[[Any], OutputT], value: Any, config: Config | None
) -> OutputT:
    """The output of a step that never waits, likewise."""
    span = open_span(step._kind, step.name, add_configs(step._config, check_config(config)), input=value)
    with failing(span):
        output = function(value)
    if span is not None:
        _ = span.end(output)
    return output


async def pieces_observed(
    step: Runnable[Any, Any], source: AsyncIterator[Any], config: Config, group: TaskGroup, around: Around
) -> AsyncGenerator[Any, None]:
    """The output of a step piece by piece, told as a span.

    A step that works on pieces starts with the first of them, and its input is known in the end only.
    """
    if not step._streams or (step._kind == "parser" and isinstance(source, Once)):
        yield await compute_observed(step, await read_whole(source), config, around)
        return
    taken = _Taken(source)
    await taken.look_ahead()
    await room(around)
    span = open_span(step._kind, step.name, config, knows_input=False, around=around)
    assert span is not None
    given = _Sum()
    pieces = step._transform(taken, linked(for_steps(config), span), group)
    try:
        await span.receipt
        async for piece in StepsInside(span, pieces):
            given.add(piece)
            if span.wants_chunks:
                await span.stream(piece)
            yield piece
    except BaseException as error:
        taken.tell(span)
        span.fail_by(error)
        raise
    finally:
        await close(pieces)  # noqa: ASYNC102 - shields itself
    taken.tell(span)
    await span.end(given.whole())


class _Sum:
    """Pieces that are being added up."""

    def __init__(self) -> None:
        self._sums: list[Any] = []
        self._pieces: list[Any] = []

    def add(self, piece: Any) -> None:
        pieces = self._pieces
        pieces.append(piece)
        if len(pieces) == _MANY:
            self._sums.append(_sum(pieces))
            self._pieces = []

    def whole(self) -> Any:
        """All of them together; messages stay chunks."""
        pieces = [*self._sums, *self._pieces]
        if not pieces:
            return None
        whole = _sum(pieces)
        return dict(whole) if type(whole) is Pieces else whole


def _sum(pieces: list[Any]) -> Any:
    if all(type(piece) is str for piece in pieces):
        return "".join(pieces)
    if all(isinstance(piece, AIMessageChunk) for piece in pieces):
        return sum_chunks(pieces)
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = add(whole, piece)
    return whole


class _Taken(AsyncIterator[Any]):
    """A source, and the sum of what was taken from it."""

    def __init__(self, source: AsyncIterator[Any]) -> None:
        self._source = source
        self._ahead: list[Any] = []
        self.sum = _Sum()

    async def look_ahead(self) -> None:
        """Wait for the first piece, or the end."""
        self._ahead.append(await anext(self._source, _END))

    async def __anext__(self) -> Any:
        piece = self._ahead.pop() if self._ahead else await anext(self._source, _END)
        if piece is _END:
            self._ahead.append(_END)
            raise StopAsyncIteration
        self.sum.add(piece)
        return piece

    def tell(self, span: Span) -> None:
        """What was taken is the input of a span."""
        span.input, span.knows_input = self.sum.whole(), True

    async def aclose(self) -> None:
        """Close the source."""
        await close(self._source)
