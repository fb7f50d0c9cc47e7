"""Runs as OpenTelemetry traces, recorded by the real SDK. Every test checks that what was started was ended, once."""

from __future__ import annotations

import gc
import json
import logging
import operator
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextvars import Context, copy_context
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import Annotated, Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest
from typing_extensions import TypedDict

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from penstock.errors import MissingExtraError, NodeTimeoutError
from penstock.graph import END, START, MessagesState, StateGraph
from penstock.integrations.opentelemetry import OpenTelemetryObserver
from penstock.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from penstock.models import ChatModel, stream_tokens
from penstock.prebuilt import ToolNode, create_react_agent
from penstock.runnables import ChatPromptTemplate, RunnableLambda, StrOutputParser
from penstock.runtime import (
    SPAN_KINDS,
    ModelCall,
    Observer,
    Span,
    adispatch_custom_event,
    dispatch_custom_event,
    observe,
)
from penstock.testing import ScriptedChatModel
from penstock.tools import tool
from penstock.types import RetryPolicy, Send
from tests.support import ExpectedNoise, checkpoints, collect, shortly

SECRET = "s3cret"


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


class Traces(SpanProcessor):
    """A tracer provider, and what it has recorded."""

    def __init__(self, **settings: Any) -> None:
        self.provider = TracerProvider(**settings)
        self.exporter = InMemorySpanExporter()
        self.provider.add_span_processor(self)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("the program's own")
        self.starts: Counter[int] = Counter()
        self.ends: Counter[int] = Counter()

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.starts[span.get_span_context().span_id] += 1

    def on_end(self, span: ReadableSpan) -> None:
        assert span.context is not None
        self.ends[span.context.span_id] += 1

    def observer(self, **settings: Any) -> OpenTelemetryObserver:
        """An observer that tells this provider."""
        return OpenTelemetryObserver(self.provider, **settings)

    def config(self, **settings: Any) -> Any:
        """The config of a run that is to be observed."""
        return {"callbacks": [self.observer(**settings)]}

    def check(self) -> None:
        """Every span that was started has been ended, exactly once."""
        assert self.starts == self.ends
        assert set(self.ends.values()) <= {1}

    @property
    def spans(self) -> list[ReadableSpan]:
        """Those that have ended, in the order of their starts."""
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def __getitem__(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def attributes(self, name: str) -> dict[str, Any]:
        return dict(self[name].attributes or {})

    def tree(self) -> list[Any]:
        """The names of the spans: each, or with a list of those below it; siblings by name."""
        below: dict[int | None, list[ReadableSpan]] = {}
        for span in self.spans:
            below.setdefault(span.parent.span_id if span.parent else None, []).append(span)

        def branch(parent: int | None) -> list[Any]:
            found = []
            for span in below.get(parent, ()):
                inner = branch(span.context.span_id if span.context else 0)
                found.append((span.name, inner) if inner else span.name)
            return sorted(found, key=lambda item: item if isinstance(item, str) else item[0])

        return branch(None)

    def statuses(self) -> dict[str, str]:
        """Each span by name: `ok`, `cancelled`, or the type of its error."""
        found = {}
        for span in self.spans:
            attributes = span.attributes or {}
            error = attributes.get("error.type")
            assert (error is not None) == (span.status.status_code is StatusCode.ERROR)
            assert not (error and attributes.get("penstock.cancelled"))
            found[span.name] = str(error or ("cancelled" if attributes.get("penstock.cancelled") else "ok"))
        return found

    def events(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        return [(event.name, dict(event.attributes or {})) for event in self[name].events]


class _Loud(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def traces() -> Iterator[Traces]:
    """Records what a test traces. OpenTelemetry logs what is done wrong (ended twice, detached elsewhere): nothing."""
    traces, loud, logger = Traces(), _Loud(), logging.getLogger("opentelemetry")
    logger.addHandler(loud)
    try:
        yield traces
        gc.collect()
    finally:
        logger.removeHandler(loud)
    assert loud.lines == []
    traces.check()


def graph_of(**nodes: Any) -> Any:
    """Nodes one behind the other."""
    builder, before = StateGraph(State), START
    for name, node in nodes.items():
        builder.add_node(name, node).add_edge(before, name)
        before = name
    return builder.compile(name="graph")


async def run(graph: Any, way: str, config: Any, input: Any = None) -> None:
    """Run a graph to its end, in one of `WAYS`."""
    given: Any = {"log": []} if input is None else input
    if way == "ainvoke":
        await graph.ainvoke(given, config)
    elif way == "strict":
        async with graph.astream(given, config) as stream:
            await collect(stream)
    elif way == "bare":
        await collect(graph.astream(given, config))
    elif way == "events":
        await collect(graph.astream_events(given, config, version="v2"))
    elif way == "sync":
        await anyio.to_thread.run_sync(graph.invoke, given, config)
    else:
        await anyio.to_thread.run_sync(list, graph.stream(given, config))


WAYS = pytest.mark.parametrize("way", ["ainvoke", "strict", "bare", "events", "sync", "sync stream"])


# ---------------------------------------------------------------- who lies below whom


def deep_graph(traces: Traces) -> Any:
    """A node that calls a tool, that calls a chain, that calls a model; each traces something of its own."""

    class Model(ScriptedChatModel):
        async def answer(self, messages: Any, **options: Any) -> Any:
            with traces.tracer.start_as_current_span("in model"):
                await anyio.lowlevel.checkpoint()
            yield AIMessageChunk("yes")

    def shout(text: str) -> str:
        with traces.tracer.start_as_current_span("in function"):
            return text.upper()

    chain = ChatPromptTemplate.from_template("{text}?") | Model([]) | StrOutputParser() | shout

    @tool
    async def ask(text: str) -> str:
        """Ask."""
        with traces.tracer.start_as_current_span("in tool"):
            await anyio.lowlevel.checkpoint()
        return str(await chain.ainvoke({"text": text}))

    async def work(state: State) -> Any:
        with traces.tracer.start_as_current_span("in node"):
            await anyio.lowlevel.checkpoint()
        return {"log": [await ask.ainvoke({"text": "why"})]}

    return graph_of(work=work)


CHAIN = [
    "ChatPromptTemplate",
    "StrOutputParser",
    ("chat scripted-model", ["in model"]),
    ("shout", ["in function"]),
]
DEEP = ("work", [("execute_tool ask", [("RunnableSequence", CHAIN), "in tool"]), "in node"])


@WAYS
async def test_graph_node_tool_chain_model(traces: Traces, way: str) -> None:
    with traces.tracer.start_as_current_span("request"):
        await run(deep_graph(traces), way, traces.config())
    assert traces.tree() == [("request", [("invoke_workflow graph", [DEEP])])]
    assert set(traces.statuses().values()) == {"ok"}


async def test_without_a_span_around_it_the_graph_is_the_root(traces: Traces) -> None:
    await run(deep_graph(traces), "bare", traces.config())
    assert traces.tree() == [("invoke_workflow graph", [DEEP])]


async def test_the_span_around_a_stream_is_that_of_the_call_not_of_the_reader(traces: Traces) -> None:
    with traces.tracer.start_as_current_span("request"):
        stream = deep_graph(traces).astream({"log": []}, traces.config())
    with traces.tracer.start_as_current_span("reader"):
        await collect(stream)
    assert traces.tree() == ["reader", ("request", [("invoke_workflow graph", [DEEP])])]


async def test_nothing_stays_current(traces: Traces) -> None:
    outside = get_current_span()
    async with deep_graph(traces).astream({"log": []}, traces.config()) as stream:
        async for _ in stream:
            assert get_current_span() is outside
    await tool_of(lambda: None).ainvoke({}, traces.config())
    await ScriptedChatModel(["a"]).ainvoke("a", traces.config())
    assert get_current_span() is outside


def tool_of(function: Any) -> Any:
    function.__name__ = "tool"
    return tool(description="A tool.")(function)


@WAYS
async def test_three_graphs_in_a_graph(traces: Traces, way: str) -> None:
    def nest(inner: Any, name: str) -> Any:
        return (
            StateGraph(State).add_node(f"to {name}", inner).add_edge(START, f"to {name}").compile(name=f"around {name}")
        )

    async def call(state: State) -> Any:  # a graph that is called, not added
        return {"log": (await nest(deep_graph(traces), "b").ainvoke(state))["log"]}

    await run(nest(nest(call, "c"), "d"), way, traces.config())
    inmost = ("invoke_workflow around b", [("to b", [("invoke_workflow graph", [DEEP])])])
    assert traces.tree() == [
        (
            "invoke_workflow around d",
            [("to d", [("invoke_workflow around c", [("to c", [inmost])])])],
        )
    ]


@WAYS
async def test_nodes_side_by_side(traces: Traces, way: str) -> None:
    async def node(state: State) -> None:
        with traces.tracer.start_as_current_span("early"):
            await checkpoints(3)
        with traces.tracer.start_as_current_span("late"):
            await checkpoints(3)

    def plain(state: State) -> None:
        with traces.tracer.start_as_current_span("plain"):
            pass

    builder = StateGraph(State)
    for name, function in {"a": node, "b": node, "c": plain}.items():
        builder.add_node(name, function).add_edge(START, name)
    await run(builder.compile(name="graph"), way, traces.config())
    assert traces.tree() == [
        ("invoke_workflow graph", [("a", ["early", "late"]), ("b", ["early", "late"]), ("c", ["plain"])])
    ]


async def test_sends(traces: Traces) -> None:
    async def work(state: Any) -> None:
        with traces.tracer.start_as_current_span(f"work on {state['n']}"):
            await checkpoints(state["n"])

    async def split(state: State) -> None:
        return

    def route(state: State) -> list[Send]:
        return [Send("work", {"n": n}) for n in range(3)]

    builder = StateGraph(State).add_node(split).add_node(work).add_edge(START, "split")
    graph = builder.add_conditional_edges("split", route).compile(name="graph")
    await graph.ainvoke({}, traces.config())
    works = [("work", [f"work on {n}"]) for n in range(3)]
    ((_, found),) = traces.tree()
    assert found[0] == ("split", ["route"])
    assert sorted(found[1:], key=lambda item: item[1]) == works


@WAYS
async def test_plain_functions_run_in_threads_and_tasks_and_threads_of_their_own(traces: Traces, way: str) -> None:
    model = ScriptedChatModel(["a"], cycle=True)

    @tool
    def plain(text: str) -> str:
        """A tool."""
        with traces.tracer.start_as_current_span("in plain tool"):
            pass
        return model.invoke(text).text

    def node(state: State) -> None:
        with traces.tracer.start_as_current_span("in node"):
            assert plain.invoke({"text": "a"}) == "a"
        anyio.from_thread.run(child, "from thread")

    async def child(name: str) -> None:
        with traces.tracer.start_as_current_span(name):
            await anyio.lowlevel.checkpoint()

    async def spread(state: State) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(child, "child task")
        await anyio.to_thread.run_sync(lambda: traces.tracer.start_span("worker thread").end())
        await plain.ainvoke({"text": "a"})

    await run(graph_of(node=node, spread=spread), way, traces.config())
    called = ("execute_tool plain", ["chat scripted-model", "in plain tool"])
    assert traces.tree() == [
        (
            "invoke_workflow graph",
            [("node", ["from thread", ("in node", [called])]), ("spread", ["child task", called, "worker thread"])],
        )
    ]


async def test_a_generator_node_keeps_its_span_between_its_updates(traces: Traces) -> None:
    async def node(state: State) -> Any:
        for n in range(3):
            with traces.tracer.start_as_current_span(f"before {n}"):
                await anyio.lowlevel.checkpoint()
            yield {"log": [str(n)]}

    def plain(state: State) -> Any:
        with traces.tracer.start_as_current_span("plain"):
            pass
        yield {"log": ["plain"]}

    await run(graph_of(node=node, plain=plain), "bare", traces.config())
    assert traces.tree() == [
        ("invoke_workflow graph", [("node", ["before 0", "before 1", "before 2"]), ("plain", ["plain"])])
    ]


async def test_what_lies_around_a_call_without_the_context_is_what_its_config_says(traces: Traces) -> None:
    model = ScriptedChatModel(["a"])

    def node(state: State, config: Any) -> None:
        thread = threading.Thread(target=Context().run, args=(model.invoke, "a", config))
        thread.start()
        thread.join()

    await run(graph_of(node=node), "ainvoke", traces.config())
    assert traces.tree() == [("invoke_workflow graph", [("node", ["chat scripted-model"])])]


async def test_kinds_that_are_left_out_are_no_parents(traces: Traces) -> None:
    await run(deep_graph(traces), "bare", traces.config(kinds={"graph", "chat_model"}))
    ((name, below),) = traces.tree()
    assert name == "invoke_workflow graph"
    assert below == [("chat scripted-model", ["in model"]), "in function", "in node", "in tool"]


async def test_supersteps_and_tasks_if_asked_for(traces: Traces) -> None:
    async def node(state: State) -> None:
        with traces.tracer.start_as_current_span("inside"):
            await anyio.lowlevel.checkpoint()

    await run(graph_of(node=node), "bare", traces.config(kinds=SPAN_KINDS))
    node_task = ("node", [("node", ["inside"])])
    assert traces.tree() == [("invoke_workflow graph", [("superstep", [node_task])])]
    kinds = [(span.attributes or {}).get("penstock.kind") for span in traces.spans]
    assert kinds == ["graph", "superstep", "task", "attempt", None]


def test_there_is_no_such_kind(traces: Traces) -> None:
    with pytest.raises(ValueError, match="'node'"):
        traces.observer(kinds={"graph", "node"})


async def test_a_whole_program(traces: Traces) -> None:
    observer = traces.observer()
    with observe(observer):
        await run(deep_graph(traces), "bare", {"callbacks": [observer]})  # once, although it is attached twice
        await ScriptedChatModel(["a"]).ainvoke("a")
    await ScriptedChatModel(["a"]).ainvoke("a")
    assert traces.tree() == ["chat scripted-model", ("invoke_workflow graph", [DEEP])]


async def test_two_runs_do_not_mix(traces: Traces) -> None:
    other = Traces()

    async def node(state: State) -> Any:
        (who,) = state["log"]
        with traces.tracer.start_as_current_span(f"in {who}"):
            await checkpoints(5)
            await ScriptedChatModel(["a"], model_name=who).ainvoke("a")

    graph = graph_of(node=node)

    async def request(who: str, config: Any) -> None:
        with traces.tracer.start_as_current_span(f"request of {who}"):
            await run(graph, "bare", config, {"log": [who]})

    observer = traces.observer()
    async with anyio.create_task_group() as group:
        group.start_soon(request, "a", {"callbacks": [observer]})
        group.start_soon(request, "b", {"callbacks": [observer]})
        group.start_soon(request, "c", other.config())
    for who in "ab":
        inside = (f"in {who}", [f"chat {who}"])
        ((_, found),) = [item for item in traces.tree() if item[0] == f"request of {who}"]
        assert found == [("invoke_workflow graph", [("node", [inside])])]
    assert [span.name for span in other.spans] == ["invoke_workflow graph", "node", "chat c"]
    other.check()


# ---------------------------------------------------------------- how it ended


@WAYS
async def test_an_error(traces: Traces, way: str) -> None:
    class Broken(Exception):
        pass

    async def fine(state: State) -> None:
        return

    async def node(state: State) -> None:
        raise Broken("no good")

    with pytest.raises(Broken):
        await run(graph_of(fine=fine, node=node), way, traces.config())
    broken = f"{__name__}.{Broken.__qualname__}"
    assert traces.statuses() == {"invoke_workflow graph": broken, "fine": "ok", "node": broken}
    assert traces["node"].status.description == "no good"
    ((name, attributes),) = traces.events("node")
    assert (name, attributes["exception.message"]) == ("exception", "no good")
    assert "raise Broken" in attributes["exception.stacktrace"]


async def test_what_runs_beside_a_failure_is_cancelled(traces: Traces) -> None:
    async def fails(state: State) -> None:
        await checkpoints(3)
        raise ValueError("no good")

    async def waits(state: State) -> None:
        await ScriptedChatModel(["a"], delay=1000).ainvoke("a")

    builder = StateGraph(State)
    builder.add_node(fails).add_edge(START, "fails").add_node(waits).add_edge(START, "waits")
    with pytest.raises(ValueError, match="no good"):
        await builder.compile(name="graph").ainvoke({}, traces.config())
    assert traces.statuses() == {
        "invoke_workflow graph": "ValueError",
        "fails": "ValueError",
        "waits": "cancelled",
        "chat scripted-model": "cancelled",
    }
    assert traces["waits"].events == ()


async def test_retries_are_spans_of_their_own(traces: Traces) -> None:
    async def node(state: State, runtime: Any) -> Any:
        if runtime.execution_info.node_attempt < 3:
            raise ConnectionError("later")
        return {"log": ["done"]}

    policy = RetryPolicy(initial_interval=0, jitter=False, max_attempts=3)
    graph = StateGraph(State).add_node("node", node, retry_policy=policy).add_edge(START, "node").compile(name="graph")
    await graph.ainvoke({}, traces.config())
    attempts = [dict(span.attributes or {}) for span in traces.spans if span.name == "node"]
    assert [one["penstock.attempt"] for one in attempts] == [1, 2, 3]
    assert [one.get("error.type") for one in attempts] == ["ConnectionError", "ConnectionError", None]
    assert traces.statuses()["invoke_workflow graph"] == "ok"


async def test_a_timeout_is_an_error_of_the_node(traces: Traces) -> None:
    async def node(state: State) -> None:
        await ScriptedChatModel(["a"], delay=1000).ainvoke("a")

    graph = StateGraph(State).add_node(node, timeout=shortly()).add_edge(START, "node").compile(name="graph")
    with pytest.raises(NodeTimeoutError):
        await graph.ainvoke({}, traces.config())
    assert traces.statuses() == {
        "invoke_workflow graph": "penstock.errors.NodeTimeoutError",
        "node": "penstock.errors.NodeTimeoutError",
        "chat scripted-model": "cancelled",
    }


async def test_a_tool_that_fails_while_the_agent_goes_on(traces: Traces) -> None:
    @tool
    def divide(a: int, b: int) -> float:
        """Divide."""
        return a / b

    model = ScriptedChatModel([{"tool_calls": [{"name": "divide", "args": {"a": 1, "b": 0}}]}, "Never."])
    agent = create_react_agent(model, ToolNode([divide], handle_tool_errors=True), name="calculator")
    await agent.ainvoke({"messages": "1 / 0?"}, traces.config())
    assert traces.statuses()["execute_tool divide"] == "ZeroDivisionError"
    assert traces.statuses()["tools"] == "ok"


def waiting_graph() -> Any:
    """A graph that writes a chunk and then waits for ever: in a model, a tool, and a graph that it calls."""

    @tool
    async def ask() -> str:
        """Ask."""
        return (await ScriptedChatModel(["a"], delay=100_000).ainvoke("a")).text

    async def wait(state: State) -> None:
        await ask.ainvoke({})

    inner = StateGraph(State).add_node(wait).add_edge(START, "wait").compile(name="inner")

    async def node(state: State, writer: Any) -> None:
        await writer("here")
        await inner.ainvoke({})

    return graph_of(node=node)


INSIDE = ["node", "invoke_workflow inner", "wait", "execute_tool ask", "chat scripted-model"]


async def until(condition: Any) -> None:
    with anyio.fail_after(30):
        while not condition():
            await anyio.sleep(0.001)


def check_cancelled(traces: Traces, names: list[str]) -> None:
    assert [span.name for span in traces.spans] == names
    for span in traces.spans:
        attributes = span.attributes or {}
        assert span.status.status_code is StatusCode.UNSET
        assert attributes["penstock.cancelled"] is True
        assert "error.type" not in attributes
        assert not span.events


@pytest.mark.filterwarnings("ignore:a stream was dropped:ResourceWarning")
@pytest.mark.parametrize("way", ["scope", "strict", "cancel()", "bare", "raise", "events"])
async def test_a_run_that_is_left_early_is_cancelled_not_failed(traces: Traces, way: str) -> None:
    graph, config = waiting_graph(), traces.config()

    async def all_have_started() -> None:
        await until(lambda: len(traces.starts) == 1 + len(INSIDE))

    async def read(stream: Any) -> None:
        async for _ in stream:
            await all_have_started()
            if way == "raise":
                raise LookupError
            if way == "cancel()":
                stream.cancel()
            return

    if way == "scope":
        async with anyio.create_task_group() as group:
            group.start_soon(graph.ainvoke, {}, config)
            await all_have_started()
            group.cancel_scope.cancel()
    elif way == "bare":
        await read(graph.astream({}, config, stream_mode="custom"))
    elif way == "events":
        async with graph.astream_events({}, config, version="v2") as stream:
            async for event in stream:
                if event["event"] == "on_chat_model_start":
                    break
    else:
        try:
            async with graph.astream({}, config, stream_mode="custom") as stream:
                await read(stream)
        except LookupError:
            assert way == "raise"
    gc.collect()
    await until(lambda: traces.ends == traces.starts)
    check_cancelled(traces, ["invoke_workflow graph", *INSIDE])


@pytest.mark.parametrize("way", ["break", "close"])
def test_a_sync_stream_that_is_left_early(traces: Traces, way: str) -> None:
    stream: Any = waiting_graph().stream({}, traces.config(), stream_mode="custom")
    for _ in stream:
        while len(traces.starts) < 1 + len(INSIDE):
            threading.Event().wait(0.001)
        break
    if way == "close":
        stream.close()
    del stream
    gc.collect()
    while traces.ends != traces.starts:
        threading.Event().wait(0.001)
    check_cancelled(traces, ["invoke_workflow graph", *INSIDE])


async def test_a_stream_that_nobody_reads_starts_nothing(traces: Traces) -> None:
    stream = deep_graph(traces).astream({"log": []}, traces.config())
    await checkpoints(10)
    del stream
    assert not traces.starts


@pytest.mark.parametrize("point", range(1, 40, 3))
async def test_whatever_a_run_is_about_to_do_when_it_is_cancelled(traces: Traces, point: int) -> None:
    graph, config = deep_graph(traces), traces.config()
    async with anyio.create_task_group() as group:
        group.start_soon(graph.ainvoke, {"log": []}, config)
        await checkpoints(point)
        group.cancel_scope.cancel()
    for span in traces.spans:
        # One that the program itself has started has OpenTelemetry's own idea of being cancelled: it is an error.
        assert span.status.status_code is StatusCode.UNSET or span.name.startswith("in ")


async def iterate(*items: str) -> Any:
    for item in items:
        yield item


async def test_a_models_stream_that_is_left(traces: Traces) -> None:
    async def node(state: State) -> None:
        async with ScriptedChatModel([["a", "b", "c"]], model_name="closed").astream("a") as stream:
            async for _ in stream:
                break
        source = iterate("a", "b")
        shown: Any = stream_tokens(source, metadata={"ls_model_name": "dropped"})
        await anext(shown)
        del shown
        gc.collect()
        await source.aclose()

    await run(graph_of(node=node), "ainvoke", traces.config())
    assert traces.statuses() == {
        "invoke_workflow graph": "ok",
        "node": "ok",
        "chat closed": "cancelled",
        "chat dropped": "cancelled",
    }
    assert traces.attributes("chat closed")["gen_ai.response.finish_reasons"] == ("error",)


async def test_a_chain_whose_stream_is_left(traces: Traces) -> None:
    chain = ChatPromptTemplate.from_template("{text}") | ScriptedChatModel([["a", "b", "c"]]) | StrOutputParser()
    async with chain.astream({"text": "a"}, traces.config()) as stream:
        async for _ in stream:
            break
    ended = traces.statuses()
    assert ended.pop("ChatPromptTemplate") == "ok"
    assert set(ended.values()) == {"cancelled"}


async def test_a_model_that_fails_in_the_middle(traces: Traces) -> None:
    model = ScriptedChatModel([["a", OSError("gone")]])
    with pytest.raises(OSError, match="gone"):
        await collect(model.astream("a", traces.config()))
    assert traces.statuses() == {"chat scripted-model": "OSError"}
    assert traces.attributes("chat scripted-model")["gen_ai.response.finish_reasons"] == ("error",)


async def test_another_observer_that_fails(traces: Traces, expected_noise: ExpectedNoise) -> None:
    class Failing(Observer):
        def fail(self, *args: Any) -> Any:
            raise RuntimeError("an observer's own")

        wants_chunks = started = streamed = ended = failed = custom = within = fail

    expected_noise.log("an observer failed")
    config = {"callbacks": [Failing(), traces.observer(), Failing()]}
    with traces.tracer.start_as_current_span("request"):
        await run(deep_graph(traces), "bare", config)
    assert traces.tree() == [("request", [("invoke_workflow graph", [DEEP])])]


async def test_a_provider_that_fails_does_not_disturb_the_run(expected_noise: ExpectedNoise) -> None:
    class Failing(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            raise RuntimeError("a processor's own")

    expected_noise.log("an observer failed")
    provider = TracerProvider()
    provider.add_span_processor(Failing())
    result = await ScriptedChatModel(["a"]).ainvoke("a", {"callbacks": [OpenTelemetryObserver(provider)]})
    assert result.text == "a"


async def test_a_block_that_ends_in_another_context_is_left_alone(traces: Traces) -> None:
    """As that of a coroutine does, which the garbage collector closes."""
    observer, found = traces.observer(), []

    class Catch(Observer):
        def started(self, span: Any) -> None:
            found.append(span)

    await ScriptedChatModel(["a"]).ainvoke("a", {"callbacks": [observer, Catch()]})
    manager: Any = observer.within(found[0])
    inside, outside = Context(), copy_context()
    inside.run(manager.__enter__)
    outside.run(manager.__exit__, None, None, None)
    assert outside.run(get_current_span) is get_current_span()


# ---------------------------------------------------------------- when


@pytest.mark.virtual_time
@pytest.mark.parametrize("way", ["custom", "messages", "events"])
async def test_a_slow_reader_is_in_the_times_where_it_holds_the_work_back(
    traces: Traces, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("opentelemetry.sdk.trace.time_ns", lambda: round(anyio.current_time() * 1e9))
    begun = anyio.current_time()
    really: dict[str, float] = {}

    async def node(state: State, writer: Any) -> None:
        really["node started"] = anyio.current_time()
        await anyio.sleep(1)
        await writer("a")
        await ScriptedChatModel([[1, "a", 1, "b"]]).ainvoke("a")
        really["node ended"] = anyio.current_time()

    graph, config = graph_of(node=node), traces.config()
    stream: Any
    if way == "events":
        stream = graph.astream_events({}, config, version="v2", high_water_mark=1)
    else:
        stream = graph.astream({}, config, stream_mode=way, high_water_mark=1)
    async for _ in stream:
        await anyio.sleep(100)

    def times(name: str) -> list[float]:
        span = traces[name]
        assert span.start_time is not None
        assert span.end_time is not None
        return [span.start_time / 1e9, span.end_time / 1e9]

    # The span lasts as long as the work, which the reader may hold back, and not until the reader has seen the rest.
    assert times("invoke_workflow graph")[0] == pytest.approx(begun)
    assert times("node")[0] <= really["node started"]
    if way == "events":  # a node's result is an event: the node ends when there is room for it
        assert times("node")[1] >= really["node ended"]
    else:
        assert times("node")[1] == pytest.approx(really["node ended"])
    if way == "custom":
        assert times("node") == pytest.approx([begun, begun + 3])
        assert times("chat scripted-model") == pytest.approx([begun + 1, begun + 3])


# ---------------------------------------------------------------- attributes


USAGE: Any = {
    "input_tokens": 12,
    "output_tokens": 7,
    "total_tokens": 19,
    "input_token_details": {"cache_read": 5, "cache_creation": 2},
    "output_token_details": {"reasoning": 3},
}


async def test_what_is_said_of_a_model_call(traces: Traces) -> None:
    said = {"id": "chatcmpl-1", "finish_reason": "stop", "model_name": "some-model-2026"}
    answer = AIMessage("yes", usage_metadata=USAGE, response_metadata=said)
    model = ScriptedChatModel([answer], provider="mistralai", model_name="some-model")
    bound = model.bind(temperature=0, max_tokens=100, top_p=0.5, seed=7, frequency_penalty=1, presence_penalty=2)

    async def node(state: State) -> None:
        await bound.ainvoke("a", stop=["."])

    config = traces.config() | {"configurable": {"thread_id": 17}, "tags": ["nightly"]}
    await run(graph_of(node=node), "ainvoke", config)
    assert traces["chat some-model"].kind is SpanKind.CLIENT
    attributes = traces.attributes("chat some-model")
    assert attributes.pop("penstock.namespace").startswith("node:")
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "mistral_ai",
        "gen_ai.conversation.id": "17",
        "gen_ai.request.model": "some-model",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.seed": 7,
        "gen_ai.request.frequency_penalty": 1.0,
        "gen_ai.request.presence_penalty": 2.0,
        "gen_ai.request.stop_sequences": (".",),
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "some-model-2026",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 5,
        "gen_ai.usage.cache_write.input_tokens": 2,
        "gen_ai.usage.reasoning.output_tokens": 3,
        "penstock.kind": "chat_model",
        "penstock.node": "node",
        "penstock.step": 1,
        "penstock.tags": ("nightly",),
    }


async def test_a_streamed_answer_tells_as_much_as_a_whole_one(traces: Traces) -> None:
    said = {"finish_reason": "stop", "model_name": "some-model-2026"}
    pieces = [AIMessageChunk("ye"), AIMessageChunk("s", response_metadata=said), AIMessageChunk(usage_metadata=USAGE)]
    model = ScriptedChatModel([pieces], cycle=True)
    with observe(traces.observer()):
        await model.ainvoke("a")
        await collect(model.astream("a"))
        await collect((model | StrOutputParser()).astream("a"))
    found = [dict(span.attributes or {}) for span in traces.spans if span.name == "chat scripted-model"]
    assert found[0] == found[1] == found[2]
    assert found[0]["gen_ai.response.finish_reasons"] == ("stop",)
    assert found[0]["gen_ai.response.model"] == "some-model-2026"
    assert found[0]["gen_ai.usage.output_tokens"] == 7
    assert found[0]["gen_ai.usage.reasoning.output_tokens"] == 3


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("openai", "openai"),
        ("anthropic", "anthropic"),
        ("azure", "azure.ai.openai"),
        ("amazon_bedrock", "aws.bedrock"),
        ("google_genai", "gcp.gemini"),
        ("google_vertexai", "gcp.vertex_ai"),
        ("xai", "x_ai"),
        ("groq", "groq"),
        ("acme", "acme"),
    ],
)
def test_providers_have_the_names_of_the_conventions(traces: Traces, ours: str, theirs: str) -> None:
    ScriptedChatModel(["a"], provider=ours).invoke("a", traces.config())
    assert traces.attributes("chat scripted-model")["gen_ai.provider.name"] == theirs


async def test_a_client_used_directly(traces: Traces) -> None:
    with observe(traces.observer()):
        await collect(stream_tokens(iterate("a", "b")))
    assert traces.attributes("chat")["gen_ai.provider.name"] == "unknown"
    assert "gen_ai.request.model" not in traces.attributes("chat")


async def test_what_is_said_of_a_tool(traces: Traces) -> None:
    @tool
    async def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    await add.ainvoke({"type": "tool_call", "name": "add", "args": {"a": 1, "b": 2}, "id": "c1"}, traces.config())
    assert traces["execute_tool add"].kind is SpanKind.INTERNAL
    assert traces.attributes("execute_tool add") == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "add",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.tool.description": "Add two numbers.",
        "penstock.kind": "tool",
    }


async def test_what_is_said_of_graphs_and_nodes(traces: Traces) -> None:
    async def node(state: State) -> None:
        return

    outer = StateGraph(State).add_node("call", graph_of(node=node)).add_edge(START, "call").compile(name="outer")
    config = traces.config(agents={"outer"}) | {"tags": ["a", "b"], "configurable": {"thread_id": "t1"}}
    await outer.ainvoke({"log": []}, config)
    assert {span.kind for span in traces.spans} == {SpanKind.INTERNAL}
    assert traces.attributes("invoke_agent outer") == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "outer",
        "gen_ai.conversation.id": "t1",
        "penstock.kind": "graph",
        "penstock.tags": ("a", "b"),
    }
    inner = traces.attributes("invoke_workflow graph")
    assert (inner["gen_ai.operation.name"], inner["gen_ai.agent.name"]) == ("invoke_workflow", "graph")
    assert inner["penstock.node"] == "call"
    assert inner["penstock.namespace"].startswith("call:")
    found = traces.attributes("node")
    assert found.pop("penstock.namespace").startswith(f"{inner['penstock.namespace']}|node:")
    assert found == {
        "penstock.kind": "attempt",
        "penstock.node": "node",
        "penstock.step": 1,
        "penstock.attempt": 1,
        "penstock.tags": ("a", "b"),
    }


