"""Runs as OpenTelemetry traces: `penstock[otel]`.

Spans are named and described as the OpenTelemetry semantic conventions for generative AI have it, version 0.1.0, the
first release of their own; up to 1.41 they were part of the general semantic conventions. All of them are still "in
development", so that names may change with a later version of this module. What the conventions have no name for is an
attribute `penstock.*`.

Importing this module does not import OpenTelemetry. It needs `opentelemetry-api` only; without an SDK, which the
program sets up as it likes, nothing is recorded.

Example:
    ```python
    import pytest

    pytest.importorskip("opentelemetry.sdk")

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from penstock.integrations.opentelemetry import OpenTelemetryObserver
    from penstock.runtime import observe
    from penstock.testing import ScriptedChatModel

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))  # in a program: BatchSpanProcessor(OTLPSpanExporter())
    observer = OpenTelemetryObserver(provider)

    with observe(observer):  # everything in this block: around a program's main function, the whole program
        ScriptedChatModel(["Hello"]).invoke("Hi")
    ScriptedChatModel(["Hello"]).invoke("Hi", {"callbacks": [observer]})  # one call

    assert [span.name for span in exporter.get_finished_spans()] == ["chat scripted-model"] * 2
    ```
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from importlib import import_module
from time import perf_counter
from typing import Any

import penstock
from penstock.constants import TAG_HIDDEN
from penstock.errors import MissingExtraError
from penstock.runtime import SPAN_KINDS, Observer, Span, SpanKind

from ._gen_ai import describe_failure, describe_input, describe_output, describe_start, is_inference
from ._gen_ai_content import as_json

__all__ = ["OpenTelemetryObserver"]


class OpenTelemetryObserver(Observer):
    """Tells OpenTelemetry what goes on in runs.

    Put it around a program with :func:`penstock.runtime.observe`, or into the config of a call as one of its
    `callbacks`. A run's spans lie below the OpenTelemetry span that is current where the run is called, such as that of
    an incoming request. In nodes, tools, functions and model calls theirs is the current one, so what is traced there,
    by the program or by an instrumented HTTP client, lies below it.

    | what | name | kind |
    |---|---|---|
    | a graph | `invoke_workflow {name}`, or `invoke_agent {name}` | INTERNAL |
    | a tool | `execute_tool {name}` | INTERNAL |
    | a chat model | `chat {model}` | CLIENT |
    | a node, and all the rest | its name | INTERNAL |

    Graphs are workflows, which the conventions describe as several operations that are coordinated, and for which they
    have "graph" as another word. What counts as an agent is a model that decides what happens next: what
    `create_react_agent` makes is one, and `agents` names others.

    Args:
        tracer_provider: an OpenTelemetry `TracerProvider`; by default the program's global one.
        capture_content: whether messages, the arguments and results of tools, what nodes and steps are given and give,
            and the data of custom events are recorded. By default they are not: they may be private, and large.
        kinds: what there are to be OpenTelemetry spans of; by default everything but the single supersteps and tasks.
        agents: names of further graphs that are agents.
        first_chunk: whether to measure when a model gives the first chunk of its answer. Models then stream, even where
            nobody reads what they stream.
        writer_events: whether chunks of the stream writer become events, as those of `dispatch_custom_event` do.

    Raises:
        MissingExtraError: the package `opentelemetry-api` is not installed.
        ValueError: there is no such kind of span.

    Example:
        ```python
        import pytest

        pytest.importorskip("opentelemetry.sdk")

        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        from penstock.integrations.opentelemetry import OpenTelemetryObserver
        from penstock.prebuilt import create_react_agent
        from penstock.testing import ScriptedChatModel

        def add(a: int, b: int) -> int:
            \"\"\"Add two numbers.\"\"\"
            return a + b

        model = ScriptedChatModel([{"tool_calls": [{"name": "add", "args": {"a": 1, "b": 2}}]}, "Three."])
        agent = create_react_agent(model, [add], name="calculator")

        exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        observer = OpenTelemetryObserver(provider, kinds={"graph", "chat_model", "tool"})
        agent.invoke({"messages": "1 + 2?"}, {"callbacks": [observer]})

        names = [span.name for span in exporter.get_finished_spans()]
        chat = "chat scripted-model"
        assert names == [chat, "execute_tool add", chat, "invoke_agent calculator"]
        ```
    """

    def __init__(
        self,
        tracer_provider: Any = None,
        *,
        capture_content: bool = False,
        kinds: Collection[SpanKind] = Observer.kinds,
        agents: Collection[str] = (),
        first_chunk: bool = False,
        writer_events: bool = False,
    ) -> None:
        self.kinds: Collection[SpanKind] = _checked_kinds(kinds)
        self.agents: Collection[str] = frozenset([agents] if isinstance(agents, str) else agents)
        self.capture_content: bool = capture_content
        self.first_chunk: bool = first_chunk
        self.writer_events: bool = writer_events
        self._trace = _import_api("trace")
        self._context = _import_api("context")
        # Under this key a context holds which of our spans it lies in.
        self._key: str = self._context.create_key("penstock-span")
        self._tracer: Any = self._trace.get_tracer("penstock", penstock.__version__, tracer_provider)

    def wants_chunks(self, span: Span) -> bool:
        """Whether to be told of the chunks of a span: only of a model's, and only with `first_chunk`."""
        return self.first_chunk and is_inference(span)

    def started(self, span: Span) -> None:
        """Start an OpenTelemetry span."""
        if TAG_HIDDEN in span.tags:
            return
        kind = self._trace.SpanKind.CLIENT if is_inference(span) else self._trace.SpanKind.INTERNAL
        name, attributes = describe_start(span, is_agent=span.details.get("agent", False) or span.name in self.agents)
        told = self._tracer.start_span(name, context=self._place(span), kind=kind, attributes=attributes)
        span.notes[self] = _Open(told)
        if self.capture_content and span.knows_input and told.is_recording():
            told.set_attributes(describe_input(span))

    def streamed(self, span: Span, chunk: Any) -> None:
        """Note when the first chunk came."""
        found = self._find(span)
        if found is None or found.has_streamed or not found.told.is_recording():
            return
        found.has_streamed = True
        found.told.set_attributes(
            {
                "gen_ai.request.stream": True,
                "gen_ai.response.time_to_first_chunk": perf_counter() - found.begun,
            }
        )

    def ended(self, span: Span, output: Any) -> None:
        """End the OpenTelemetry span."""
        found = self._find(span)
        if found is None:
            return
        told = found.told
        try:
            if told.is_recording():
                if self.capture_content:  # the input once more: that of a step that streams is known only now
                    told.set_attributes(describe_input(span))
                told.set_attributes(describe_output(span, output, content=self.capture_content))
        finally:
            told.end()

    def failed(self, span: Span, error: BaseException) -> None:
        """End the OpenTelemetry span with the error; being cancelled is none."""
        found = self._find(span)
        if found is None:
            return
        told = found.told
        try:
            if told.is_recording():
                told.set_attributes(describe_failure(span, error))
                if not span.cancelled:
                    told.record_exception(error)
                    told.set_status(self._trace.Status(self._trace.StatusCode.ERROR, str(error) or repr(error)))
        finally:
            told.end()

    def custom(self, span: Span, name: str, data: Any) -> None:
        """Add an event to the innermost OpenTelemetry span."""
        if name == "custom" and not self.writer_events:
            return
        found = self._find(span) or self._around(span)
        if found is None or not found.told.is_recording():
            return
        found.told.add_event(name, {"penstock.event.data": as_json(data)} if self.capture_content else None)

    def within(self, span: Span) -> AbstractContextManager[Any] | None:
        """Make the OpenTelemetry span the current one."""
        found = self._find(span)
        return None if found is None else _Current(self, found)

    def _find(self, span: Span) -> _Open | None:
        found: _Open | None = span.notes.get(self)
        return found

    def _around(self, span: Span) -> _Open | None:
        """The span around one, hidden ones left out."""
        return next((found for outer in span.ancestors(self) if (found := self._find(outer)) is not None), None)

    def _place(self, span: Span) -> Any:
        """The OpenTelemetry context to start a span in; None for the current one."""
        around = self._around(span)
        if around is None or self._context.get_value(self._key) is around:
            # The current span is that of what is around it, or one that the program has started in there.
            return None
        # The context was left behind.
        return self._trace.set_span_in_context(around.told)

    def _context_in(self, found: _Open) -> Any:
        return self._context.set_value(self._key, found, self._trace.set_span_in_context(found.told))


