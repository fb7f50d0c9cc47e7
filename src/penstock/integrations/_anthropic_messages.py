"""Conversations and tools in the form of Anthropic's API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from penstock.errors import MessageError
from penstock.messages import BaseMessage

_DATA_URL = re.compile(r"data:(?P<kind>[\w/+.-]+);base64,(?P<data>.*)", re.S)


def to_anthropic(messages: list[BaseMessage]) -> tuple[str | list[dict[str, Any]], list[dict[str, Any]]]:
    """The system prompt, and the conversation.

    Messages of one side that follow each other become one, as the API wants it: the results of several tools, and
    what the user says after them.
    """
    system: list[Any] = []
    conversation: list[dict[str, Any]] = []
    for message in messages:
        kind = message.type.removesuffix("MessageChunk").lower()
        if kind == "system":
            system.append(message.content)
            continue
        role = "assistant" if kind == "ai" else "user"
        content = _READERS[kind](message) if kind in _READERS else _unknown(message)
        if conversation and conversation[-1]["role"] == role:
            conversation[-1]["content"] = _blocks(conversation[-1]["content"]) + _blocks(content)
        else:
            conversation.append({"role": role, "content": content})
    if all(isinstance(part, str) for part in system):
        return "\n\n".join(system), conversation
    return [block for part in system for block in _blocks(part)], conversation


def to_anthropic_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool; one that only Anthropic knows is left as it is."""
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return dict(tool)
    made = {"name": function["name"], "input_schema": dict(function.get("parameters") or {"type": "object"})}
    if function.get("description"):
        made["description"] = function["description"]
    return made


def _unknown(message: BaseMessage) -> Any:
    raise MessageError(f"{message!r} has no place in a conversation with Anthropic")


def _from_user(message: Any) -> Any:
    content = message.content
    return content if isinstance(content, str) else _blocks(content)


def _from_assistant(message: Any) -> Any:
    content = message.content
    if isinstance(content, str) and not message.tool_calls:
        return content
    # Calls are told by `tool_calls`, whoever made the message.
    blocks = [block for block in _blocks(content) if block.get("type") not in ("tool_use", "tool_call")]
    return blocks + [
        {"type": "tool_use", "id": call["id"], "name": call["name"], "input": call["args"]}
        for call in message.tool_calls
    ]


def _from_tool(message: Any) -> Any:
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": message.tool_call_id}
    content = message.content
    result["content"] = content if isinstance(content, str) else _blocks(content)
    if message.status == "error":
        result["is_error"] = True
    return [result]


_READERS = {"human": _from_user, "ai": _from_assistant, "tool": _from_tool}


def _blocks(content: Any) -> list[dict[str, Any]]:
    """Content as blocks; empty text, which the API refuses, is left out."""
    items = [content] if isinstance(content, str) else content
    blocks = [_block({"type": "text", "text": item} if isinstance(item, str) else item) for item in items]
    return [block for block in blocks if block.get("type") != "text" or block.get("text")]


def _block(block: Mapping[str, Any]) -> dict[str, Any]:
    kind = block.get("type")
    if kind == "image_url":
        url = block.get("image_url")
        return _image(url.get("url") if isinstance(url, Mapping) else url, block)
    if kind == "image" and not isinstance(block.get("source"), Mapping):
        data = block.get("base64") or block.get("data")
        if data:
            source = {"type": "base64", "media_type": block.get("mime_type") or "image/png", "data": data}
            return {"type": "image", "source": source}
        return _image(block.get("url"), block)
    # Where a block of a streamed answer stood is not for the request.
    return {key: value for key, value in block.items() if key != "index"}


def _image(url: Any, block: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(url, str):
        raise MessageError(f"cannot find the image in {dict(block)!r}; expected a url, or base64 and mime_type")
    found = _DATA_URL.match(url)
    if found:
        source = {"type": "base64", "media_type": found["kind"], "data": found["data"]}
        return {"type": "image", "source": source}
    return {"type": "image", "source": {"type": "url", "url": url}}