async def test_hidden_work_is_not_shown(traces: Traces) -> None:
    def route(state: State) -> str:
        return "node"

    async def node(state: State) -> None:
        return

    builder = StateGraph(State).add_node(node).add_conditional_edges(START, route, ["node"]).add_edge("node", END)
    await builder.compile(name="graph").ainvoke({"log": []}, traces.config())
    assert traces.tree() == [("invoke_workflow graph", ["node"])]


# ---------------------------------------------------------------- content


async def talk(config: Any) -> None:
    """Runs in which everything is secret."""

    @tool
    async def look(what: str) -> str:
        """Look."""
        return f"{SECRET} found"

    call = {"tool_calls": [{"name": "look", "args": {"what": f"{SECRET} thing"}, "id": "c1"}]}
    model = ScriptedChatModel([call, f"{SECRET} answer"])
    agent = create_react_agent(model, [look], prompt=f"{SECRET} prompt", name="agent")

    async def ask(state: MessagesState, writer: Any) -> Any:
        dispatch_custom_event("asked", {"of": SECRET})
        await writer(SECRET)
        return await agent.ainvoke(state)

    def upper(text: Any) -> str:
        return str(text.to_messages()[0].text).upper()

    graph = StateGraph(MessagesState).add_node(ask).add_edge(START, "ask").compile(name="graph")
    await graph.ainvoke({"messages": f"{SECRET} question"}, config)
    await (ChatPromptTemplate.from_template("{text}") | RunnableLambda(upper)).ainvoke({"text": SECRET}, config)


