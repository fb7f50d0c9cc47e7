"""What goes on in a run, told to whoever wants to hear of it.

Theory of operation
-------------------
A *span* is one piece of work: it starts, may give chunks, and ends or fails.  Spans form a tree, which follows the
code: a context variable holds the innermost one, and a config that is passed on by hand carries it as well (see
`_spans`).  An *observer* is attached to a span and from there on hears of that span and of all below it.

Where nobody observes there are no spans.  Opening one costs a look at the context variable then, and nothing that an
observer would be told is ever built.

Observers of the user's are told through a `Guard`, so that they can neither raise into a run nor slow it without a
word.  The one observer that may hold a run back is the view behind `astream_events`: what it returns is awaited.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Collection, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

from ..streams import DONE
from ._failure import is_cancellation

if TYPE_CHECKING:
    from ._producer import Producer

logger = logging.getLogger("penstock")

SpanKind = Literal[
    "graph",
    "superstep",
    "task",
    "attempt",
    "chain",
    "prompt",
    "parser",
    "chat_model",
    "tool",
    "retriever",
    "llm",
]
"""What a span is of.

`graph` is a run of a graph, in which `superstep`, `task` and `attempt` (of a node at its task) lie one in the other.
`chain` is a chain, or a step of one that is nothing of its own: a function, a dict. `retriever` and `llm` come from
LangChain's objects only.
"""

# Seconds that an observer may take to hear of something before it is said that it holds up the run.
SLOW = 0.1

SPAN_KINDS: frozenset[SpanKind] = frozenset(get_args(SpanKind))
"""All kinds of spans, for an observer that wants to hear of everything: `kinds = SPAN_KINDS`."""

_NOTHING: Mapping[str, Any] = {}


class Span:
    """One piece of work in a run, as its observers see it. Made by the run; observers only read it.

    Attributes:
        kind: what it is.
        name: of the graph, the node, the tool, the function, or the `run_name` it was given.
        parent: the span around it, or None. An observer need not have been told of that one: it may have been attached
            further down.
        tags: its labels, those it has from around it included.
        metadata: likewise.
        input: what it was given; None while that is still streaming, as for the later steps of a chain that streams.
        knows_input: whether that is known.
        details: what else there is to know, by kind: `namespace` of a graph, and whether it is an `agent`; `step` of a
            superstep; `task_id` of a task; `step` and `attempt` of an attempt; `tool_call_id` and `description` of a
            tool; `options` of a model call.
        notes: where an observer can keep what it has of this span, under itself as the key.
        cancelled: whether it has failed only because somebody has cancelled it, or has left the stream.
    """

    __slots__ = (
        "_chunk_listeners",
        "_listeners",
        "_over",
        "_overheard",
        "_run_id",
        "cancelled",
        "child_metadata",
        "child_tags",
        "configurable",
        "details",
        "input",
        "kind",
        "knows_input",
        "metadata",
        "name",
        "notes",
        "observers",
        "once",
        "parent",
        "producer",
        "receipt",
        "tags",
    )

    def __init__(
        self,
        kind: SpanKind,
        name: str,
        *,
        parent: Span | None,
        observers: tuple[Observer, ...],
        producer: Producer | None = None,
        run_id: Any = None,
        tags: tuple[str, ...] = (),
        metadata: Mapping[str, Any] = _NOTHING,
        child_tags: tuple[str, ...] = (),
        child_metadata: Mapping[str, Any] = _NOTHING,
        configurable: Mapping[str, Any] = _NOTHING,
        once: tuple[str, ...] = (),
        input: Any = None,
        knows_input: bool = True,
        details: Mapping[str, Any] = _NOTHING,
    ) -> None:
        self.kind: SpanKind = kind
        self.name: str = name
        self.parent: Span | None = parent
        self.tags: tuple[str, ...] = tags
        self.metadata: Mapping[str, Any] = metadata
        self.input: Any = input
        self.knows_input: bool = knows_input
        self.details: Mapping[str, Any] = details
        self.notes: dict[Any, Any] = {}
        self.cancelled: bool = False
        self.observers: tuple[Observer, ...] = observers
        self.producer: Producer | None = producer
        self.child_tags: tuple[str, ...] = child_tags
        self.child_metadata: Mapping[str, Any] = child_metadata
        self.configurable: Mapping[str, Any] = configurable
        self.once: tuple[str, ...] = once
        self.receipt: Awaitable[Any] = DONE
        self._run_id: str | None = None if run_id is None else str(run_id)
        self._over = False
        self._listeners = [o for o in observers if kind in o.kinds]
        self._chunk_listeners = [o for o in self._listeners if o.wants_chunks(self)]
        self._overheard = [o for o in self._listeners if o not in self._chunk_listeners and o._overhears(self)]

    @property
    def run_id(self) -> str:
        """Its identity, a UUID as text; that of the config's `run_id`, if there is one."""
        if self._run_id is None:
            self._run_id = str(uuid4())
        return self._run_id

    @property
    def uuid(self) -> UUID:
        """Its identity; one that is made of it, if the config's `run_id` is no UUID."""
        try:
            return UUID(self.run_id)
        except ValueError:
            return uuid5(NAMESPACE_OID, self.run_id)

    @property
    def work(self) -> Span | None:
        """The piece of work that this is, or that it stands in for."""
        return self

    @property
    def wants_chunks(self) -> bool:
        """Whether anybody wants its chunks made."""
        return bool(self._chunk_listeners)

    @property
    def hears_chunks(self) -> bool:
        """Whether anybody hears of its chunks, if they are made anyway."""
        return bool(self._chunk_listeners or self._overheard)

    def ancestors(self, observer: Observer) -> Iterator[Span]:
        """The spans around it that an observer hears of, the innermost first."""
        span = self.parent
        while span is not None and any(_plain(o) is observer for o in span.observers):
            if span.kind in observer.kinds:
                yield span
            span = span.parent

    # ---------------------------------------------------------------- told by the run

    # What these return can be awaited, and then waits while a reader is behind; a thread has waited already.

    def start(self) -> None:
        """It starts; `receipt` is what can be awaited."""
        self.receipt = _tell([o.started(self) for o in self._listeners])

    def stream(self, chunk: Any) -> Awaitable[Any]:
        """It has given a chunk."""
        listeners = self._chunk_listeners
        if self._overheard:
            listeners = [*listeners, *self._overheard]
        if len(listeners) == 1:
            receipt: Awaitable[Any] = listeners[0].streamed(self, chunk) or DONE
            return receipt
        return _tell([o.streamed(self, chunk) for o in listeners])

    def end(self, output: Any) -> Awaitable[Any]:
        """It has ended; nothing that is told later counts."""
        if self._over:
            return DONE
        self._over = True
        return _tell([o.ended(self, output) for o in self._listeners])

    def fail_by(self, error: BaseException) -> None:
        """It has failed, or somebody has cancelled it, likewise.

        Not to be waited for: whoever else is to be cancelled for this must learn of it at once.
        """
        if self._over:
            return
        self._over = True
        self.cancelled = is_cancellation(error)
        for observer in self._listeners:
            observer.failed(self, error)

    def dispatch(self, name: str, data: Any) -> Awaitable[Any]:
        """Something of the user's own has happened in it."""
        return _tell([o.custom(self, name, data) for o in self.observers if o._hears_custom])

    @property
    def hears_custom(self) -> bool:
        """Whether anybody would hear of that."""
        return any(o._hears_custom for o in self.observers)

    def within(self) -> AbstractContextManager[Any] | None:
        """What its observers want to have around its code, or None."""
        wanted = [manager for o in self._listeners if (manager := o.within(self)) is not None]
        if not wanted:
            return None
        stack = ExitStack()
        for manager in wanted:
            stack.enter_context(manager)
        return stack

    def __repr__(self) -> str:
        return f"<Span {self.kind} {self.name!r}>"


