"""llama-index-workflows: steps joined by the types of their events; chunks are events, too."""

# flake8: noqa: ASYNC124
# trivial nodes have nothing to await: what they cost is the question

# no postponed annotations here: the library reads each step's event types from its signature

from collections.abc import Iterable
from functools import partial
from typing import Any

from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StopEvent

from ..backends import Backend
from ..measure import Meter
from ..model import Program, Size
from ..tempo import Tempo, write_all
from ..workloads import concurrent as concurrent_runs
from ..workloads import tokens
from ..workloads.cancel import Ended


class Update(Event):
    node: str
    value: int


class Chunk(Event):
    item: Any


async def _consume(workflow: Workflow, meter: Meter, kind: type[Event], **start: Any) -> None:
    take = meter.take
    handler = workflow.run(**start)
    async for event in handler.stream_events():
        if type(event) is kind:  # the stop event comes last
            take(event)
    await handler


def _read_update(event: Any) -> tuple[str, int]:
    return event.node, event.value


def _read_chunk(event: Any) -> Any:
    return event.item


def _chain_step(index: int, takes: type[Event], gives: type[Event]) -> Any:
    async def body(self: Any, ctx: Context, ev: takes) -> gives:  # type: ignore[valid-type]
        value = index + 1 if index == 0 else ev.value + 1  # type: ignore[attr-defined]
        ctx.write_event_to_stream(Update(node=f"n{index}", value=value))
        return gives(result=value) if gives is StopEvent else gives(value=value)

    body.__name__ = f"n{index}"
    body.__qualname__ = f"Chain.n{index}"  # a name without a dot would be taken for a function outside a workflow
    return step(body)


def _chain(nodes: int) -> Workflow:
    handovers = [type(f"Handover{index}", (Event,), {"__annotations__": {"value": int}}) for index in range(1, nodes)]
    events: list[Any] = [StartEvent, *handovers, StopEvent]
    steps = {f"n{index}": _chain_step(index, events[index], events[index + 1]) for index in range(nodes)}
    made: Workflow = type(f"Chain{nodes}", (Workflow,), steps)(timeout=None)
    return made


def chain(size: Size, backend: Backend) -> Program:
    workflow = _chain(size["nodes"])
    return Program(lambda meter: _consume(workflow, meter, Update), _read_update)


class Tick(Event):
    value: int


class Looping(Workflow):
    def __init__(self, last: int) -> None:
        super().__init__(timeout=None)
        self.last = last

    @step
    async def begin(self, ev: StartEvent) -> Tick:
        return Tick(value=0)

    @step
    async def tick(self, ctx: Context, ev: Tick) -> Tick | StopEvent:
        value = ev.value + 1
        ctx.write_event_to_stream(Update(node="tick", value=value))
        return Tick(value=value) if value < self.last else StopEvent(result=value)


def loop(size: Size, backend: Backend) -> Program:
    workflow = Looping(size["steps"])
    return Program(lambda meter: _consume(workflow, meter, Update), _read_update)


class Share(Event):
    index: int


class Done(Event):
    index: int


def _spreading(count: int, work: Any) -> Workflow:
    """``count`` shares worked on at once, then collected."""

    class Spreading(Workflow):
        @step
        async def share(self, ctx: Context, ev: StartEvent) -> Share | None:
            for index in range(count):
                ctx.send_event(Share(index=index))
            return None

        @step(num_workers=count)
        async def work(self, ctx: Context, ev: Share) -> Done:
            await work(ctx, ev.index)
            return Done(index=ev.index)

        @step
        async def collect(self, ctx: Context, ev: Done) -> StopEvent | None:
            done = ctx.collect_events(ev, [Done] * count)
            return StopEvent(result=len(done)) if done else None

    return Spreading(timeout=None)