async def test_content_is_not_recorded(traces: Traces) -> None:
    await talk(traces.config(writer_events=True))
    assert len(traces.spans) > 10
    shown = [(span.name, span.attributes, span.events, span.links, span.status.description) for span in traces.spans]
    shown += [(event.name, event.attributes) for span in traces.spans for event in span.events]
    assert SECRET not in repr(shown).lower()
    assert traces.events("ask") == [("asked", {}), ("custom", {})]


async def test_content_if_asked_for(traces: Traces) -> None:
    await talk(traces.config(capture_content=True))
    first, second = [span for span in traces.spans if span.name == "chat scripted-model"]

    def read(span: ReadableSpan, name: str) -> Any:
        return json.loads(str((span.attributes or {})[f"gen_ai.{name}"]))

    asked = [
        {"role": "system", "parts": [{"type": "text", "content": f"{SECRET} prompt"}]},
        {"role": "user", "parts": [{"type": "text", "content": f"{SECRET} question"}]},
    ]
    calls = [{"type": "tool_call", "id": "c1", "name": "look", "arguments": {"what": f"{SECRET} thing"}}]
    found = [{"type": "tool_call_response", "id": "c1", "response": f"{SECRET} found"}]
    answer = {"role": "assistant", "parts": [{"type": "text", "content": f"{SECRET} answer"}]}
    assert read(first, "input.messages") == asked
    assert read(first, "output.messages") == [{"role": "assistant", "parts": calls}]
    assert read(second, "input.messages") == [
        *asked,
        {"role": "assistant", "parts": calls, "name": "agent"},
        {"role": "tool", "parts": found, "name": "look"},
    ]
    assert read(second, "output.messages") == [answer]
    (definition,) = read(first, "tool.definitions")
    assert (definition["type"], definition["name"], definition["description"]) == ("function", "look", "Look.")
    assert definition["parameters"]["required"] == ["what"]

    called = traces.attributes("execute_tool look")
    assert json.loads(called["gen_ai.tool.call.arguments"]) == {"what": f"{SECRET} thing"}
    assert called["gen_ai.tool.call.result"] == f"{SECRET} found"
    graph = traces["invoke_workflow graph"]
    assert read(graph, "input.messages") == asked[1:]
    assert read(graph, "output.messages") == [answer | {"name": "agent"}]
    assert traces.events("ask") == [("asked", {"penstock.event.data": f'{{"of": "{SECRET}"}}'})]
    step = traces.attributes("upper")
    (shown,) = json.loads(step["penstock.input"])
    assert shown == {"role": "user", "parts": [{"type": "text", "content": SECRET}]}
    assert step["penstock.output"] == SECRET.upper()


