"""pydantic-graph: graphs of steps, consumed step by step through ``Graph.iter``.

It has no stream that nodes write to, hence no token workloads.
"""

# flake8: noqa: ASYNC124
# trivial nodes have nothing to await: what they cost is the question

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_graph import (
    BaseNode,
    End,
    EndMarker,
    GraphBuilder,
    GraphRunContext,
    StepContext,
    reduce_list_append,
)

from ..backends import Backend
from ..measure import Meter
from ..model import Program, Size
from ..workloads.cancel import Ended


def chain(size: Size, backend: Backend) -> Program:
    builder = GraphBuilder(input_type=int, output_type=int, auto_instrument=False)

    async def increment(ctx: StepContext[None, None, int]) -> int:
        return ctx.inputs + 1

    previous: Any = builder.start_node
    for index in range(size["nodes"]):
        step = builder.step(increment, node_id=f"n{index}")
        builder.add(builder.edge_from(previous).to(step))
        previous = step
    builder.add(builder.edge_from(previous).to(builder.end_node))
    graph = builder.build()

    async def run(meter: Meter) -> None:
        take = meter.take
        async with graph.iter(inputs=0) as steps:
            await anext(steps)  # the start node: nothing of the user's has run yet
            async for tasks in steps:
                if isinstance(tasks, EndMarker):
                    break  # the end node has run
                take(tasks)

    def read(tasks: Any) -> tuple[str, int]:
        # a step is seen by what it hands to the next
        [task] = tasks
        return f"n{task.inputs - 1}", task.inputs

    return Program(run, read)


@dataclass
class Count:
    value: int
    last: int


@dataclass
class Tick(BaseNode[Count, None, int]):
    value: int

    async def run(self, ctx: GraphRunContext[Count, None]) -> Tick | End[int]:
        value = self.value + 1
        return Tick(value) if value < ctx.state.last else End(value)


def loop(size: Size, backend: Backend) -> Program:
    builder = GraphBuilder(state_type=Count, input_type=Tick, output_type=int, auto_instrument=False)
    builder.add(builder.node(Tick), builder.edge_from(builder.start_node).to(Tick))
    graph = builder.build()

    async def run(meter: Meter) -> None:
        take = meter.take
        async with graph.iter(state=Count(0, size["steps"]), inputs=Tick(0)) as steps:
            await anext(steps)
            async for tasks in steps:
                take(tasks)

    def read(tasks: Any) -> tuple[str, int]:
        # a node that ends the run needs no end node
        return "tick", tasks.value if isinstance(tasks, EndMarker) else tasks[0].inputs.value

    return Program(run, read)


def _mapped(nodes: int, work: Any) -> Any:
    """One step per number, all at once, joined into a list."""
    builder = GraphBuilder(output_type=list[int], auto_instrument=False)

    async def share(ctx: StepContext[None, None, None]) -> list[int]:
        return list(range(nodes))

    planner = builder.step(share, node_id="share")
    worker = builder.step(work, node_id="work")
    join = builder.join(reduce_list_append, initial_factory=list[int], node_id="join")
    builder.add(
        builder.edge_from(builder.start_node).to(planner),
        builder.edge_from(planner).map().to(worker),
        builder.edge_from(worker).to(join),
        builder.edge_from(join).to(builder.end_node),
    )
    return builder.build()


def fanout(size: Size, backend: Backend) -> Program:
    async def work(ctx: StepContext[None, None, int]) -> int:
        return ctx.inputs

    graph = _mapped(size["nodes"], work)

    async def run(meter: Meter) -> None:
        take = meter.take
        async with graph.iter() as steps:
            async for tasks in steps:
                if not isinstance(tasks, EndMarker) and tasks[0].node_id == "join":
                    take(tasks)

    return Program(run, lambda tasks: tasks[0].inputs)


def cancel(size: Size, backend: Backend) -> Program:
    nodes = size["nodes"]

    async def run(meter: Meter) -> None:
        for _ in range(size["cancels"]):
            ended = Ended()

            async def work(ctx: StepContext[None, None, int], ended: Ended = ended) -> int:
                if ctx.inputs == nodes:
                    return ctx.inputs  # one more that does not sleep, or the run would never come back to us
                try:
                    meter.take(ctx.inputs)
                    await backend.forever()
                    return ctx.inputs
                finally:
                    ended()

            async with _mapped(nodes + 1, work).iter() as steps:
                async for tasks in steps:
                    if not isinstance(tasks, EndMarker) and tasks[0].node_id == "join":
                        break
                meter.start()
            meter.stop()
            ended.check(nodes)

    return Program(run)


PROGRAMS = {"chain": chain, "loop": loop, "fanout": fanout, "cancel": cancel}