def fanout(size: Size, backend: Backend) -> Program:
    async def work(ctx: Context, index: int) -> None:
        ctx.write_event_to_stream(Update(node="work", value=index))

    workflow = _spreading(size["nodes"], work)
    return Program(lambda meter: _consume(workflow, meter, Update), lambda event: event.value)


async def _write(ctx: Context, items: Iterable[Any], tempo: Tempo, backend: Backend) -> None:
    def write(item: Any) -> None:
        ctx.write_event_to_stream(Chunk(item=item))

    await write_all(write, items, tempo, backend.turn)


def _speaking(items: Any, size: Size, tempo: Tempo, backend: Backend) -> Workflow:
    class Speaking(Workflow):
        @step
        async def speak(self, ctx: Context, ev: StartEvent) -> StopEvent:
            await _write(ctx, items(size), tempo, backend)
            return StopEvent()

    return Speaking(timeout=None)


def speaker(size: Size, backend: Backend, items: Any, tempo: Tempo) -> Program:
    workflow = _speaking(items, size, tempo, backend)
    return Program(lambda meter: _consume(workflow, meter, Chunk), _read_chunk)


def choir(size: Size, backend: Backend, tempo: Tempo) -> Program:
    async def work(ctx: Context, producer: int) -> None:
        await _write(ctx, tokens.of_producer(producer, size), tempo, backend)

    workflow = _spreading(tokens.PRODUCERS, work)
    return Program(lambda meter: _consume(workflow, meter, Chunk), _read_chunk)


def first_chunk(size: Size, backend: Backend) -> Program:
    workflow = _chain(size["nodes"])

    async def run(meter: Meter) -> None:
        for _ in range(size["calls"]):
            meter.start()
            handler = workflow.run()
            events = handler.stream_events()
            event = await anext(events)
            meter.stop()
            meter.take(event)
            await events.aclose()
            await handler.cancel_run()

    return Program(run, _read_update)


class Before(Event):
    run: int


class After(Event):
    run: int


def concurrent(size: Size, backend: Backend) -> Program:
    class ThreeSteps(Workflow):
        @step
        async def before(self, ev: StartEvent) -> Before:
            return Before(run=ev.run)

        @step
        async def speak(self, ctx: Context, ev: Before) -> After:
            await _write(ctx, concurrent_runs.items(ev.run), "paced", backend)
            return After(run=ev.run)

        @step
        async def after(self, ev: After) -> StopEvent:
            return StopEvent()

    workflow = ThreeSteps(timeout=None)

    async def one(run: int, meter: Meter) -> None:
        await _consume(workflow, meter, Chunk, run=run)

    made = concurrent_runs.all_at_once(size, one, backend)
    return Program(made.run, _read_chunk)


def cancel(size: Size, backend: Backend) -> Program:
    async def run(meter: Meter) -> None:
        for _ in range(size["cancels"]):
            ended = Ended()

            async def work(ctx: Context, index: int, ended: Ended = ended) -> None:
                try:
                    ctx.write_event_to_stream(Chunk(item=index))
                    await backend.forever()
                finally:
                    ended()

            handler = _spreading(size["nodes"], work).run()
            events = handler.stream_events()
            for _ in range(size["nodes"]):
                meter.take(await anext(events))
            meter.start()
            await events.aclose()
            await handler.cancel_run()
            meter.stop()
            ended.check(size["nodes"])

    return Program(run, _read_chunk)


PROGRAMS: dict[str, Any] = {
    "chain": chain,
    "loop": loop,
    "fanout": fanout,
    "burst": partial(speaker, items=tokens.plain, tempo="burst"),
    "burst-producers": partial(choir, tempo="burst"),
    "paced": partial(speaker, items=tokens.plain, tempo="paced"),
    "paced-producers": partial(choir, tempo="paced"),
    "tuples": partial(speaker, items=tokens.with_metadata, tempo="burst"),
    "first-chunk": first_chunk,
    "concurrent": concurrent,
    "concurrent-memory": concurrent,
    "cancel": cancel,
}
