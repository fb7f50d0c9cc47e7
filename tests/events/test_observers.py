"""Observers hear of everything they want to, change nothing, and cost nothing where there are none."""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest

from penstock.graph import START, StateGraph
from penstock.runnables import RunnableLambda
from penstock.runtime import SPAN_KINDS, Observer, Span, current_span, observe
from penstock.runtime import _observer as observer_module
from penstock.testing import ScriptedChatModel
from penstock.tools import tool
from penstock.types import RetryPolicy
from tests.support import ExpectedNoise, collect

from ._work import Counter, State, asking, chain_of, forever, read, side_by_side


class Log(Observer):
    """Notes what it hears, and what is still open."""

    def __init__(self, kinds: Any = None) -> None:
        self.lines: list[str] = []
        self.open: set[Span] = set()
        self.seen: list[Span] = []
        if kinds is not None:
            self.kinds = kinds

    def path(self, span: Span) -> str:
        around = [parent.name for parent in span.ancestors(self)]
        return "/".join([*around[::-1], span.name])

    def started(self, span: Span) -> None:
        self.lines.append(f"{span.kind} {self.path(span)}")
        self.seen.append(span)
        self.open.add(span)

    def ended(self, span: Span, output: Any) -> None:
        self.lines.append(f"end {span.name}")
        self.open.remove(span)

    def failed(self, span: Span, error: BaseException) -> None:
        self.lines.append(f"{'cancelled' if span.cancelled else 'failed'} {span.name}")
        self.open.remove(span)


class Tokens(Log):
    def streamed(self, span: Span, chunk: Any) -> None:
        self.lines.append(f"chunk {span.name}")

    def custom(self, span: Span, name: str, data: Any) -> None:
        self.lines.append(f"custom {span.name} {name} {data!r}")


@tool
async def ask(x: int) -> str:
    """Ask a model."""
    return await asking(Counter(1)).ainvoke({"x": x})


def nested() -> Any:
    async def node(state: State) -> Any:
        return {"log": [await ask.ainvoke({"x": 1})]}

    return chain_of(("node", node), name="outer")


WHOLE = [
    "graph outer",
    "attempt outer/node",
    "tool outer/node/ask",
    "chain outer/node/ask/RunnableSequence",
    "prompt outer/node/ask/RunnableSequence/ChatPromptTemplate",
    "end ChatPromptTemplate",
    "chat_model outer/node/ask/RunnableSequence/Counter",
    "end Counter",
    "parser outer/node/ask/RunnableSequence/StrOutputParser",
    "end StrOutputParser",
    "end RunnableSequence",
    "end ask",
    "end node",
    "end outer",
]


async def test_an_observer_hears_of_everything() -> None:
    log = Log()
    result = await nested().ainvoke({"log": []}, {"callbacks": [log]})
    assert log.lines == WHOLE
    assert result == await nested().ainvoke({"log": []})
    model = next(s for s in log.seen if s.kind == "chat_model")
    assert model.input[0].text == "say 1"
    assert model.metadata["ls_model_name"] == "Counter"
    tool_span = next(s for s in log.seen if s.kind == "tool")
    assert (tool_span.input, tool_span.details["description"]) == ({"x": 1}, "Ask a model.")


async def test_the_same_by_observe_streamed_and_from_a_thread() -> None:
    for way in ("astream", "invoke", "stream", "events"):
        log = Log()
        with observe(log):
            if way == "astream":
                await collect(nested().astream({"log": []}))
            elif way == "events":
                await read(nested().astream_events({"log": []}))
            elif way == "invoke":
                await anyio.to_thread.run_sync(lambda: nested().invoke({"log": []}))
            else:
                await anyio.to_thread.run_sync(lambda: list(nested().stream({"log": []})))
        assert log.lines == WHOLE, way
        assert current_span() is None


async def test_supersteps_tasks_and_attempts_for_who_wants_them() -> None:
    tries: list[int] = []

    async def shaky(state: State) -> Any:
        tries.append(1)
        if len(tries) < 2:
            raise ConnectionError("lost")
        return {"log": [1]}

    log = Log(SPAN_KINDS)
    policy = RetryPolicy(initial_interval=0, jitter=False)
    await chain_of(("shaky", shaky), name="g", retry_policy=policy).ainvoke({"log": []}, {"callbacks": log})
    assert log.lines == [
        "graph g",
        "superstep g/superstep 1",
        "task g/superstep 1/shaky",
        "attempt g/superstep 1/shaky/shaky",
        "failed shaky",
        "attempt g/superstep 1/shaky/shaky",
        "end shaky",
        "end shaky",
        "end superstep 1",
        "end g",
    ]
    attempts = [s.details["attempt"] for s in log.seen if s.kind == "attempt"]
    assert attempts == [1, 2]
    assert next(s for s in log.seen if s.kind == "superstep").details == {"step": 1}

    only = Log(frozenset({"attempt"}))
    await nested().ainvoke({"log": []}, {"callbacks": [only]})
    assert only.lines == ["attempt node", "end node"]


