"""Running graphs: the superstep loop, the streams it gives, and what nodes can ask of it."""

from __future__ import annotations

from ._emitter import Emitter
from ._model_call import ModelCall, emitter
from ._retry import retry_delay
from ._run import RunStream, StreamStatistics
from ._runtime import ExecutionInfo, Runtime, get_runtime
from ._sync import SyncRunStream

__all__ = [
    "Emitter",
    "ExecutionInfo",
    "ModelCall",
    "RunStream",
    "Runtime",
    "StreamStatistics",
    "SyncRunStream",
    "emitter",
    "get_runtime",
    "retry_delay",
]
