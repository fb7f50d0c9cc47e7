"""A slow reader of events holds back whoever does the work; one that leaves ends it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from penstock.graph import START, MessagesState, StateGraph
from penstock.runnables import RunnableLambda, RunnableParallel
from penstock.runtime import adispatch_custom_event, dispatch_custom_event
from penstock.tools import tool
from penstock.types import Send
from tests.support import Recorder, checkpoints

from ._work import Counter, State, asking, chain_of, forever, lines, read, side_by_side, unfinished

MARK = 8
MANY = 400


# -------------------------------------------------------------------- what produces


def model_alone(model: Counter, **options: Any) -> Any:
    return model.astream_events("hi", **options)


def chain(model: Counter, **options: Any) -> Any:
    return asking(model).astream_events({"x": 1}, **options)


def chain_in_tool(model: Counter, **options: Any) -> Any:
    @tool
    async def outer(x: int) -> str:
        """A tool."""
        return await asking(model).ainvoke({"x": x})

    return outer.astream_events({"x": 1}, **options)


def plain_tool(model: Counter, **options: Any) -> Any:
    @tool
    def outer(x: int) -> str:
        """A tool whose function runs in a thread."""
        return asking(model).invoke({"x": x})

    return outer.astream_events({"x": 1}, **options)


def node(model: Counter, **options: Any) -> Any:
    async def ask(state: State) -> Any:
        return {"log": [(await model.ainvoke("hi")).text]}

    return chain_of(("ask", ask)).astream_events({"log": []}, **options)


def plain_node(model: Counter, **options: Any) -> Any:
    def ask(state: State) -> Any:
        return {"log": [model.invoke("hi").text]}

    return chain_of(("ask", ask)).astream_events({"log": []}, **options)


def three_deep(model: Counter, **options: Any) -> Any:
    async def ask(state: State) -> Any:
        return {"log": [await asking(model).ainvoke({"x": 1})]}

    graph = chain_of(("ask", ask))
    for _ in range(3):
        graph = chain_of(("sub", graph))
    return graph.astream_events({"log": []}, **options)


def branches(model: Counter, **options: Any) -> Any:
    step = asking(model)
    return RunnableParallel(a=step, b=step, c=step).astream_events({"x": 1}, **options)


def graph_in_tool(model: Counter, **options: Any) -> Any:
    async def ask(state: State) -> Any:
        return {"log": [(await model.ainvoke("hi")).text]}

    graph = chain_of(("ask", ask))

    @tool
    async def outer(x: int) -> Any:
        """A tool."""
        return await graph.ainvoke({"log": []})

    return outer.astream_events({"x": 1}, **options)


def batch_in_function(model: Counter, **options: Any) -> Any:
    """Many short calls in tasks of their own, whose starts and ends are all that is told."""

    async def count(number: int) -> int:
        model.said += 1
        return number

    async def work(_: Any) -> Any:
        return await RunnableLambda(count).abatch(range(MANY))

    return RunnableLambda(work).astream_events(1, **options)


def custom_plain(model: Counter, **options: Any) -> Any:
    async def work(state: State) -> None:
        for number in range(MANY):
            model.said += 1
            dispatch_custom_event("tick", number)
            await anyio.lowlevel.checkpoint()

    return chain_of(("work", work)).astream_events({"log": []}, **options)


def custom_awaited(model: Counter, **options: Any) -> Any:
    async def work(_: Any) -> None:
        for number in range(MANY):
            model.said += 1
            await adispatch_custom_event("tick", number)

    return RunnableLambda(work).astream_events(1, **options)


def custom_in_thread(model: Counter, **options: Any) -> Any:
    def work(state: State) -> None:
        for number in range(MANY):
            model.said += 1
            dispatch_custom_event("tick", number)

    return chain_of(("work", work)).astream_events({"log": []}, **options)


def writer(model: Counter, **options: Any) -> Any:
    async def work(state: State, writer: Any) -> None:
        for number in range(MANY):
            model.said += 1
            await writer(number)

    return chain_of(("work", work)).astream_events({"log": []}, **options)


Producer = Callable[..., Any]
PRODUCERS: list[Producer] = [
    *(model_alone, chain, chain_in_tool, plain_tool, node, plain_node, three_deep, branches, graph_in_tool),
    *(batch_in_function, custom_plain, custom_awaited, custom_in_thread, writer),
]
# Parallel branches, or tasks: each may be one ahead besides.
SIDE_BY_SIDE = {branches: 3, batch_in_function: MANY}


def by_name(value: Any) -> str:
    return str(value.__name__)


async def until_still(model: Counter) -> None:
    """Wait until the producer gets no further, however often the others run."""
    before, still = -1, 0
    while still < 3:
        await checkpoints(50)
        await anyio.sleep(0.05)  # threads
        still = still + 1 if model.said == before else 0
        before = model.said


@pytest.mark.parametrize("start", PRODUCERS, ids=by_name)
async def test_a_reader_that_stops_stops_the_work(start: Producer) -> None:
    model = Counter(MANY)
    async with start(model, high_water_mark=MARK) as events:
        async for _ in events:
            break
        await until_still(model)
        assert events.statistics().peak <= 3 * MARK
        if start is not batch_in_function:
            assert model.said <= 3 * (MARK + 1)


@pytest.mark.parametrize("start", PRODUCERS, ids=by_name)
async def test_every_event_arrives_once_the_reader_goes_on(start: Producer) -> None:
    model = Counter(MANY)
    async with start(model, high_water_mark=MARK) as events:
        seen = []
        async for event in events:
            seen.append(event)
            if len(seen) == 1:
                await until_still(model)
    assert model.said == MANY * (3 if start is branches else 1)
    assert unfinished(seen) == set()
    assert events.statistics().buffered == 0
    told = [e for e in seen if e["event"] in ("on_chat_model_stream", "on_custom_event")]
    if start is not batch_in_function:
        assert len(told) >= model.said
    else:
        assert sum(e["event"] == "on_chain_end" and e["name"] == "count" for e in seen) == MANY
    for name in {e["run_id"] for e in told}:
        chunks = [e for e in told if e["run_id"] == name and e["event"] == "on_chat_model_stream"]
        texts = [e["data"]["chunk"].text for e in chunks]
        assert texts == [*(f"{n} " for n in range(MANY)), ""] if texts else True


async def test_a_graph_does_not_run_ahead_of_its_reader() -> None:
    ran = Recorder()

    def noting(name: str) -> Any:
        async def note(state: State) -> Any:
            ran(name)
            return {"log": [name]}

        return note

    graph = chain_of(*((name, noting(name)) for name in "abc"))
    async with graph.astream_events({"log": []}) as events:
        async for event in events:
            if event["event"] == "on_chain_stream" and event["name"] == "LangGraph":
                await checkpoints(100)
                assert ran == ["a"]
                break


async def test_a_failure_ends_the_siblings_at_once_however_slow_the_reader() -> None:
    seen = Recorder()
    model = Counter(MANY)

    async def chatty(state: State) -> None:
        with seen.span("chatty"):
            await model.ainvoke("hi")

    async def fails(state: State) -> None:
        await checkpoints(200)
        seen("failing")
        raise ValueError("broken")

    graph = side_by_side(chatty=chatty, fails=fails)
    rest: list[Any] = []
    async with graph.astream_events({"log": []}, high_water_mark=MARK) as events:
        async for event in events:
            if event["event"] == "on_chat_model_stream":
                break
        await until_still(model)
        await checkpoints(300)
        assert seen == ["chatty started", "failing", "chatty ended: cancelled"]
        with pytest.raises(ValueError, match="broken"):
            async for event in events:
                rest.append(event)
    told = [(e["event"], e["name"]) for e in rest if e["event"].endswith("_error")]
    assert told == [("on_chain_error", "fails"), ("on_chain_error", "LangGraph")]


# -------------------------------------------------------------------- leaving


async def until_it_works(events: Any) -> None:
    """Read until the producer is at its work, and stop."""
    async for event in events:
        if event["event"] in ("on_chat_model_stream", "on_custom_event") or event["name"] == "count":
            return


@pytest.mark.parametrize("start", PRODUCERS, ids=by_name)
async def test_who_leaves_ends_the_work(start: Producer) -> None:
    model = Counter(MANY)
    async with start(model, high_water_mark=MARK) as events:
        await until_it_works(events)
    said = model.said
    await until_still(model)
    assert model.said == said
    if start not in (batch_in_function, custom_plain, custom_awaited, custom_in_thread, writer):
        assert model.closed == model.opened >= 1


@pytest.mark.parametrize("start", [model_alone, chain, chain_in_tool, node, three_deep, branches], ids=by_name)
async def test_a_stream_that_is_dropped_ends_the_work(start: Producer) -> None:
    model = Counter(MANY, pause=0.01)
    with pytest.warns(ResourceWarning, match="a stream was dropped while"):
        events = start(model)
        await until_it_works(events)
        del events
        gc.collect()
    await until_still(model)
    assert model.said < MANY


@pytest.mark.parametrize("start", [model_alone, chain, chain_in_tool, plain_tool, node, three_deep], ids=by_name)
async def test_a_cancelled_reader_waits_for_the_end(start: Producer) -> None:
    model = Counter(MANY, pause=0.01)
    with anyio.move_on_after(0.2) as scope:
        await read(start(model))
    assert scope.cancelled_caught
    assert model.closed == 1
    assert model.said < MANY


async def test_a_run_that_was_left_is_not_told_as_failed() -> None:
    class Log(list[str]):
        pass

    seen = Recorder()

    @tool
    async def waits(x: int) -> None:
        """Wait."""
        with seen.span("tool"):
            await forever()

    async with waits.astream_events({"x": 1}) as events:
        first = await anext(events)
    assert first["event"] == "on_tool_start"
    assert seen == ["tool started", "tool ended: cancelled"] or seen == []
    assert [e async for e in events] == []


async def test_events_are_those_of_this_call_only() -> None:
    """Two runs at the same time do not mix."""

    async def watch(text: str) -> list[Any]:
        model = Counter(5, pause=0.01)
        return await read(asking(model).with_config(run_name=text).astream_events({"x": text}))

    found: dict[str, list[Any]] = {}

    async def keep(text: str) -> None:
        found[text] = await watch(text)

    async with anyio.create_task_group() as group:
        for text in "abc":
            group.start_soon(keep, text)
    for text, events in found.items():
        assert lines(events)[0] == f"chain_start {text}"
        assert all(e["parent_ids"][:1] in ([], [events[0]["run_id"]]) for e in events)
        assert unfinished(events) == set()


async def test_events_of_events() -> None:
    """A node that watches a tool itself, inside of a run that is watched: each reader sees its own."""
    inner: list[Any] = []

    @tool
    async def shout(text: str) -> str:
        """Shout."""
        return text.upper()

    async def work(state: State) -> Any:
        inner.extend(await read(shout.astream_events({"text": "a"})))
        return {"log": ["done"]}

    outer = await read(chain_of(("work", work)).astream_events({"log": []}))
    assert lines(inner) == ["tool_start shout", "tool_end shout"]
    assert [line for line in lines(outer) if "tool" in line] == [
        "tool_start LangGraph/work/shout",
        "tool_end LangGraph/work/shout",
    ]
    assert inner[0]["parent_ids"] == []


async def test_many_events_keep_nothing() -> None:
    """What is told of a call that is over is kept nowhere."""
    kept: list[int] = []

    async def work(_: Any) -> None:
        for _ in range(20):
            await RunnableLambda(str).ainvoke(1)

    step = RunnableLambda(work)
    async for _ in step.astream_events(1):
        pass
    for _ in range(3):
        gc.collect()
        before = len(gc.get_objects())
        async for _event in step.astream_events(1):
            pass
        del _event
        gc.collect()
        kept.append(len(gc.get_objects()) - before)
    assert min(kept) <= 0


async def test_sends_are_told_apart() -> None:
    async def split(state: State) -> Any:
        return {"log": []}

    async def job(number: int) -> Any:
        return {"log": [number]}

    builder = StateGraph(State).add_node("split", split).add_node("job", job).add_edge(START, "split")
    graph = builder.add_conditional_edges("split", lambda _: [Send("job", n) for n in range(3)], ["job"]).compile()
    events = await read(graph.astream_events({"log": []}, include_names=["job"]))
    ended = [e for e in events if e["event"] == "on_chain_end"]
    assert sorted(e["data"]["input"] for e in ended) == [0, 1, 2]
    assert len({e["run_id"] for e in ended}) == 3


async def test_messages_state_is_shown_fresh() -> None:
    async def answer(state: MessagesState) -> Any:
        return {"messages": ["hello"]}

    graph = StateGraph(MessagesState).add_node(answer).add_edge(START, "answer").compile()
    async for event in graph.astream_events({"messages": ["hi"]}):
        for value in (event["data"].get("input"), event["data"].get("output")):
            if isinstance(value, dict):
                value.clear()  # the reader's own
    assert event["event"] == "on_chain_end"
    assert (await graph.ainvoke({"messages": ["hi"]}))["messages"][1].content == "hello"
