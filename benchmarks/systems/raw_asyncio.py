"""Raw asyncio: one ``asyncio.TaskGroup`` per superstep, one bounded queue to the consumer.

The group is part of the job: a node that fails ends its siblings.  (A bare ``create_task`` would take away a third.)
"""

# flake8: noqa: ASYNC112
# a task group for one task is the job here, not an oversight

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import Any

from ..backends import Backend, Thunk
from ..measure import Meter
from ..raw import MARK, Node, Plan, Reader, State, Take
from ..tempo import Tempo, bursts

if not hasattr(asyncio, "TaskGroup"):
    raise ImportError("asyncio.TaskGroup came with Python 3.11")

END: Any = object()
"""Last item of a queue; ``Queue.shutdown`` came with Python 3.13."""


class AsyncioEngine:
    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    async def steps(self, plan: Plan, take: Take) -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue(1)
        await _with_driver(queue, _drive(plan, queue, _in_task), take)

    async def threads(self, plan: Plan, take: Take) -> None:
        loop = asyncio.get_running_loop()

        def in_thread(node: Node, state: State) -> Awaitable[Any]:
            return loop.run_in_executor(None, node, state)

        queue: asyncio.Queue[Any] = asyncio.Queue(1)
        await _with_driver(queue, _drive(plan, queue, in_thread), take)

    async def fanout(self, nodes: list[Callable[[], Awaitable[Any]]], take: Take) -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue(MARK)

        async def one(node: Callable[[], Awaitable[Any]]) -> None:
            await _put(queue, await node())

        async def superstep() -> None:
            async with asyncio.TaskGroup() as group:
                for node in nodes:
                    group.create_task(one(node))

        await _with_driver(queue, superstep(), take)

    async def pour(self, sources: list[Iterable[Any]], tempo: Tempo, take: Take) -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue(MARK)
        write = _burst if tempo == "burst" else _paced

        async def superstep() -> None:
            async with asyncio.TaskGroup() as group:
                for source in sources:
                    group.create_task(write(queue, source, self.backend.turn))

        await _with_driver(queue, superstep(), take)

    async def relay(self, stages: list[Iterable[Any]], take: Take) -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue(MARK)

        async def supersteps() -> None:
            for stage in stages:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_paced(queue, stage, self.backend.turn))

        await _with_driver(queue, supersteps(), take)

    async def first(self, plan: Plan, meter: Meter) -> None:
        meter.start()
        queue: asyncio.Queue[Any] = asyncio.Queue(1)
        async with asyncio.TaskGroup() as run:
            run.create_task(_first(plan, queue))
            item = await queue.get()
            meter.stop()
            meter.take(item)

    async def leave(self, nodes: int, ended: Callable[[], None], meter: Meter) -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue(MARK)

        async def sleeper(index: int) -> None:
            try:
                await _put(queue, index)
                await self.backend.forever()
            finally:
                ended()

        tasks = [asyncio.create_task(sleeper(index)) for index in range(nodes)]
        for _ in range(nodes):
            meter.take(await queue.get())
        meter.start()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        meter.stop()

    async def read(self, source: Iterable[Any], reader: Reader) -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue(MARK)
        driver = asyncio.create_task(_closing(queue, _paced(queue, source, self.backend.turn)))
        await reader(_items(queue))
        await driver


async def _items(queue: asyncio.Queue[Any]) -> AsyncIterator[Any]:
    while (item := await queue.get()) is not END:
        yield item


async def _in_task(node: Node, state: State) -> Any:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(node(state))
    return task.result()


async def _drive(plan: Plan, queue: asyncio.Queue[Any], call: Any) -> None:
    state = plan.state()
    for name, node in plan.supersteps(state):
        update = await call(node, state)
        plan.apply(state, update)
        await _put(queue, plan.item(name, update, state))


async def _first(plan: Plan, queue: asyncio.Queue[Any]) -> None:
    state = plan.state()
    name, node = next(plan.supersteps(state))
    update = await node(state)
    await _put(queue, plan.item(name, update, state))


async def _closing(queue: asyncio.Queue[Any], work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    finally:
        await _put(queue, END)


async def _with_driver(queue: asyncio.Queue[Any], work: Coroutine[Any, Any, None], take: Take) -> None:
    driver = asyncio.create_task(_closing(queue, work))
    while True:
        try:
            item = queue.get_nowait()
        except asyncio.QueueEmpty:
            item = await queue.get()
        if item is END:
            break
        take(item)
    await driver


async def _put(queue: asyncio.Queue[Any], item: Any) -> None:
    try:
        queue.put_nowait(item)
    except asyncio.QueueFull:
        await queue.put(item)


async def _burst(queue: asyncio.Queue[Any], items: Iterable[Any], turn: Thunk) -> None:
    for burst in bursts(items):
        for item in burst:
            try:
                queue.put_nowait(item)
            except asyncio.QueueFull:
                await queue.put(item)
        await turn()


async def _paced(queue: asyncio.Queue[Any], items: Iterable[Any], turn: Thunk) -> None:
    for item in items:
        await turn()
        try:
            queue.put_nowait(item)
        except asyncio.QueueFull:
            await queue.put(item)


ENGINE = AsyncioEngine