async def test_all_sorts_of_content(traces: Traces) -> None:
    blocks: Any = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "document", "title": "some"},
    ]
    said: Any = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yes"}, {"type": "tool_use"}]
    config = traces.config(capture_content=True)
    model = ScriptedChatModel([AIMessage(said, response_metadata={"stop_reason": "end_turn"})])
    await model.ainvoke([SystemMessage("be"), HumanMessage(blocks)], config)
    shown = traces.attributes("chat scripted-model")
    parts = [part for message in json.loads(shown["gen_ai.input.messages"]) for part in message["parts"]]
    assert parts == [
        {"type": "text", "content": "be"},
        {"type": "text", "content": "see"},
        {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"},
        {"type": "document", "title": "some"},
    ]
    (answer,) = json.loads(shown["gen_ai.output.messages"])
    assert answer["parts"] == [{"type": "reasoning", "content": "hm"}, {"type": "text", "content": "yes"}]
    assert shown["gen_ai.response.finish_reasons"] == ("end_turn",)


@dataclass
class Point:
    x: int
    y: Any


class Dumped:
    """Like a pydantic model."""

    def model_dump(self) -> Any:
        return {"dumped": True}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        ([1, None, "ä"], '[1, null, "ä"]'),
        ({"set": {1}, "send": Send("a", 2)}, '{"set": [1], "send": {"node": "a", "arg": 2}}'),
        (ValueError("a"), "\"ValueError('a')\""),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (HumanMessage("a"), '{"role": "user", "parts": [{"type": "text", "content": "a"}]}'),
        (
            [Point(1, [HumanMessage(["b"])])],
            '[{"x": 1, "y": [{"role": "user", "parts": [{"type": "text", "content": "b"}]}]}]',
        ),
        ([MappingProxyType({"a": 1}), Dumped()], '[{"a": 1}, {"dumped": true}]'),
    ],
)
async def test_values_of_any_kind_as_text(traces: Traces, value: Any, text: str) -> None:
    await RunnableLambda(lambda given: None).ainvoke(value, traces.config(capture_content=True))
    (span,) = traces.spans
    assert (span.attributes or {})["penstock.input"] == text


