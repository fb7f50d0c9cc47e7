"""Graphs whose nodes note when they start and end, and the ways to run them."""

from __future__ import annotations

import gc
import operator
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

import anyio
from typing_extensions import TypedDict

from penstock.graph import START, StateGraph
from tests.support import Recorder

INPUT: dict[str, Any] = {"log": []}

READING = ("bare", "strict")
"""The ways to read a stream: a plain `async for`, and inside `async with`."""
WAYS = (*READING, "ainvoke")
"""All ways to run a graph from a coroutine."""
NATIVE = ("asyncio", "asyncio+eager", "asyncio+uvloop")
"""Backends whose tasks can be cancelled natively."""

FEW_TURNS = 6
"""Loop turns within which an abandoned run's nodes are cancelled."""


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


def chain(*steps: Any, **node_options: Any) -> Any:
    """A graph of supersteps: a node, or a list of nodes that run side by side; `(name, graph)` is a subgraph."""
    builder = StateGraph(State)
    before: list[str] = []
    for step in steps:
        names = []
        for node in step if isinstance(step, list) else [step]:
            name, function = node if isinstance(node, tuple) else (node.__name__, node)
            builder.add_node(name, function, **node_options)
            names.append(name)
        for name in names:
            builder.add_edge(before or START, name)
        before = names
    return builder.compile()


def named(name: str) -> Callable[[Any], Any]:
    """A decorator that names a node."""

    def rename(function: Any) -> Any:
        function.__name__ = name
        return function

    return rename


async def shielded(seconds: float) -> None:
    """Cleanup that takes its time, whatever is cancelled around it."""
    if seconds:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(seconds)


def counting(seen: Recorder, name: str = "node", *, chunks: int = 3) -> Any:
    """A node that writes 0, 1, 2 ... and ends."""

    @named(name)
    async def node(state: State, writer: Any) -> Any:
        with seen.span(name):
            for i in range(chunks):
                writer(i)
                await anyio.lowlevel.checkpoint()
        return {"log": [name]}

    return node


def stuck(seen: Recorder, name: str = "node", *, cleanup: float = 0.0, error: Exception | None = None) -> Any:
    """A node that writes 0 and then waits for ever; cancelled, it cleans up, and fails with `error` if there is one."""

    @named(name)
    async def node(state: State, writer: Any) -> None:
        with seen.span(name):
            writer(0)
            try:
                await anyio.sleep_forever()
            finally:
                await shielded(cleanup)
                if error is not None:
                    raise error

    return node


@asynccontextmanager
async def reading(graph: Any, way: str, **options: Any) -> AsyncIterator[Any]:
    """The stream of a run: bare, or entered; a bare one is dropped at the end and not waited for."""
    options.setdefault("stream_mode", "custom")
    if way == "strict":
        async with graph.astream(INPUT, **options) as run:
            yield run
    else:
        yield graph.astream(INPUT, **options)


async def consume(graph: Any, way: str, got: list[Any] | None = None, **options: Any) -> Any:
    """Run a graph to its end in one of `WAYS`; chunks are added to `got` as they come."""
    got = [] if got is None else got
    if way == "ainvoke":
        return await graph.ainvoke(INPUT)
    options.setdefault("stream_mode", "custom")
    if way == "bare":
        async for chunk in graph.astream(INPUT, **options):
            got.append(chunk)
    else:
        async with graph.astream(INPUT, **options) as run:
            async for chunk in run:
                got.append(chunk)
    return got


def unfinished(seen: Recorder) -> list[str]:
    """The spans of a recorder that have been entered and not been left."""
    marks = [str(mark) for mark in seen]
    starts = [mark.removesuffix(" started") for mark in marks if mark.endswith(" started")]
    for mark in marks:
        name, ended, _ = mark.partition(" ended")
        if ended:
            starts.remove(name)
    return starts


@contextmanager
def without_collector() -> Iterator[None]:
    """Leave freeing of objects to their reference counts alone."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# --- cancelling at the n-th scheduling point -------------------------------------------------------------


async def cancelled_at(
    turn: int, body: Callable[[], Awaitable[None]], before: Callable[[], None], *, trio: bool
) -> bool:
    """Await `body()` in a scope that is cancelled at the given scheduling point; whether that came in time.

    On trio every step of any task counts, on asyncio every turn of the loop.  `before()` is called just before.
    """
    with anyio.CancelScope() as scope:

        def cancel() -> None:
            before()
            scope.cancel()

        with (_trio_turns if trio else _asyncio_turns)(turn, cancel):
            await body()
        return False
    return True


@contextmanager
def _trio_turns(turn: int, then: Callable[[], None]) -> Iterator[None]:
    from trio.abc import Instrument
    from trio.lowlevel import add_instrument, remove_instrument

    class Countdown(Instrument):
        left = turn

        def before_task_step(self, task: Any) -> None:
            self.left -= 1
            if self.left == 0:
                then()

    countdown = Countdown()
    add_instrument(countdown)
    try:
        yield
    finally:
        remove_instrument(countdown)


@contextmanager
def _asyncio_turns(turn: int, then: Callable[[], None]) -> Iterator[None]:
    import asyncio

    loop = asyncio.get_running_loop()
    handle: Any = None

    def count(left: int) -> None:
        nonlocal handle
        if left == 0:
            then()
        else:
            handle = loop.call_soon(count, left - 1)

    handle = loop.call_soon(count, turn - 1)
    try:
        yield
    finally:
        handle.cancel()