def _tell(receipts: list[Awaitable[Any] | None]) -> Awaitable[Any]:
    waits = [receipt for receipt in receipts if receipt is not None and receipt is not DONE]
    if not waits:
        return DONE
    return waits[0] if len(waits) == 1 else _All(waits)


class _All:
    """Waits for several receipts."""

    __slots__ = ("_receipts",)

    def __init__(self, receipts: list[Awaitable[Any]]) -> None:
        self._receipts = receipts

    def __await__(self) -> Generator[Any, Any, None]:
        for receipt in self._receipts:
            yield from receipt.__await__()


class Observer:
    """Hears of what goes on in a run. Make a subclass, write the methods you want, and pass an instance in a config:
    `graph.astream(input, {"callbacks": [observer]})`; or use :func:`observe`.

    The methods are plain functions and must not wait: they are called by the run itself, wherever it is, which may be
    any of its threads. What one of them raises is logged and goes no further. One that takes more than a tenth of a
    second is named in a warning.

    Attributes:
        kinds: of which spans it hears; by default of all but the single tasks and supersteps.

    Example:
        ```python
        from typing import TypedDict

        from penstock.graph import START, StateGraph
        from penstock.runtime import Observer

        class Log(Observer):
            def __init__(self):
                self.lines = []

            def started(self, span):
                self.lines.append(f"{span.kind} {span.name}")

            def ended(self, span, output):
                self.lines.append(f"{span.name}: {output}")

        class State(TypedDict):
            n: int

        def add(state: State):
            return {"n": state["n"] + 1}

        graph = StateGraph(State).add_node(add).add_edge(START, "add").compile(name="adder")
        log = Log()
        graph.invoke({"n": 1}, {"callbacks": [log]})
        assert log.lines == ["graph adder", "attempt add", "add: {'n': 2}", "adder: {'n': 2}"]
        ```
    """

    kinds: Collection[SpanKind] = SPAN_KINDS - {"superstep", "task"}

    # Whether `custom` is worth calling.
    _hears_custom = True

    # One of our own: may hold a run back, and what it raises is the run's.
    _trusted: ClassVar[bool] = False

    def _room(self, span: Span) -> Awaitable[Any] | None:
        """What to wait for before anything more is begun inside of a span."""
        return None

    def wants_chunks(self, span: Span) -> bool:
        """Whether to be told of the chunks of a span; asked once, when it starts.

        A model whose chunks are wanted by nobody need not stream. By default they are wanted if `streamed` is written.

        Args:
            span: the span.
        """
        return _is_written(self, "streamed")

    def _overhears(self, span: Span) -> bool:
        """Whether to be told of chunks that it does not want, if they are made anyway; for one of our own."""
        return False

    def started(self, span: Span) -> Any:
        """A span has started.

        Args:
            span: the span.
        """

    def streamed(self, span: Span, chunk: Any) -> Any:
        """A span has given a chunk: a model a token, a chain a piece of its output, a node an update.

        Args:
            span: the span.
            chunk: what it gave; not to be changed.
        """

    def ended(self, span: Span, output: Any) -> Any:
        """A span has ended.

        Args:
            span: the span.
            output: what it gave in all; not to be changed.
        """

    def failed(self, span: Span, error: BaseException) -> Any:
        """A span has failed, or has been cancelled (`span.cancelled`).

        Args:
            span: the span.
            error: why.
        """

    def custom(self, span: Span, name: str, data: Any) -> Any:
        """The code of a span has called `dispatch_custom_event`, or has written to the stream writer.

        Args:
            span: the innermost span around it.
            name: of the event; `"custom"` for the stream writer.
            data: what it said.
        """

    def within(self, span: Span) -> AbstractContextManager[Any] | None:
        """What is to be around the code of a span, entered in its context: to set context variables of your own.

        Asked after `started`; left when the code ends, in the same context. The pieces of something that streams have
        nothing around them.

        Args:
            span: the span.

        Returns:
            A context manager, or None.
        """
        return None


