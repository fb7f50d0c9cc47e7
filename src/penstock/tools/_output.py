"""From what a tool returns to the message that answers the call."""

from __future__ import annotations

import json
from typing import Any, Literal

from ..errors import ToolCallError
from ..messages import ToolMessage, is_message
from ..types import Command

ResponseFormat = Literal["content", "content_and_artifact"]

_BLOCKS = frozenset(
    {"text", "image_url", "image", "json", "search_result", "custom_tool_call_output", "document", "file", "audio"}
)
"""Types of the content blocks that a tool message may hold."""


def is_tool_message(value: object) -> bool:
    """Whether something is a tool message, ours or LangChain's."""
    return is_message(value) and getattr(value, "type", None) in ("tool", "ToolMessageChunk")


def is_answer(value: object) -> bool:
    """Whether a tool returned something that goes to the graph as it is: a `Command`, a message, or several."""
    if isinstance(value, list) and value:
        return all(isinstance(item, Command) or is_tool_message(item) for item in value)
    return isinstance(value, Command) or is_tool_message(value)


def as_content(value: Any) -> str | list[dict[str, Any]]:
    """What the model gets to see of a tool's result: text and content blocks as they are, anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(x, dict) and x.get("type") in _BLOCKS for x in value):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(value)


def split_result(tool: str, result: Any, response_format: ResponseFormat) -> tuple[Any, Any]:
    """What the tool made for the model, and what for the program.

    Raises:
        ToolCallError: the tool should have returned both.
    """
    if response_format == "content":
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise ToolCallError(
            f"tool {tool!r} has response_format='content_and_artifact', so it must return a tuple of two; "
            f"got {result!r}"
        )
    return result


def as_answer(tool: str, call_id: str, content: Any, artifact: Any) -> Any:
    """What answers a model's call: a `ToolMessage`, or what the tool returned in its place."""
    if is_answer(content):
        return content
    return ToolMessage(as_content(content), tool_call_id=call_id, name=tool, artifact=artifact)
