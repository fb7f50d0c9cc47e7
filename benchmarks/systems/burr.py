"""Burr: actions and transitions, consumed by ``aiterate``; tokens by a streaming action.

A Burr application holds the state of its one run.  It is built before anything is timed and put back to its
first state by ``update_state``, as its documentation says: cheaper for Burr than building an application for
each run.
"""

# flake8: noqa: ASYNC124
# trivial nodes have nothing to await: what they cost is the question

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from functools import partial
from itertools import pairwise
from typing import Any

from burr.core import ApplicationBuilder, State, action, default, expr
from burr.core.action import streaming_action

from ..backends import Backend
from ..measure import Meter
from ..model import Program, Size
from ..tempo import Tempo, bursts
from ..workloads import tokens


@action(reads=["value"], writes=["value"])
async def increment(state: State) -> State:
    return state.update(value=state["value"] + 1)


def _read(step: Any) -> tuple[str, int]:
    done, _, state = step
    return done.name, state["value"]


def _chain(nodes: int) -> Any:
    names = [f"n{index}" for index in range(nodes)]
    return (
        ApplicationBuilder()
        .with_actions(**dict.fromkeys(names, increment))
        .with_transitions(*pairwise(names))
        .with_entrypoint("n0")
        .with_state(value=0)
        .build()
    )


def _steps(app: Any, last: str) -> Program:
    initial = app.state

    async def run(meter: Meter) -> None:
        take = meter.take
        app.update_state(initial)
        async for step in app.aiterate(halt_after=[last]):
            take(step)

    return Program(run, _read)


def chain(size: Size, backend: Backend) -> Program:
    return _steps(_chain(size["nodes"]), f"n{size['nodes'] - 1}")


@action(reads=["value"], writes=["value"])
async def done(state: State) -> State:
    return state


def loop(size: Size, backend: Backend) -> Program:
    app = (
        ApplicationBuilder()
        .with_actions(tick=increment, done=done)
        .with_transitions(("tick", "tick", expr(f"value < {size['steps']}")), ("tick", "done", default))
        .with_entrypoint("tick")
        .with_state(value=0)
        .build()
    )
    initial = app.state

    async def run(meter: Meter) -> None:
        take = meter.take
        app.update_state(initial)
        async for step in app.aiterate(halt_before=["done"]):
            take(step)

    return Program(run, _read)


def first_chunk(size: Size, backend: Backend) -> Program:
    app = _chain(size["nodes"])
    initial = app.state

    async def run(meter: Meter) -> None:
        for _ in range(size["calls"]):
            app.update_state(initial)
            meter.start()
            steps = app.aiterate(halt_after=[f"n{size['nodes'] - 1}"])
            step = await anext(steps)
            meter.stop()
            meter.take(step)
            await steps.aclose()

    return Program(run, _read)


def speaker(size: Size, backend: Backend, items: Any, tempo: Tempo) -> Program:
    write = _burst if tempo == "burst" else _paced

    @streaming_action(reads=[], writes=["spoken"])
    async def speak(state: State) -> AsyncGenerator[tuple[dict[str, Any], State | None], None]:
        async for item in write(items(size), backend):
            yield {"item": item}, None
        yield {"spoken": size["chunks"]}, state.update(spoken=size["chunks"])

    app = ApplicationBuilder().with_actions(speak=speak).with_entrypoint("speak").with_state(spoken=0).build()
    initial = app.state

    async def run(meter: Meter) -> None:
        take = meter.take
        app.update_state(initial)
        _, stream = await app.astream_result(halt_after=["speak"])
        async for chunk in stream:
            take(chunk)
        await stream.get()

    return Program(run, lambda chunk: chunk["item"])


async def _burst(items: Iterable[Any], backend: Backend) -> AsyncGenerator[Any, None]:
    for burst in bursts(items):
        for item in burst:
            yield item
        await backend.turn()


async def _paced(items: Iterable[Any], backend: Backend) -> AsyncGenerator[Any, None]:
    for item in items:
        await backend.turn()
        yield item


PROGRAMS: dict[str, Any] = {
    "chain": chain,
    "loop": loop,
    "burst": partial(speaker, items=tokens.plain, tempo="burst"),
    "paced": partial(speaker, items=tokens.plain, tempo="paced"),
    "tuples": partial(speaker, items=tokens.with_metadata, tempo="burst"),
    "first-chunk": first_chunk,
}