class Guard(Observer):
    """Stands between a run and an observer of the user's.

    Args:
        inner: the observer.
    """

    _trusted = True

    def __init__(self, inner: Observer) -> None:
        self.inner = inner
        self.kinds = inner.kinds
        self._hears_custom = _is_written(inner, "custom")
        self._slow: set[str] = set()
        _check_plain(inner)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Guard) and other.inner is self.inner

    def __hash__(self) -> int:
        return hash(id(self.inner))

    def wants_chunks(self, span: Span) -> bool:
        return bool(self._call("wants_chunks", span))

    def started(self, span: Span) -> None:
        self._call("started", span)

    def streamed(self, span: Span, chunk: Any) -> None:
        self._call("streamed", span, chunk)

    def ended(self, span: Span, output: Any) -> None:
        self._call("ended", span, output)

    def failed(self, span: Span, error: BaseException) -> None:
        self._call("failed", span, error)

    def custom(self, span: Span, name: str, data: Any) -> None:
        self._call("custom", span, name, data)

    def within(self, span: Span) -> AbstractContextManager[Any] | None:
        manager = self._call("within", span)
        return None if manager is None else _Quiet(manager, self)

    def _call(self, method: str, *args: Any) -> Any:
        begun = perf_counter()
        try:
            return getattr(self.inner, method)(*args)
        except Exception:
            logger.exception("an observer failed in %s(); the run goes on: %r", method, self.inner)
            return None
        finally:
            took = perf_counter() - begun
            if took > SLOW and method not in self._slow:
                self._slow.add(method)
                logger.warning(
                    "an observer took %.1f s in %s(), and the run with it: %r; hand the work over to a thread or task "
                    "of your own",
                    took,
                    method,
                    self.inner,
                )


def _plain(observer: Observer) -> Observer:
    return observer.inner if isinstance(observer, Guard) else observer


def _is_written(observer: Observer, method: str) -> bool:
    return getattr(type(observer), method) is not getattr(Observer, method)


_METHODS = ("started", "streamed", "ended", "failed", "custom", "wants_chunks", "within")


def _check_plain(observer: Observer) -> None:
    for method in _METHODS:
        if inspect.iscoroutinefunction(getattr(observer, method)):
            raise TypeError(
                f"{type(observer).__name__}.{method}() is async, but a run does not wait for its observers; make it a "
                "plain method, or read astream_events(), for whose reader it does wait"
            )


class _Quiet(AbstractContextManager[Any]):
    """An observer's context manager that keeps its errors to itself, and the code's errors out of itself."""

    def __init__(self, manager: AbstractContextManager[Any], guard: Guard) -> None:
        self._manager = manager
        self._guard = guard
        self._entered = False

    def __enter__(self) -> None:
        try:
            self._manager.__enter__()
            self._entered = True
        except Exception:
            logger.exception("an observer failed in within(); the run goes on: %r", self._guard.inner)

    def __exit__(self, *exc: object) -> None:
        if not self._entered:
            return
        try:
            self._manager.__exit__(None, None, None)
        except Exception:
            logger.exception("an observer failed in within(); the run goes on: %r", self._guard.inner)