async def test_chunks_are_told_only_to_who_listens_to_them() -> None:
    silent, tokens, model = Log(), Tokens(), Counter(2)

    async def node(state: State, writer: Any) -> Any:
        writer("w")
        return {"log": [(await model.ainvoke("hi")).text]}

    graph = chain_of(("node", node), name="g")
    await graph.ainvoke({"log": []}, {"callbacks": [silent]})
    assert model.whole == 1  # nobody wants its tokens
    await graph.ainvoke({"log": []}, {"callbacks": [silent, tokens]})
    assert model.whole == 1
    assert [line for line in tokens.lines if line.startswith(("chunk", "custom"))] == [
        "custom node custom 'w'",
        *["chunk Counter"] * 3,
        "chunk node",
        "chunk g",
    ]


async def test_nothing_is_left_open_however_a_run_ends() -> None:
    async def waits(state: State) -> None:
        await asking(Counter(3, pause=1.0)).ainvoke({"x": 1})

    graph = chain_of(("sub", chain_of(("waits", waits))))
    for leave in ("break", "cancel", "timeout", "abandon"):
        log = Log(SPAN_KINDS)
        config = {"callbacks": [log]}
        if leave == "break":
            async with graph.astream_events({"log": []}, config) as events:
                async for event in events:
                    if event["event"] == "on_chat_model_start":
                        break
        elif leave == "cancel":
            async with graph.astream({"log": []}, config, stream_mode="tasks") as run:
                await anext(run)
                run.cancel()
        elif leave == "timeout":
            with anyio.move_on_after(0.1):
                await graph.ainvoke({"log": []}, config)
        else:
            run = graph.astream({"log": []}, config, stream_mode="tasks")
            await anext(run)
            await run.aclose()
            del run
        assert log.seen
        assert log.open == set(), leave
        assert {line.split()[0] for line in log.lines} & {"failed"} == set()


async def test_a_failure_is_told_once_at_every_level() -> None:
    async def fails(state: State) -> None:
        await asking(Counter(1, error=ValueError("broken"))).ainvoke({"x": 1})

    async def sibling(state: State) -> None:
        await forever()

    log = Log(SPAN_KINDS)
    with pytest.raises(ValueError, match="broken"):
        await side_by_side(fails=fails, sibling=sibling).ainvoke({"log": []}, {"callbacks": [log]})
    assert log.open == set()
    told = [line for line in log.lines if line.startswith("failed")]
    assert told[:4] == ["failed Counter", "failed RunnableSequence", "failed fails", "failed fails"]
    assert told[4:] == ["failed superstep 1", "failed LangGraph"]
    assert {line for line in log.lines if line.startswith("cancelled")} <= {"cancelled sibling"}


async def test_one_that_raises_disturbs_nobody(expected_noise: ExpectedNoise) -> None:
    class Bad(Observer):
        def started(self, span: Span) -> None:
            raise RuntimeError("bad observer")

        ended = failed = streamed = custom = wants_chunks = started  # type: ignore[assignment]

        def within(self, span: Span) -> Any:
            raise RuntimeError("bad observer")

    expected_noise.log("an observer failed")
    good = Log()
    assert await nested().ainvoke({"log": []}, {"callbacks": [Bad(), good]}) == {"log": ["0 "]}
    assert good.lines == WHOLE


async def test_one_whose_block_fails_disturbs_nobody(expected_noise: ExpectedNoise) -> None:
    @contextlib.contextmanager
    def broken(entering: bool) -> Iterator[None]:
        if entering:
            raise RuntimeError("bad observer")
        yield
        raise RuntimeError("bad observer")

    class Bad(Observer):
        def __init__(self, entering: bool) -> None:
            self.entering = entering

        def within(self, span: Span) -> Any:
            return broken(self.entering)

    expected_noise.log("an observer failed")
    for entering in (True, False):
        assert await nested().ainvoke({"log": []}, {"callbacks": [Bad(entering)]}) == {"log": ["0 "]}