async def test_messages_of_another_sort(traces: Traces) -> None:
    class Post(TypedDict):
        messages: list[int]

    async def node(state: Post) -> None:
        return

    graph = StateGraph(Post).add_node(node).add_edge(START, "node").compile(name="graph")
    await graph.ainvoke({"messages": [1]}, traces.config(capture_content=True))
    shown = traces.attributes("invoke_workflow graph")
    assert shown["penstock.input"] == shown["penstock.output"] == '{"messages": [1]}'
    assert "gen_ai.input.messages" not in shown


async def test_what_langchains_models_are_given_and_give(traces: Traces) -> None:
    """They are asked several things at once, and their answers lie deeper in."""
    answer = AIMessage("yes", response_metadata={"finish_reason": "stop"})
    result = SimpleNamespace(generations=[[SimpleNamespace(message=answer)]])
    config = traces.config(capture_content=True)
    asked = [[HumanMessage("a"), "b"]]
    call = ModelCall.open(name="Model", metadata={"ls_model_name": "theirs"}, input=asked, config=config)
    await call.finished(answer, result)
    shown = traces.attributes("chat theirs")
    said = [{"role": "user", "parts": [{"type": "text", "content": text}]} for text in "ab"]
    assert json.loads(shown["gen_ai.input.messages"]) == said
    (answered,) = json.loads(shown["gen_ai.output.messages"])
    assert answered == {"role": "assistant", "parts": [{"type": "text", "content": "yes"}]}
    assert shown["gen_ai.response.finish_reasons"] == ("stop",)


