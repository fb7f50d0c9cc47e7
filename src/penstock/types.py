"""Values that pass between a graph, its nodes and whoever runs it: pure data, no event loop."""

from __future__ import annotations

from ._types._control import Command, Interrupt, Overwrite, Send
from ._types._policies import RetryPolicy, default_retry_on
from ._types._stream import (
    CheckpointStreamPart,
    CustomStreamPart,
    DebugStreamPart,
    GraphOutput,
    MessagesStreamPart,
    Namespace,
    Only,
    OnlyLike,
    Overflow,
    OverflowLike,
    StreamEvent,
    StreamMode,
    StreamPart,
    StreamWriter,
    TaskPayload,
    TaskResultPayload,
    TasksStreamPart,
    ToolsStreamPart,
    UpdatesStreamPart,
    ValuesStreamPart,
)

__all__ = [
    "CheckpointStreamPart",
    "Command",
    "CustomStreamPart",
    "DebugStreamPart",
    "GraphOutput",
    "Interrupt",
    "MessagesStreamPart",
    "Namespace",
    "Only",
    "OnlyLike",
    "Overflow",
    "OverflowLike",
    "Overwrite",
    "RetryPolicy",
    "Send",
    "StreamEvent",
    "StreamMode",
    "StreamPart",
    "StreamWriter",
    "TaskPayload",
    "TaskResultPayload",
    "TasksStreamPart",
    "ToolsStreamPart",
    "UpdatesStreamPart",
    "ValuesStreamPart",
    "default_retry_on",
]
