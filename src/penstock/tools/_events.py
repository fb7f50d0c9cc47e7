"""What `stream_mode="tools"` shows of one call."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Collection, Mapping
from typing import Any

from ..config import maybe_scope
from ..constants import TAG_NOSTREAM
from ..messages import is_message
from ..runtime import Emitter, emitter


class ToolEvents:
    """Writes the chunks of one call. Each method's result may be awaited, to wait for the reader.

    Args:
        emit: where they go.
        call_id: which call it is.
    """

    __slots__ = ("_emit", "call_id")

    def __init__(self, emit: Emitter, call_id: str) -> None:
        self._emit = emit
        self.call_id: str = call_id

    def started(self, tool: str, args: Mapping[str, Any]) -> Awaitable[None]:
        """The tool is about to be called with these arguments."""
        return self._write("tool-started", tool_name=tool, input=dict(args))

    def delta(self, delta: Any) -> Awaitable[None]:
        """The tool has made a part of its output."""
        return self._write("tool-output-delta", delta=delta)

    def finished(self, output: Any) -> Awaitable[None]:
        """The tool has returned."""
        return self._write("tool-finished", output=shown(output))

    def failed(self, error: BaseException) -> Awaitable[None]:
        """The tool has raised."""
        return self._write("tool-error", message=str(error))

    def _write(self, event: str, **fields: Any) -> Awaitable[None]:
        return self._emit({"event": event, "tool_call_id": self.call_id, **fields})


def shown(output: Any) -> Any:
    """What a tool has returned, as it is handed out: the state gives a message an id, which is not to change it."""
    return output.model_copy() if is_message(output) else output


def open_events(call_id: str | None, tags: Collection[str]) -> ToolEvents | None:
    """Where the events of a call go; None if nobody wants to see them.

    Args:
        call_id: the id the model gave the call; a call of the program's own gets one.
        tags: the tool's tags.
    """
    if maybe_scope() is None or TAG_NOSTREAM in tags:
        return None
    emit = emitter("tools", tags)
    return None if emit is None else ToolEvents(emit, str(uuid.uuid4()) if call_id is None else call_id)