@pytest.mark.parametrize(
    ("kind", "name", "operation"),
    [("retriever", "retrieval docs", "retrieval"), ("llm", "text_completion", "text_completion")],
)
def test_what_only_langchain_has(traces: Traces, kind: Any, name: str, operation: str) -> None:
    span = Span(kind, "docs", parent=None, observers=(traces.observer(capture_content=True),), input="where?")
    span.start()
    _ = span.end(["here"])
    assert traces.attributes(name)["gen_ai.operation.name"] == operation


async def test_an_input_that_can_be_read_only_once_is_left_to_the_run(traces: Traces) -> None:
    async def node(state: Any) -> Any:
        return {"messages": "c"}

    def texts() -> Iterator[str]:
        yield from "ab"

    graph = StateGraph(MessagesState).add_node(node).add_edge(START, "node").compile(name="graph")
    plain: Any = await graph.ainvoke({"messages": texts()})
    traced: Any = await graph.ainvoke({"messages": texts()}, traces.config(capture_content=True))
    assert [m.text for m in traced["messages"]] == [m.text for m in plain["messages"]] == ["a", "b", "c"]


# ---------------------------------------------------------------- events and chunks


async def test_custom_events(traces: Traces) -> None:
    async def step(text: str) -> None:
        await adispatch_custom_event("in a step", [1, 2])

    async def node(state: State, writer: Any) -> None:
        await writer("a chunk")
        dispatch_custom_event("half", {"way": 1})
        await RunnableLambda(step).ainvoke("a")

    await run(graph_of(node=node), "bare", traces.config(capture_content=True))
    assert traces.events("node") == [("half", {"penstock.event.data": '{"way": 1}'})]
    assert traces.events("step") == [("in a step", {"penstock.event.data": "[1, 2]"})]


