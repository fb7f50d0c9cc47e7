"""Functions as steps."""

from __future__ import annotations

import inspect
import operator
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any, TypeVar, overload

from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from ..errors import NotAStepError
from ..runtime import Span
from ..runtime._blocking import run_blocking
from ..runtime._spans import inside, link_span, look_around
from ._composable import Composable, InputT, OutputT
from ._config import Config, add_configs, for_function, for_steps
from ._flow import Once, close, read_whole
from ._runnable import Runnable
from ._thread import ThreadPlace, in_thread

GivenT = TypeVar("GivenT")
PieceT = TypeVar("PieceT")

_END: Any = object()

# What certainly does not wait for anything needs no thread.
_QUICK = (operator.itemgetter, operator.attrgetter)


class RunnableLambda(Runnable[InputT, OutputT]):
    """A function as a step. Composing does this by itself; it is for a function that a chain begins with.

    A plain function runs in a worker thread, so that one that waits does not hold up everything else; an async one
    runs where it is. A generator function, plain or async, gets an iterator of the pieces of its input and yields
    pieces of the output. A function may ask for `config` by name. If it returns a chain, a model or another step,
    that gets the same input: this is how a chain branches.

    Args:
        func: the function.
        name: what it is called; by default the name of the function.

    Raises:
        NotAStepError: it is no function.

    Example:
        ```python
        from penstock.runnables import RunnableLambda

        async def shout(pieces):
            async for piece in pieces:
                yield piece.upper()

        chain = RunnableLambda(lambda name: f"hello {name}") | shout
        assert await chain.ainvoke("ada") == "HELLO ADA"
        ```
    """

    @overload
    def __init__(
        self: RunnableLambda[GivenT, PieceT],
        func: Callable[[AsyncIterator[GivenT]], AsyncIterator[PieceT]],
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: RunnableLambda[GivenT, PieceT],
        func: Callable[[Iterator[GivenT]], Iterator[PieceT]],
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: RunnableLambda[GivenT, PieceT], func: Callable[[GivenT], Awaitable[PieceT]], name: str | None = None
    ) -> None: ...
    @overload
    def __init__(
        self: RunnableLambda[GivenT, PieceT], func: Callable[[GivenT], PieceT], name: str | None = None
    ) -> None: ...
    @overload
    def __init__(self: RunnableLambda[Any, Any], func: Callable[..., Any], name: str | None = None) -> None: ...
    def __init__(self, func: Callable[..., Any], name: str | None = None) -> None:
        given: Any = func
        if isinstance(given, Composable) or not callable(given):
            raise NotAStepError(f"RunnableLambda got {given!r} ({type(given).__name__}); expected a function")
        self.func = func
        self._given_name = name
        inner = _innermost(func)
        self._async_generator = inspect.isasyncgenfunction(inner)
        self._generator = inspect.isgeneratorfunction(inner)
        self._async = inspect.iscoroutinefunction(inner)
        self._quick = isinstance(func, _QUICK)
        self._wants_config = _takes(func, "config")

    @property
    def name(self) -> str:
        """What it is called."""
        own = getattr(_unwrapped(self.func), "__name__", None) or type(self.func).__name__
        return str(self._config.get("run_name") or self._given_name or ("RunnableLambda" if own == "<lambda>" else own))

    def _call(self, value: Any, config: Config) -> Awaitable[Any]:
        """A generator's pieces are told one by one, also where they are wanted all at once."""
        whole = add_configs(self._config, config)
        if (self._async_generator or self._generator) and look_around(whole.get("callbacks")).observers:
            return self._collect(value, config)
        return super()._call(value, config)

    async def _collect(self, value: Any, config: Config) -> Any:
        no_group: Any = None  # it starts nothing
        pieces = self._pieces(Once(value), config, no_group)
        try:
            return await read_whole(pieces)
        finally:
            await close(pieces)  # noqa: ASYNC102 - shields itself

    async def _compute(self, value: Any, config: Config) -> Any:
        if self._async_generator or self._generator:
            pieces = self._generate(Once(value), config)
            try:
                return await read_whole(pieces)
            finally:
                await close(pieces)  # noqa: ASYNC102 - shields itself
        result = await self._run(value, config)
        return await _step(result)._call(value, for_steps(config)) if isinstance(result, Composable) else result

    async def _transform(
        self, source: AsyncIterator[Any], config: Config, group: TaskGroup
    ) -> AsyncGenerator[Any, None]:
        if self._async_generator or self._generator:
            pieces = self._generate(source, config)
        else:
            value = await read_whole(source)
            result = await self._run(value, config)
            if not isinstance(result, Composable):
                yield result
                return
            pieces = _step(result)._pieces(Once(value), for_steps(config), group)
        try:
            async for piece in pieces:
                yield piece
        finally:
            await close(pieces)  # noqa: ASYNC102 - shields itself

    async def _run(self, value: Any, config: Config) -> Any:
        function = self._bound(config)
        with inside(link_span(config)):
            if self._async or self._quick:
                result = function(value)
                if self._quick:
                    await checkpoint()
            else:
                result = await in_thread(ThreadPlace(), function, value)
            return await result if inspect.isawaitable(result) else result

    def _generate(self, source: AsyncIterator[Any], config: Config) -> AsyncGenerator[Any, None]:
        function = self._bound(config)
        span = link_span(config)
        if self._async_generator:
            return function(source) if span is None else _each_inside(function(source), span)
        return _generate_in_threads(function, source, span)

    def _bound(self, config: Config) -> Callable[[Any], Any]:
        return partial(self.func, config=for_function(config)) if self._wants_config else self.func

    def __repr__(self) -> str:
        return f"RunnableLambda({self.name})"


def _step(value: Any) -> Runnable[Any, Any]:
    from ._coerce import as_step

    return as_step(value, "a function's result")


def _unwrapped(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return function


def _innermost(function: Any) -> Any:
    function = _unwrapped(function)
    if not (inspect.isroutine(function) or inspect.isclass(function)):
        return function.__call__  # a callable object
    return function


def _takes(function: Any, name: str) -> bool:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a built-in that does not say
        return False
    return any(p.name == name and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) for p in parameters[1:])


async def _each_inside(pieces: AsyncGenerator[Any, None], span: Span) -> AsyncGenerator[Any, None]:
    """An async generator's pieces, each made inside of a span."""
    try:
        while True:
            with inside(span):
                piece = await anext(pieces, _END)
            if piece is _END:
                return
            yield piece
    finally:
        await close(pieces)  # noqa: ASYNC102 - shields itself


async def _generate_in_threads(
    function: Callable[[Iterator[Any]], Iterator[Any]], source: AsyncIterator[Any], span: Span | None
) -> AsyncGenerator[Any, None]:
    """A plain generator function, whose steps run in worker threads one after the other, in one context."""
    with inside(span):
        place = ThreadPlace(reserved=True)  # has a context of its own
    generator: Any = function(_Pulled(source))
    try:
        while (piece := await in_thread(place, next, generator, _END)) is not _END:
            yield piece
    finally:
        # Not in a thread: it is not running, and whoever closes it may be cancelled.
        generator.close()


class _Pulled(Iterator[Any]):
    """An async iterator, read from a worker thread."""

    def __init__(self, source: AsyncIterator[Any]) -> None:
        self._source = source

    def __next__(self) -> Any:
        piece = run_blocking(self._next)
        if piece is _END:
            raise StopIteration
        return piece

    async def _next(self) -> Any:
        return await anext(self._source, _END)