class _Open:
    """What there is to know of a span that has started.

    Attributes:
        told: the OpenTelemetry span.
        begun: when that was.
        has_streamed: whether a chunk of it was told.
    """

    __slots__ = ("begun", "has_streamed", "told")

    def __init__(self, told: Any) -> None:
        self.told: Any = told
        self.begun: float = perf_counter()
        self.has_streamed: bool = False


_entered: ContextVar[_Open | None] = ContextVar("penstock_otel_entered", default=None)


class _Current(AbstractContextManager[None]):
    """A block in which an OpenTelemetry span is the current one."""

    __slots__ = ("_found", "_mark", "_observer", "_token")

    def __init__(self, observer: OpenTelemetryObserver, found: _Open) -> None:
        self._observer = observer
        self._found = found

    def __enter__(self) -> None:
        observer = self._observer
        self._mark: Token[_Open | None] = _entered.set(self._found)
        self._token: Any = observer._context.attach(observer._context_in(self._found))

    def __exit__(self, *exc: object) -> None:
        try:
            _entered.reset(self._mark)
        except ValueError:
            # A coroutine that is closed by the garbage collector ends in whatever context that runs in: there is
            # nothing to take back. OpenTelemetry would log an error.
            return
        self._observer._context.detach(self._token)


def _checked_kinds(kinds: Collection[SpanKind]) -> frozenset[SpanKind]:
    found: frozenset[SpanKind] = frozenset(kinds)
    unknown = sorted(str(kind) for kind in found - SPAN_KINDS)
    if unknown:
        raise ValueError(f"there is no kind of span {unknown[0]!r}; expected some of {', '.join(sorted(SPAN_KINDS))}")
    return found


def _import_api(name: str) -> Any:
    try:
        return import_module(f"opentelemetry.{name}")
    except ImportError as error:
        raise MissingExtraError(
            f"OpenTelemetryObserver needs the package 'opentelemetry-api', which cannot be imported ({error}); "
            "pip install penstock[otel]"
        ) from error
