"""The callback handler that makes spans of LangChain's runs."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from importlib import import_module
from typing import Any
from uuid import UUID

from penstock.runtime import Span
from penstock.runtime._emitter import Receipts
from penstock.runtime._observer import SpanKind
from penstock.streams import DONE
from penstock.streams._backend import in_event_loop, on_trio
from penstock.streams._merger import check_cancelled

from ._handler import SometimesStreaming, event, refuse_on_trio
from ._observer import LangChainObserver, LangChainSpan

# Whether the chunks of the run that is being started in this context are to be told.
_wanted: ContextVar[bool] = ContextVar("penstock_langchain_wanted", default=False)

_KINDS: Mapping[Any, SpanKind] = {"prompt": "prompt", "parser": "parser"}
"""What LangChain calls a chain that is something more special."""

_PLAIN = (type(None), str, bool, int, float, list, tuple, dict)
"""Types of values of which LangChain shows those that are false as `{}`, when their run ends."""


class RunHandler(SometimesStreaming):
    """Tells the observers of a span of what LangChain runs inside of it.

    The other half of it is LangChain's base class, which it is joined with where that is imported.

    Args:
        place: the span.
        others: the handlers beside it.
    """

    run_inline = True
    raise_error = True

    _switch = _wanted

    def __init__(self, place: Span, others: Sequence[Any]) -> None:
        self.place = place
        self._others = [handler for handler in others if callable(getattr(handler, "tap_output_aiter", None))]
        self._spans: dict[UUID, LangChainSpan] = {}
        self.hears: bool = any(not isinstance(observer, LangChainObserver) for observer in place.observers)

    def span_of(self, run_id: UUID | None) -> LangChainSpan | None:
        """The span that stands for a run of LangChain's, while it runs."""
        return None if run_id is None else self._spans.get(run_id)

    # Two for the same observers are one: LangChain joins a config that was passed on with that around the call.

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunHandler) and other.place.observers == self.place.observers

    def __hash__(self) -> int:
        return hash(self.place.observers)

    # ---------------------------------------------------------------- what LangChain asks it

    @property
    def ignore_chain(self) -> bool:
        return not self.hears and not on_trio()

    ignore_agent = ignore_chat_model = ignore_llm = ignore_retriever = ignore_chain

    @property
    def ignore_custom_event(self) -> bool:
        return not self.hears

    @property
    def ignore_retry(self) -> bool:
        return True

    def tap_iter(self, run_id: UUID, output: Iterator[Any]) -> Iterator[Any]:
        """The output of a run, piece by piece, which is told as it passes."""
        for handler in self._others:
            output = handler.tap_output_iter(run_id, output)
        span = self._spans.get(run_id)
        return output if span is None else _Tap(span, output)

    def tap_aiter(self, run_id: UUID, output: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The same of a run that is asynchronous."""
        for handler in self._others:
            output = handler.tap_output_aiter(run_id, output)
        span = self._spans.get(run_id)
        return output if span is None else _AsyncTap(span, output)

    # ---------------------------------------------------------------- what LangChain tells it

    @event
    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, run_type: str | None = None, **told: Any
    ) -> Awaitable[Any]:
        kind = _KINDS.get(run_type, "chain")
        if _is_unknown(inputs):
            return self._start(kind, serialized, run_id, told, knows_input=False)
        return self._start(kind, serialized, run_id, told, input=inputs)

    @event
    def on_chain_end(self, outputs: Any, *, run_id: UUID, inputs: Any = None, **told: Any) -> Awaitable[Any]:
        span = self._spans.pop(run_id, None)
        if span is None:
            return DONE
        _know_input(span, inputs)
        if type(span.input) in _PLAIN and not span.input:
            span.input = {}
        return span.end(outputs)

    @event
    def on_chain_error(self, error: BaseException, *, run_id: UUID, inputs: Any = None, **told: Any) -> Awaitable[Any]:
        span = self._spans.pop(run_id, None)
        if span is None:
            return DONE
        _know_input(span, inputs)
        span.fail_by(error)
        return DONE

    @event
    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: UUID, **told: Any) -> Awaitable[Any]:
        options = told.get("invocation_params") or {}
        given = messages[0] if len(messages) == 1 else [message for batch in messages for message in batch]
        return self._start("chat_model", serialized, run_id, told, input=given, details={"options": options})

    @event
    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: UUID, **told: Any) -> Awaitable[Any]:
        return self._start("llm", serialized, run_id, told, input={"prompts": prompts})

    @event
    def on_llm_new_token(self, token: Any, *, run_id: UUID, chunk: Any = None, **told: Any) -> Awaitable[Any]:
        span = self._spans.get(run_id)
        if span is None or not span.wants_chunks:
            return DONE
        _unwind()
        return span.stream(_chunk(span, token, chunk))

    @event
    def on_llm_end(self, response: Any, *, run_id: UUID, **told: Any) -> Awaitable[Any]:
        span = self._spans.pop(run_id, None)
        return DONE if span is None else span.end(_answer(span, response))

    on_llm_error = on_tool_error = on_retriever_error = on_chain_error

    @event
    def on_tool_start(
        self, serialized: Any, input_str: str, *, run_id: UUID, inputs: Any = None, **told: Any
    ) -> Awaitable[Any]:
        details = {"tool_call_id": told.get("tool_call_id"), "description": (serialized or {}).get("description")}
        return self._start("tool", serialized, run_id, told, input=inputs or {}, details=details)

    @event
    def on_retriever_start(self, serialized: Any, query: str, *, run_id: UUID, **told: Any) -> Awaitable[Any]:
        return self._start("retriever", serialized, run_id, told, input={"query": query})

    @event
    def on_tool_end(self, output: Any, *, run_id: UUID, **told: Any) -> Awaitable[Any]:
        span = self._spans.pop(run_id, None)
        return DONE if span is None else span.end(output)

    on_retriever_end = on_tool_end

    @event
    def on_custom_event(
        self, name: str, data: Any, *, run_id: UUID, tags: Any = None, metadata: Any = None, **told: Any
    ) -> Awaitable[Any]:
        span: Span | None = self._spans.get(run_id)
        if span is None:
            span = self.place.work or self.place
        else:
            span.child_tags, span.child_metadata = tuple(tags or ()), metadata or {}
        # Its own handlers hear of it from LangChain.
        others = [o for o in self.place.observers if not isinstance(o, LangChainObserver)]
        return Receipts([o.custom(span, name, data) or DONE for o in others])

    def _start(
        self, kind: SpanKind, serialized: Any, run_id: UUID, told: Mapping[str, Any], **known: Any
    ) -> Awaitable[Any]:
        if not self.hears:
            return refuse_on_trio()
        _unwind()
        around: Span = self.span_of(told.get("parent_run_id")) or self.place
        self._spans[run_id] = span = LangChainSpan(
            kind,
            _name(told.get("name"), serialized),
            parent=around.work,
            observers=around.observers,
            producer=self.place.producer,
            run_id=run_id,
            tags=tuple(told.get("tags") or ()),
            metadata=told.get("metadata") or {},
            child_tags=around.child_tags,
            child_metadata=around.child_metadata,
            configurable=around.configurable,
            **known,
        )
        _wanted.set(span.wants_chunks)
        span.start()
        return refuse_on_trio(functools.partial(self._refused, run_id)) if on_trio() else span.receipt

    def _refused(self, run_id: UUID, error: BaseException) -> None:
        span = self._spans.pop(run_id, None)
        if span is not None:
            span.fail_by(error)


def _name(name: str | None, serialized: Any) -> str:
    if name is not None:
        return name
    known = serialized or {}
    return str(known["name"] if "name" in known else (known.get("id") or ["Unnamed"])[-1])


def _unwind() -> None:
    """In a worker thread of a run that was cancelled: end here, as at a write to the stream."""
    if not in_event_loop():
        check_cancelled()


def _is_unknown(inputs: Any) -> bool:
    """Whether this is what LangChain gives for the input of a chain while that is still streaming."""
    return type(inputs) is dict and len(inputs) == 1 and type(inputs.get("input")) is str and not inputs["input"]


def _know_input(span: Span, inputs: Any) -> None:
    if not span.knows_input:
        span.input, span.knows_input = inputs, True


def _chunk(span: Span, token: Any, chunk: Any) -> Any:
    if span.kind == "chat_model":
        message = getattr(chunk, "message", None)
        return import_module("langchain_core.messages").AIMessageChunk(content=token) if message is None else message
    return import_module("langchain_core.outputs").GenerationChunk(text=token) if chunk is None else chunk


def _answer(span: Span, response: Any) -> Any:
    generations = response.generations
    if span.kind == "chat_model":
        return next((one.message for batch in generations for one in batch), None)
    fields = ("text", "generation_info", "type")
    texts = [[{name: getattr(one, name) for name in fields} for one in batch] for batch in generations]
    return {"generations": texts, "llm_output": response.llm_output}


# No generators: one that is left would have to be closed, and LangChain does not close what it taps.


class _Tap(Iterator[Any]):
    def __init__(self, span: Span, output: Iterator[Any]) -> None:
        self._span = span
        self._output = output

    def __next__(self) -> Any:
        chunk = next(self._output)
        _unwind()
        _ = self._span.stream(chunk)
        return chunk


class _AsyncTap(AsyncIterator[Any]):
    def __init__(self, span: Span, output: AsyncIterator[Any]) -> None:
        self._span = span
        self._output = output

    async def __anext__(self) -> Any:
        chunk = await anext(self._output)
        await self._span.stream(chunk)
        return chunk
