"""Raw trio: one nursery per superstep, one bounded memory channel to the consumer."""

# flake8: noqa: ASYNC112
# a task group for one task is the job here, not an oversight

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import trio

from ..backends import Backend, Thunk
from ..measure import Meter
from ..raw import MARK, Node, Plan, Reader, State, Take
from ..tempo import Tempo, bursts


class TrioEngine:
    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    async def steps(self, plan: Plan, take: Take) -> None:
        await self._supersteps(plan, take, _in_task)

    async def threads(self, plan: Plan, take: Take) -> None:
        await self._supersteps(plan, take, trio.to_thread.run_sync)

    async def _supersteps(self, plan: Plan, take: Take, call: Any) -> None:
        send, receive = trio.open_memory_channel[Any](0)
        async with trio.open_nursery() as run:
            run.start_soon(_drive, plan, send, call)
            await _consume(receive, take)

    async def fanout(self, nodes: list[Callable[[], Awaitable[Any]]], take: Take) -> None:
        send, receive = trio.open_memory_channel[Any](MARK)

        async def one(node: Callable[[], Awaitable[Any]]) -> None:
            await _put(send, await node())

        async def superstep() -> None:
            with send:
                async with trio.open_nursery() as group:
                    for node in nodes:
                        group.start_soon(one, node)

        async with trio.open_nursery() as run:
            run.start_soon(superstep)
            await _consume(receive, take)

    async def pour(self, sources: list[Iterable[Any]], tempo: Tempo, take: Take) -> None:
        send, receive = trio.open_memory_channel[Any](MARK)
        write = _burst if tempo == "burst" else _paced
        async with trio.open_nursery() as run:
            with send:
                for source in sources:
                    run.start_soon(write, send.clone(), source, self.backend.turn)
            await _consume(receive, take)

    async def relay(self, stages: list[Iterable[Any]], take: Take) -> None:
        send, receive = trio.open_memory_channel[Any](MARK)

        async def supersteps() -> None:
            with send:
                for stage in stages:
                    async with trio.open_nursery() as group:
                        group.start_soon(_paced, send.clone(), stage, self.backend.turn)

        async with trio.open_nursery() as run:
            run.start_soon(supersteps)
            await _consume(receive, take)

    async def first(self, plan: Plan, meter: Meter) -> None:
        meter.start()
        send, receive = trio.open_memory_channel[Any](0)
        with send, receive:
            async with trio.open_nursery() as run:
                run.start_soon(_first, plan, send)
                item = await receive.receive()
                meter.stop()
                meter.take(item)

    async def leave(self, nodes: int, ended: Callable[[], None], meter: Meter) -> None:
        send, receive = trio.open_memory_channel[Any](MARK)

        async def sleeper(index: int) -> None:
            try:
                await _put(send, index)
                await self.backend.forever()
            finally:
                ended()

        with send, receive:
            async with trio.open_nursery() as run:
                for index in range(nodes):
                    run.start_soon(sleeper, index)
                for _ in range(nodes):
                    meter.take(await receive.receive())
                meter.start()
                run.cancel_scope.cancel()
            meter.stop()

    async def read(self, source: Iterable[Any], reader: Reader) -> None:
        send, receive = trio.open_memory_channel[Any](MARK)
        async with trio.open_nursery() as run:
            run.start_soon(_paced, send, source, self.backend.turn)
            with receive:
                await reader(receive)


async def _in_task(node: Node, state: State) -> Any:
    result = []

    async def task() -> None:
        result.append(await node(state))

    async with trio.open_nursery() as group:
        group.start_soon(task)
    return result[0]


async def _drive(plan: Plan, send: Any, call: Any) -> None:
    state = plan.state()
    with send:
        for name, node in plan.supersteps(state):
            update = await call(node, state)
            plan.apply(state, update)
            await send.send(plan.item(name, update, state))  # handed over before the next superstep


async def _first(plan: Plan, send: Any) -> None:
    state = plan.state()
    name, node = next(plan.supersteps(state))
    update = await node(state)
    await send.send(plan.item(name, update, state))


async def _put(send: Any, item: Any) -> None:
    try:
        send.send_nowait(item)
    except trio.WouldBlock:
        await send.send(item)


async def _burst(send: Any, items: Iterable[Any], turn: Thunk) -> None:
    with send:
        for burst in bursts(items):
            for item in burst:
                try:
                    send.send_nowait(item)
                except trio.WouldBlock:
                    await send.send(item)
            await turn()


async def _paced(send: Any, items: Iterable[Any], turn: Thunk) -> None:
    with send:
        for item in items:
            await turn()
            try:
                send.send_nowait(item)
            except trio.WouldBlock:
                await send.send(item)


async def _consume(receive: Any, take: Take) -> None:
    with receive:
        while True:
            try:
                item = receive.receive_nowait()
            except trio.WouldBlock:
                try:
                    item = await receive.receive()
                except trio.EndOfChannel:
                    return
            except trio.EndOfChannel:
                return
            take(item)


ENGINE = TrioEngine
