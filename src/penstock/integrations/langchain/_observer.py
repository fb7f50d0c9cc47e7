"""Our spans as runs, for LangChain's callback handlers: graphs, nodes, chains, models and tools."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any
from uuid import UUID

from penstock.messages import BaseMessage
from penstock.runtime import Observer, Span

from ._messages import as_langchain

_callbacks: Any = import_module("langchain_core.callbacks")
_outputs: Any = import_module("langchain_core.outputs")

_BASES = (_callbacks.BaseCallbackHandler, _callbacks.AsyncCallbackHandler)
_NO_TOKENS = [base.on_llm_new_token for base in _BASES]
_NO_CUSTOM = [base.on_custom_event for base in _BASES]

_STREAMS = frozenset({"attempt", "chain", "parser"})
"""The kinds whose chunks go through `tap_output_iter`: not graphs, which have other chunks."""

_MORE_SPECIAL = frozenset({"prompt", "parser"})


class LangChainObserver(Observer):
    """Tells one of LangChain's callback handlers of our spans.

    LangChain logs what a handler raises.  It goes no further, as from any observer.

    Args:
        handler: the handler.
        parent_run_id: the run of LangChain's that spans are children of which are in none that the handler knows.
    """

    _trusted = True

    def __init__(self, handler: Any, parent_run_id: UUID | None = None) -> None:
        self.handler: Any = handler
        self._outer = parent_run_id
        cls = type(handler)
        self._taps = callable(getattr(cls, "tap_output_iter", None))
        self._tokens = getattr(cls, "on_llm_new_token", None) not in _NO_TOKENS
        self._hears_custom = getattr(cls, "on_custom_event", None) not in _NO_CUSTOM

    # A handler is told once of everything, however often it was given.

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LangChainObserver) and other.handler is self.handler

    def __hash__(self) -> int:
        return hash(id(self.handler))

    def wants_chunks(self, span: Span) -> bool:
        if isinstance(span, LangChainSpan):
            return False
        return self._taps and (span.kind == "chat_model" or span.kind in _STREAMS)

    def _overhears(self, span: Span) -> bool:
        return self._tokens and span.kind == "chat_model" and not isinstance(span, LangChainSpan)

    def started(self, span: Span) -> None:
        if not isinstance(span, LangChainSpan):
            span.notes[self] = _quiet(lambda: _Told(self, span))

    def streamed(self, span: Span, chunk: Any) -> None:
        told: _Told | None = span.notes.get(self)
        if told is not None:
            _quiet(lambda: told.streamed(chunk))

    def ended(self, span: Span, output: Any) -> None:
        told: _Told | None = span.notes.pop(self, None)
        if told is not None:
            _quiet(lambda: told.ended(output))

    def failed(self, span: Span, error: BaseException) -> None:
        told: _Told | None = span.notes.pop(self, None)
        if told is not None:
            _quiet(lambda: told.failed(error))

    def custom(self, span: Span, name: str, data: Any) -> None:
        manager = _callbacks.CallbackManager(
            [self.handler], tags=[*span.once, *span.child_tags], metadata=dict(span.child_metadata)
        )
        known = isinstance(span, LangChainSpan) or self in span.notes
        ident = span.uuid if known or self._outer is None else self._outer
        _quiet(lambda: manager.on_custom_event(name, data, run_id=ident))

    def parent_of(self, span: Span) -> UUID | None:
        """The run that a span is a child of."""
        for around in span.ancestors(self):
            return around.uuid
        return self._outer


class LangChainSpan(Span):
    """A run of LangChain's.  LangChain's handlers have been told of it by LangChain itself."""

    __slots__ = ()


def _quiet(call: Callable[[], Any]) -> Any:
    with contextlib.suppress(Exception):
        return call()


class _Told:
    """A span as one handler was told of it: a run that ends or fails."""

    __slots__ = ("_feed", "_knew_input", "_observer", "_run", "_span", "_tapped")

    def __init__(self, observer: LangChainObserver, span: Span) -> None:
        self._observer = observer
        self._span = span
        self._knew_input = span.knows_input
        self._feed: _Feed | None = None
        self._tapped: Any = None
        manager = _callbacks.CallbackManager(
            [observer.handler],
            parent_run_id=observer.parent_of(span),
            tags=list(span.tags),
            metadata=dict(span.metadata),
        )
        self._run: Any = self._start(manager, span)

    def _start(self, manager: Any, span: Span) -> Any:
        known: dict[str, Any] = {"run_id": span.uuid, "name": span.name}
        about = {"name": span.name}
        if span.kind == "chat_model":
            given = [_theirs(message) for message in span.input] if isinstance(span.input, (list, tuple)) else []
            options = dict(span.details.get("options") or {})
            return manager.on_chat_model_start(about, [given], invocation_params=options, options=options, **known)[0]
        if span.kind == "tool":
            about["description"] = span.details.get("description") or ""
            known["tool_call_id"] = span.details.get("tool_call_id")
            args = dict(span.input) if isinstance(span.input, Mapping) else None
            return manager.on_tool_start(about, str(span.input), inputs=args, **known)
        if span.kind in _MORE_SPECIAL:
            known["run_type"] = span.kind
        return manager.on_chain_start(about, span.input if span.knows_input else {"input": ""}, **known)

    def streamed(self, chunk: Any) -> None:
        if self._span.kind == "chat_model":
            message = _theirs(chunk)
            generated = _outputs.ChatGenerationChunk(message=message)
            self._run.on_llm_new_token(generated.text, chunk=generated)
            return
        if self._feed is None:
            self._feed = _Feed()
            self._tapped = self._observer.handler.tap_output_iter(self._run.run_id, self._feed)
        self._feed.chunk = chunk
        next(self._tapped)

    def ended(self, output: Any) -> None:
        kind = self._span.kind
        if kind == "chat_model":
            self._run.on_llm_end(_answer(output))
        elif kind == "tool":
            self._run.on_tool_end(_theirs(output))
        else:
            self._run.on_chain_end(output, **({} if self._knew_input else {"inputs": self._span.input}))

    def failed(self, error: BaseException) -> None:
        kind = self._span.kind
        if kind == "chat_model":
            self._run.on_llm_error(error, response=_outputs.LLMResult(generations=[]))
        elif kind == "tool":
            self._run.on_tool_error(error)
        else:
            self._run.on_chain_error(error)


class _Feed(Iterator[Any]):
    """What a handler taps: chunks, one at a time."""

    chunk: Any = None

    def __next__(self) -> Any:
        return self.chunk


def _theirs(value: Any) -> Any:
    return as_langchain(value) if isinstance(value, BaseMessage) else value


def _answer(output: Any) -> Any:
    """The result of a model call, with its usage."""
    if output is None:
        return _outputs.LLMResult(generations=[[]])
    message = _theirs(output)
    kind = _outputs.ChatGenerationChunk if type(message).__name__.endswith("Chunk") else _outputs.ChatGeneration
    return _outputs.LLMResult(generations=[[kind(message=message)]])