async def test_one_that_is_slow_is_named(
    caplog: pytest.LogCaptureFixture, expected_noise: ExpectedNoise, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(observer_module, "perf_counter", lambda: clock[0])

    class Slow(Observer):
        def started(self, span: Span) -> None:
            clock[0] += 0.5

    expected_noise.log("an observer took")
    with caplog.at_level(logging.WARNING, "penstock"):
        await nested().ainvoke({"log": []}, {"callbacks": [Slow()]})
    named = [record.getMessage() for record in caplog.records if "observer took" in record.getMessage()]
    assert len(named) == 6 or len(named) == 1
    assert "0.5 s in started()" in named[0]


async def test_async_methods_are_refused() -> None:
    class Wrong(Observer):
        async def started(self, span: Span) -> None: ...

    with pytest.raises(TypeError, match=r"Wrong.started\(\) is async, but a run does not wait for its observers"):
        await nested().ainvoke({"log": []}, {"callbacks": [Wrong()]})
    with pytest.raises(TypeError, match="is async"):
        with observe(Wrong()):
            pass


@pytest.mark.parametrize("wrong", [5, "log", [object()], {"a": 1}])
async def test_what_cannot_observe_is_refused_at_the_call(wrong: Any) -> None:
    config = {"callbacks": wrong}
    model = ScriptedChatModel(["a"])
    for call in (
        lambda: nested().ainvoke({"log": []}, config),
        lambda: ask.ainvoke({"x": 1}, config),
        lambda: asking(model).ainvoke({"x": 1}, config),
        lambda: model.ainvoke("hi", config),
    ):
        with pytest.raises(TypeError, match="expected observers"):
            await call()


current: contextvars.ContextVar[str] = contextvars.ContextVar("current", default="nothing")


class Within(Observer):
    """Sets a context variable around the code of each span."""

    def within(self, span: Span) -> Any:
        return self._set(span.name)

    @contextlib.contextmanager
    def _set(self, name: str) -> Iterator[None]:
        token = current.set(name)
        try:
            yield
        finally:
            current.reset(token)


async def test_what_an_observer_has_around_the_code() -> None:
    seen: dict[str, str] = {}

    @tool
    def sync_tool(x: int) -> int:
        """Look, in a thread."""
        seen["sync tool"] = current.get()
        return x

    async def function(x: Any) -> Any:
        seen["function"] = current.get()
        return x

    def thread(state: State) -> None:
        seen["thread"] = current.get()

    async def node(state: State) -> Any:
        seen["node"] = current.get()
        await sync_tool.ainvoke({"x": 1})
        await (RunnableLambda(function) | function).ainvoke(1)
        async with anyio.create_task_group() as group:
            group.start_soon(child)
        seen["node again"] = current.get()

    async def child() -> None:
        seen["child"] = current.get()

    def route(state: State) -> str:
        seen["route"] = current.get()
        return "thread"

    builder = StateGraph(State).add_node(node).add_node(thread).add_edge(START, "node")
    graph = builder.add_conditional_edges("node", route, ["thread"]).compile(name="g")
    async with graph.astream_events({"log": []}, {"callbacks": [Within()]}) as events:
        await read(events)
    assert seen == {
        "node": "node",
        "sync tool": "sync_tool",
        "function": "function",
        "child": "node",
        "node again": "node",
        "route": seen["route"],
        "thread": "thread",
    }
    assert current.get() == "nothing"


async def test_current_span() -> None:
    found: list[Any] = []

    async def node(state: State) -> None:
        span = current_span()
        found.append(None if span is None else span.name)

    graph = chain_of(("node", node))
    await graph.ainvoke({"log": []})
    await graph.ainvoke({"log": []}, {"callbacks": [Log()]})
    assert found == [None, "node"]
    assert current_span() is None


async def test_an_observer_attached_below_hears_of_what_is_below() -> None:
    outer, inner = Log(), Log()

    async def node(state: State) -> Any:
        return {"log": [await ask.ainvoke({"x": 1}, {"callbacks": [inner]})]}

    await chain_of(("node", node), name="outer").ainvoke({"log": []}, {"callbacks": [outer]})
    assert outer.lines == WHOLE
    assert inner.lines[:2] == ["tool ask", "chain ask/RunnableSequence"]


async def test_one_that_is_attached_twice_hears_once() -> None:
    log = Log()
    with observe(log), observe(log):
        await nested().ainvoke({"log": []}, {"callbacks": [log]})
    assert log.lines == WHOLE


async def test_notes_are_the_observers_own() -> None:
    class Timer(Observer):
        def __init__(self) -> None:
            self.took: list[str] = []

        def started(self, span: Span) -> None:
            span.notes[self] = span.name

        def ended(self, span: Span, output: Any) -> None:
            self.took.append(span.notes[self])

    first, second = Timer(), Timer()
    await nested().ainvoke({"log": []}, {"callbacks": [first, second]})
    assert first.took == second.took
    assert len(first.took) == 7


async def test_without_observers_no_span_is_ever_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    original = Span.__init__

    def counting(self: Span, *args: Any, **kwargs: Any) -> None:
        made.append(args)
        original(self, *args, **kwargs)

    monkeypatch.setattr(Span, "__init__", counting)
    await nested().ainvoke({"log": []})
    await collect(nested().astream({"log": []}, stream_mode=["updates", "messages", "custom"]))
    assert made == []
    await nested().ainvoke({"log": []}, {"callbacks": [Log()]})
    assert len(made) == 7
