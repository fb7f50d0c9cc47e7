"""Messages and other content in the form that OpenTelemetry's conventions for generative AI give them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from penstock.messages import coerce_messages, is_message
from penstock.types import Send

_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "system": "system", "tool": "tool"}

Part = dict[str, Any]


def as_json(value: Any) -> str:
    """Any value as text: texts as they are, all else as JSON, with its `repr` for what that cannot say."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError, RecursionError):  # keys that are no texts, or a value that holds itself
        return repr(value)


def _plain(value: Any) -> Any:
    if is_message(value):
        return describe_message(value)
    if isinstance(value, Send):
        return {"node": value.node, "arg": value.arg}
    if hasattr(value, "to_messages"):  # what a prompt gives
        return value.to_messages()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        return dump()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    return repr(value)


# ---------------------------------------------------------------- messages


def message_in(output: Any) -> Any:
    """The message that a model call gave, or None; LangChain's results have it further in."""
    if is_message(output):
        return output
    generations = getattr(output, "generations", None)
    while isinstance(generations, (list, tuple)) and generations:
        generations = generations[0]
    return getattr(generations, "message", None)


def state_messages(state: Any) -> Sequence[Any]:
    """The messages in a state or an update of it, if it has such."""
    found = state.get("messages") if isinstance(state, Mapping) else None
    if not isinstance(found, (str, list, tuple)):  # an iterator would be used up
        return ()
    try:
        return coerce_messages(found)
    except Exception:  # a key of the user's own, which has the name only
        return ()


def input_messages(messages: Any) -> list[Part]:
    """The messages a model is shown."""
    items = messages if isinstance(messages, (list, tuple)) else [messages]
    while len(items) == 1 and isinstance(items[0], (list, tuple)):  # LangChain asks for several answers at once
        items = items[0]
    return [describe_message(item) if is_message(item) else _other(item) for item in items]


def _other(item: Any) -> Part:
    return {"role": "user", "parts": [{"type": "text", "content": as_json(item)}]}


def describe_message(message: Any) -> Part:
    """A message: who says it, and what."""
    kind = str(message.type)
    if kind == "tool":
        response = {"type": "tool_call_response", "id": message.tool_call_id, "response": message.content}
        parts: list[Part] = [response]
    else:
        parts = _parts(message.content)
        parts += [
            {"type": "tool_call", "id": call.get("id"), "name": call["name"], "arguments": call.get("args")}
            for call in getattr(message, "tool_calls", None) or ()
        ]
    found: Part = {"role": _ROLES.get(kind, kind), "parts": parts}
    if message.name:
        found["name"] = message.name
    return found


def _parts(content: Any) -> list[Part]:
    if isinstance(content, str):
        return [{"type": "text", "content": content}] if content else []
    # A block that calls a tool is among the message's tool calls as well.
    return [_part(block) for block in content if not (isinstance(block, Mapping) and block.get("type") == "tool_use")]


def _part(block: Any) -> Part:
    if not isinstance(block, Mapping):
        return {"type": "text", "content": str(block)}
    kind = block.get("type", "text")
    if kind == "text":
        return {"type": "text", "content": block.get("text", "")}
    if kind in ("thinking", "reasoning"):
        said = block.get("thinking") or block.get("reasoning") or block.get("text") or ""
        return {"type": "reasoning", "content": said}
    if kind == "image_url":
        return _image(block.get("image_url"))
    return {**block, "type": kind}  # the conventions leave room for types of one's own


def _image(image: Any) -> Part:
    address = str(image.get("url", "") if isinstance(image, Mapping) else image)
    if not address.startswith("data:"):
        return {"type": "uri", "modality": "image", "uri": address}
    head, _, data = address.partition(",")
    mime = head.removeprefix("data:").partition(";")[0]
    return {"type": "blob", "modality": "image", "mime_type": mime, "content": data}


def tool_definitions(tools: Sequence[Mapping[str, Any]]) -> list[Part]:
    """The tools a model is told about; those that its provider runs are described in the provider's own way."""
    return [{"type": "function", **tool["function"]} if "function" in tool else dict(tool) for tool in tools]
