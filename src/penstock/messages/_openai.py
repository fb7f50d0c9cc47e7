"""Messages in the form of OpenAI's chat API, which most servers understand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from penstock.errors import MessageError

from ._coerce import OPENAI_ROLE, MessageLike, MessagesLike, as_items, coerce_message

_ROLES = {
    "human": "user",
    "ai": "assistant",
    "system": "system",
    "tool": "tool",
    "HumanMessageChunk": "user",
    "AIMessageChunk": "assistant",
    "SystemMessageChunk": "system",
    "ToolMessageChunk": "tool",
}


def message_to_dict(message: MessageLike, *, include_id: bool = False) -> dict[str, Any]:
    """A message as a dict with `role` and `content`, as OpenAI's chat API takes it.

    :func:`coerce_message` reads it back. Images given as `image` blocks become `image_url` blocks; blocks of
    types that only other providers know are left as they are.

    Args:
        message: a message, ours or LangChain's, or any form that :func:`coerce_message` reads.
        include_id: add the message's `id`, which the API itself does not take.

    Returns:
        A new dict with `role`, `content` and, where there are some, `name`, `tool_calls`, `tool_call_id`.

    Raises:
        MessageError: this is no message, or one that nobody says, such as a `RemoveMessage`.

    Example:
        ```python
        from penstock.messages import AIMessage, message_to_dict

        answer = AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Rome"}, "id": "call_1"}])
        assert message_to_dict(answer) == {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
                }
            ],
        }
        ```
    """
    read: Any = coerce_message(message)
    role = _ROLES.get(read.type)
    if role is None:
        raise MessageError(
            f"{read!r} has no role in a conversation; expected a message of type {', '.join(map(repr, _ROLES))}"
        )
    if role == "system":
        role = read.additional_kwargs.get(OPENAI_ROLE, role)
    made: dict[str, Any] = {"role": role, "content": openai_content(read.content)}
    if include_id and read.id is not None:
        made["id"] = read.id
    if read.name is not None:
        made["name"] = read.name
    if role == "tool":
        made["tool_call_id"] = read.tool_call_id
    if role == "assistant":
        _add_calls(made, read)
    return made


def messages_to_dicts(messages: MessagesLike, *, include_id: bool = False) -> list[dict[str, Any]]:
    """Messages as dicts with `role` and `content`, as OpenAI's chat API takes them.

    Args:
        messages: one message or several, in any form that :func:`coerce_messages` reads.
        include_id: add each message's `id`.

    Returns:
        A new list of new dicts; see :func:`message_to_dict`.

    Raises:
        MessageError: one of them is no message, or one that nobody says.

    Example:
        ```python
        from penstock.messages import messages_to_dicts

        assert messages_to_dicts([("ai", "Hello")]) == [{"role": "assistant", "content": "Hello"}]
        ```
    """
    return [message_to_dict(message, include_id=include_id) for message in as_items(messages)]


def _add_calls(made: dict[str, Any], message: Any) -> None:
    calls = [
        _call(call["id"], call["name"], json.dumps(call["args"], ensure_ascii=False)) for call in message.tool_calls
    ]
    calls += [_call(bad["id"], bad["name"], bad["args"]) for bad in message.invalid_tool_calls]
    if not calls:
        return
    made["tool_calls"] = calls
    if isinstance(made["content"], list):
        # Some providers repeat their calls as content blocks.
        said = [block for block in made["content"] if block.get("type") not in ("tool_use", "tool_call")]
        made["content"] = said or ""


def _call(call_id: str | None, name: str | None, arguments: str | None) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name or "", "arguments": arguments or ""}}


def openai_content(content: str | list[Any]) -> str | list[dict[str, Any]]:
    """Content with its blocks in the form of OpenAI's chat API."""
    if isinstance(content, str):
        return content
    return [{"type": "text", "text": b} if isinstance(b, str) else _block(b) for b in content]


def _block(block: Mapping[str, Any]) -> dict[str, Any]:
    kind = block.get("type")
    if kind == "text":
        return {"type": "text", "text": block.get("text", "")}
    if kind == "image":
        url = _image_url(block)
        if url is not None:
            return {"type": "image_url", "image_url": {"url": url}}
    return dict(block)


def _image_url(block: Mapping[str, Any]) -> str | None:
    """The address of an image, given at the top of the block or in a `source`, by address or as base64."""
    source = block.get("source")
    if not isinstance(source, Mapping):
        source = block
    if source.get("url"):
        return str(source["url"])
    data = source.get("base64") or source.get("data")
    if not data:
        return None
    kind = source.get("mime_type") or source.get("media_type") or "image/png"
    return f"data:{kind};base64,{data}"
