"""What `astream_events` gives: what goes on in a call, as dicts, over the same bounded stream as everything else.

A view is an observer that writes an event for each thing it is told of, in the name of whoever does the work: through
the port of the attempt, of the graph's run or of the call.  So a slow reader holds back just whom it would in any other
mode, and what is left unread is bounded.  Nothing is kept but with the spans themselves.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import TypedDict

from ..errors import nearest
from ..streams import DONE, Merger
from ..types import StreamEvent
from ._observer import Observer, Span
from ._producer import write_event

_TYPES = {"graph": "chain", "attempt": "chain"}
"""The kinds that go by another name in events."""

EVENT_TYPES = ("chain", "chat_model", "tool", "prompt", "parser", "retriever", "llm")


class EventFilters(TypedDict, total=False):
    """Arguments of `astream_events` that say which events are wanted: those that anything included fits, or all if
    nothing is; but not those that anything excluded fits. Others are never built.

    Attributes:
        include_names: names of the work: of a graph, node, tool, function, model; of the event for a custom one.
        include_types: `chain` (graphs, nodes, functions, chains), `chat_model`, `tool`, `prompt`, `parser`; for custom
            events their names.
        include_tags: tags of the work.
        exclude_names: likewise.
        exclude_types: likewise.
        exclude_tags: likewise.
    """

    include_names: Collection[str] | None
    include_types: Collection[str] | None
    include_tags: Collection[str] | None
    exclude_names: Collection[str] | None
    exclude_types: Collection[str] | None
    exclude_tags: Collection[str] | None


class EventOptions(EventFilters, total=False):
    """Arguments of `astream_events` of tools, models and chains.

    Attributes:
        high_water_mark: events that may be unread before the work is made to wait; 64 by default.
    """

    high_water_mark: int


@dataclass(frozen=True)
class EventSelection:
    """`EventFilters`, checked, and made ready for look-ups."""

    include_names: frozenset[str] | None = None
    include_types: frozenset[str] | None = None
    include_tags: frozenset[str] | None = None
    exclude_names: frozenset[str] = frozenset()
    exclude_types: frozenset[str] = frozenset()
    exclude_tags: frozenset[str] = frozenset()

    def wants(self, name: str, event_type: str, tags: Collection[str]) -> bool:
        """Whether events of work with this name, type and tags are wanted."""
        names, types, labels = self.include_names, self.include_types, self.include_tags
        if not (names is None and types is None and labels is None) and not (
            (names is not None and name in names)
            or (types is not None and event_type in types)
            or (labels is not None and not labels.isdisjoint(tags))
        ):
            return False
        return (
            name not in self.exclude_names
            and event_type not in self.exclude_types
            and self.exclude_tags.isdisjoint(tags)
        )


class _Seen:
    """A span as one view shows it: what all its events have in common.

    Args:
        span: the span.
        parents: identities of the spans around it, the outermost first.
        is_root: whether it is the whole call.
    """

    __slots__ = ("_metadata", "_name", "_parents", "_prefix", "_run_id", "_tags", "is_root")

    def __init__(self, span: Span, parents: list[str], is_root: bool) -> None:
        self._prefix = f"on_{_type_of(span)}_"
        self._name = span.name
        self._run_id = span.run_id
        self._parents = parents
        self._tags = span.tags
        self._metadata = span.metadata
        self.is_root = is_root

    def event(self, what: str, data: Any) -> StreamEvent:
        """An event, in containers of its own: the reader may change them."""
        return {
            "event": self._prefix + what,
            "name": self._name,
            "run_id": self._run_id,
            "parent_ids": self._parents.copy(),
            "tags": [*self._tags],
            "metadata": dict(self._metadata),
            "data": data,
        }


def _type_of(span: Span) -> str:
    return _TYPES.get(span.kind, span.kind)


class EventView(Observer):
    """Writes what it is told of into a stream.

    Args:
        selection: which events are wanted.
        input: what the whole call was given.
    """

    _trusted = True

    def __init__(self, selection: EventSelection, input: Any) -> None:
        self._selection = selection
        self._input = input
        self._root: Span | None = None
        self.merger: Merger

    # ---------------------------------------------------------------- told by the run

    def _room(self, span: Span) -> Awaitable[Any] | None:
        port = None if span.producer is None else span.producer.port_in(self.merger)
        return port if port is not None and port.pressed else None

    def wants_chunks(self, span: Span) -> bool:
        # Of a graph the stream has the chunks that were asked for, and of one inside of it none, as in LangGraph.
        return span.kind != "graph" and self._is_wanted(span)

    def started(self, span: Span) -> Awaitable[Any]:
        if self._root is None:
            self._root = span
        if not self._is_wanted(span):
            return DONE
        seen = self._seen(span)
        data: dict[str, Any] = {}
        if seen.is_root:
            data["input"] = _fresh(self._input)
        elif span.knows_input:
            data["input"] = _input(span)
        return self._put(span, seen.event("start", data))

    def streamed(self, span: Span, chunk: Any) -> Awaitable[Any]:
        seen: _Seen = span.notes[self]
        return self._put(span, seen.event("stream", {"chunk": _fresh(chunk)}))

    def ended(self, span: Span, output: Any) -> Awaitable[Any]:
        seen: _Seen | None = span.notes.get(self)
        if seen is None:
            return DONE
        data = {"output": _fresh(output)}
        if span.knows_input and not seen.is_root:
            data["input"] = _input(span)
        return self._put(span, seen.event("end", data))

    def failed(self, span: Span, error: BaseException) -> Awaitable[Any]:
        seen: _Seen | None = span.notes.get(self)
        if seen is None or span.cancelled:
            return DONE
        data: dict[str, Any] = {"error": error}
        if span.knows_input:
            data["input"] = _input(span)
        if span.kind == "tool":
            data["tool_call_id"] = span.details.get("tool_call_id")
        return self._put(span, seen.event("error", data))

    def custom(self, span: Span, name: str, data: Any) -> Awaitable[Any]:
        tags = (*span.once, *span.child_tags)
        if not self._selection.wants(name, name, tags):
            return DONE
        event: StreamEvent = {
            "event": "on_custom_event",
            "name": name,
            "run_id": span.run_id,
            "parent_ids": self._parents(span),
            "tags": list(tags),
            "metadata": dict(span.child_metadata),
            "data": data,
        }
        return self._put(span, event)

    # ---------------------------------------------------------------- events

    def wrap(self, item: Any) -> StreamEvent:
        """A chunk of the graph whose call this shows."""
        assert self._root is not None
        return self._seen(self._root).event("stream", {"chunk": item})

    def wants_root(self, name: str, tags: Collection[str]) -> bool:
        """Whether events of the whole call are wanted, if it is one of a graph."""
        return self._selection.wants(name, "chain", tags)

    def _is_wanted(self, span: Span) -> bool:
        return self._selection.wants(span.name, _type_of(span), span.tags)

    def _seen(self, span: Span) -> _Seen:
        seen: _Seen | None = span.notes.get(self)
        if seen is None:
            seen = span.notes[self] = _Seen(span, self._parents(span), span is self._root)
        return seen

    def _parents(self, span: Span) -> list[str]:
        return [parent.run_id for parent in span.ancestors(self)][::-1]

    def _put(self, span: Span, event: StreamEvent) -> Awaitable[Any]:
        return DONE if span.producer is None else write_event(span.producer, self.merger, event)


def _input(span: Span) -> Any:
    value = span.input
    if span.kind == "chat_model":
        return {"messages": [list(value)]} if isinstance(value, (list, tuple)) else value
    return _fresh(value)


def _fresh(value: Any) -> Any:
    """A container of its own, as for `_Seen.event`."""
    if isinstance(value, dict):
        return dict(value) if type(value).__init__ is dict.__init__ else value
    return [*value] if type(value) is list else value


def select_events(filters: EventFilters | EventOptions) -> EventSelection:
    """Read the arguments that say which events are wanted.

    Raises:
        TypeError: one of them is no collection of strings.
        ValueError: a type looks like a misspelt one.
    """
    given: dict[str, Any] = {}
    for name in EventFilters.__annotations__:
        value: Any = filters.get(name)
        found = _types(name, value) if name.endswith("types") else _strings(name, value)
        if found is not None:
            given[name] = found
    return EventSelection(**given)


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse an argument of `astream_events` that there is not.

    Raises:
        TypeError: there is one.
    """
    for name in options:
        if name not in EventOptions.__annotations__:
            known = [*EventOptions.__annotations__, "version"]
            raise TypeError(f"astream_events() has no argument {name!r}; {nearest(name, known)}")


def _strings(argument: str, value: Collection[str] | None) -> frozenset[str] | None:
    if value is None:
        return None
    names: object = (value,) if isinstance(value, str) else value
    if not isinstance(names, Collection) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{argument} must be strings, got {value!r}")
    return frozenset(names)


def _types(argument: str, value: Collection[str] | None) -> frozenset[str] | None:
    names = _strings(argument, value)
    for name in sorted(names or ()):
        # Any name could be that of a custom event, whose type it is; but hardly one that is nearly a type.
        close = difflib.get_close_matches(name, EVENT_TYPES, n=1, cutoff=0.8)
        if close and name not in EVENT_TYPES:
            raise ValueError(
                f"{argument}: there is no event type {name!r}, did you mean {close[0]!r}? Types are "
                f"{', '.join(map(repr, EVENT_TYPES))}; a custom event can be selected by its name"
            )
    return names
