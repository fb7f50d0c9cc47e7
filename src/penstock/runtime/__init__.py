"""Running graphs: the superstep loop, the streams it gives, what nodes can ask of it, and who can observe it."""

from __future__ import annotations

from ._custom import adispatch_custom_event, dispatch_custom_event
from ._emitter import Emitter
from ._events import EventFilters, EventOptions
from ._model_call import ModelCall, emitter
from ._observer import SPAN_KINDS, Observer, Span, SpanKind
from ._retry import retry_delay
from ._run import RunStream, StreamStatistics
from ._runtime import ExecutionInfo, Runtime, get_runtime
from ._spans import current_span, observe
from ._sync import SyncRunStream

__all__ = [
    "SPAN_KINDS",
    "Emitter",
    "EventFilters",
    "EventOptions",
    "ExecutionInfo",
    "ModelCall",
    "Observer",
    "RunStream",
    "Runtime",
    "Span",
    "SpanKind",
    "StreamStatistics",
    "SyncRunStream",
    "adispatch_custom_event",
    "current_span",
    "dispatch_custom_event",
    "emitter",
    "get_runtime",
    "observe",
    "retry_delay",
]