async def test_events_of_work_that_is_left_out_are_of_what_is_around_it(traces: Traces) -> None:
    async def node(state: State, writer: Any) -> None:
        dispatch_custom_event("half")
        await writer("a chunk")

    await run(graph_of(node=node), "bare", traces.config(kinds={"graph"}, writer_events=True))
    assert traces.events("invoke_workflow graph") == [("half", {}), ("custom", {})]


class Whole(ChatModel):
    """A model that notes whether it was asked to stream."""

    model_name = "whole"

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def answer(self, messages: Any, **options: Any) -> Any:
        self.asked.append("stream")
        yield "a"
        yield "b"

    async def answer_whole(self, messages: Any, **options: Any) -> Any:
        self.asked.append("whole")
        return AIMessage("ab")


async def test_models_do_not_stream_for_it(traces: Traces) -> None:
    model = Whole()

    async def node(state: State) -> None:
        await model.ainvoke("a")

    await run(graph_of(node=node), "bare", traces.config(kinds=SPAN_KINDS, capture_content=True))
    assert model.asked == ["whole"]
    assert "gen_ai.request.stream" not in traces.attributes("chat whole")


@pytest.mark.virtual_time
async def test_the_first_chunk_if_asked_for(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.integrations.opentelemetry.perf_counter", anyio.current_time)
    model, config = Whole(), traces.config(first_chunk=True)
    await model.ainvoke("a", config)
    assert model.asked == ["stream"]
    await ScriptedChatModel([[2, "a", 3, "b"]]).ainvoke("a", config)
    shown = traces.attributes("chat scripted-model")
    assert shown["gen_ai.request.stream"] is True
    assert shown["gen_ai.response.time_to_first_chunk"] == pytest.approx(2)
    await ScriptedChatModel(["a"], streaming=False, model_name="unable").ainvoke("a", config)
    assert "gen_ai.request.stream" not in traces.attributes("chat unable")


# ---------------------------------------------------------------- with less of OpenTelemetry


async def test_what_is_not_sampled() -> None:
    traces = Traces(sampler=ALWAYS_OFF)
    config = traces.config(capture_content=True, first_chunk=True, writer_events=True)
    await run(deep_graph(traces), "bare", config)
    with pytest.raises(OSError, match="gone"):
        await ScriptedChatModel([OSError("gone")]).ainvoke("a", config)
    assert traces.spans == []


async def test_without_an_sdk_nothing_happens() -> None:
    config: Any = {"callbacks": [OpenTelemetryObserver()]}  # the global provider, which nobody has set
    assert (await ScriptedChatModel(["a"]).ainvoke("a", config)).text == "a"


def test_the_module_does_not_import_opentelemetry() -> None:
    code = "import penstock.integrations.opentelemetry, sys; assert 'opentelemetry' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)  # as if it were not there
    with pytest.raises(MissingExtraError, match=r"pip install penstock\[otel\]"):
        OpenTelemetryObserver()
