"""The floor: a plain async generator, no task, no queue; not the same job, but what Python itself asks.

Each superstep has one suspension, or it could not be cancelled.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from ..backends import Backend
from ..raw import Plan, Take
from ..tempo import Tempo, bursts


class FloorEngine:
    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    async def steps(self, plan: Plan, take: Take) -> None:
        async for item in self._supersteps(plan):
            take(item)

    async def _supersteps(self, plan: Plan) -> AsyncIterator[Any]:
        state = plan.state()
        for name, node in plan.supersteps(state):
            update = await node(state)
            plan.apply(state, update)
            await self.backend.turn()
            yield plan.item(name, update, state)

    async def pour(self, sources: list[Iterable[Any]], tempo: Tempo, take: Take) -> None:
        write = self._burst if tempo == "burst" else self._paced
        for source in sources:  # one after the other: nothing runs at once here
            async for item in write(source):
                take(item)

    async def _burst(self, items: Iterable[Any]) -> AsyncIterator[Any]:
        for burst in bursts(items):
            for item in burst:
                yield item
            await self.backend.turn()

    async def _paced(self, items: Iterable[Any]) -> AsyncIterator[Any]:
        for item in items:
            await self.backend.turn()
            yield item


ENGINE = FloorEngine
