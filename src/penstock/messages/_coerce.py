"""Making messages of the shorter forms in which people write them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from reprlib import Repr
from typing import Any, Protocol, TypeAlias

from penstock.errors import MessageError, nearest

from ._base import BaseMessage
from ._chunks import AIMessageChunk, HumanMessageChunk, SystemMessageChunk, ToolMessageChunk
from ._messages import AIMessage, HumanMessage, RemoveMessage, SystemMessage, ToolMessage
from ._predicate import is_message


class ForeignMessage(Protocol):
    """What a message of another library, such as LangChain's, has in common with ours."""

    @property
    def content(self) -> Any:
        """What the message says."""
        ...

    @property
    def additional_kwargs(self) -> Any:
        """Whatever has no attribute of its own."""
        ...

    @property
    def response_metadata(self) -> Any:
        """What a provider tells about its answer."""
        ...


MessageLike: TypeAlias = BaseMessage | ForeignMessage | str | tuple[str, Any] | list[str] | Mapping[str, Any]
"""Whatever can be read as one message."""

MessagesLike: TypeAlias = MessageLike | Iterable[MessageLike]
"""Whatever can be read as messages: one, or several."""

_ROLES: dict[str, type[BaseMessage]] = {
    "user": HumanMessage,
    "human": HumanMessage,
    "assistant": AIMessage,
    "ai": AIMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
    "tool": ToolMessage,
    "remove": RemoveMessage,
}
_CHUNK_TYPES: dict[str, type[BaseMessage]] = {
    cls.type: cls for cls in (AIMessageChunk, HumanMessageChunk, SystemMessageChunk, ToolMessageChunk)
}
OPENAI_ROLE = "__openai_role__"
"""Where a system message keeps that OpenAI calls it `developer`."""

_COMMON = frozenset({"id", "name", "additional_kwargs", "response_metadata"})
_ANSWER = _COMMON | {"tool_calls", "invalid_tool_calls", "usage_metadata"}
_TOOL = _COMMON | {"tool_call_id", "status", "artifact"}
_KNOWN: dict[type[BaseMessage], frozenset[str]] = {
    AIMessage: _ANSWER,
    AIMessageChunk: _ANSWER | {"tool_call_chunks", "chunk_position"},
    ToolMessage: _TOOL,
    ToolMessageChunk: _TOOL,
}

_short = Repr()
_short.maxstring = _short.maxother = 120


def coerce_message(message: MessageLike) -> BaseMessage:
    """Read one message from any form in which it may be written.

    Args:
        message: one of

            * a message, ours or LangChain's: returned as it is, never converted;
            * text: a `HumanMessage`;
            * a pair of role and content, such as `("system", "Be brief.")`;
            * a dict with `role` (or `type`) and `content`, as OpenAI's API has it, with `tool_calls`,
              `tool_call_id`, `name` and `id` where they belong. Keys that a message has no attribute for
              go to `additional_kwargs`. The dict is not changed.

            Roles are `user` or `human`, `assistant` or `ai`, `system`, `developer`, `tool`, `remove`.

    Returns:
        The message; it has an id only if one was given.

    Raises:
        MessageError: this is no message; the text names what was got and what can be read.

    Example:
        ```python
        from penstock.messages import AIMessage, HumanMessage, coerce_message

        assert coerce_message("Hi") == HumanMessage("Hi")
        assert coerce_message(("ai", "Hello")) == AIMessage("Hello")
        assert coerce_message({"role": "user", "content": "Hi", "id": "1"}) == HumanMessage("Hi", id="1")
        ```
    """
    if is_message(message):
        return message  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
    if isinstance(message, str):
        return HumanMessage(message)
    if isinstance(message, Mapping):
        return _from_mapping(message)
    if isinstance(message, (tuple, list)) and len(message) == 2 and isinstance(message[0], str):
        return _from_pair(message[0], message[1])
    raise MessageError(
        f"cannot read {_short.repr(message)} ({type(message).__name__}) as a message; expected a message, "
        f"text, a (role, content) pair, or a dict with role and content"
    )


def coerce_messages(messages: MessagesLike) -> list[BaseMessage]:
    """Read messages from any form in which they may be written.

    Args:
        messages: one message or an iterable of them, each in one of the forms of :func:`coerce_message`. A
            tuple that begins with text is one (role, content) pair.

    Returns:
        A new list.

    Raises:
        MessageError: one of them is no message.

    Example:
        ```python
        from penstock.messages import HumanMessage, SystemMessage, coerce_messages

        both = coerce_messages([("system", "Be brief."), "Hi"])
        assert both == [SystemMessage("Be brief."), HumanMessage("Hi")]
        assert coerce_messages("Hi") == [HumanMessage("Hi")]
        ```
    """
    return [coerce_message(message) for message in as_items(messages)]


def as_items(messages: Any) -> Iterable[Any]:
    """What may be one message or several, as something to iterate."""
    if isinstance(messages, list):
        return messages
    if (
        isinstance(messages, (str, Mapping))
        or is_message(messages)
        or (isinstance(messages, tuple) and len(messages) == 2 and isinstance(messages[0], str))
        or not isinstance(messages, Iterable)
    ):
        return (messages,)
    return messages


def _from_pair(role: str, content: Any) -> BaseMessage:
    cls = _class_for(role, _ROLES)
    if cls is RemoveMessage or cls is ToolMessage:
        missing = "the id to remove" if cls is RemoveMessage else "the call it answers"
        raise MessageError(
            f"the pair ({role!r}, ...) cannot name {missing}; expected a {cls.__name__}, or a dict with "
            f"role and {'id' if cls is RemoveMessage else 'content and tool_call_id'}"
        )
    return _from_mapping({"role": role, "content": content})


def _class_for(role: Any, classes: Mapping[str, type[BaseMessage]]) -> type[BaseMessage]:
    cls = classes.get(role) if isinstance(role, str) else None
    if cls is None:
        raise MessageError(f"unknown message role {role!r}; {nearest(role, _ROLES)}")
    return cls


def _from_mapping(given: Mapping[str, Any]) -> BaseMessage:
    if given.get("role") is not None:
        role = given["role"]
        cls = _class_for(role, _ROLES)
    elif given.get("type") is not None:
        role = given["type"]
        cls = _class_for(role, {**_ROLES, **_CHUNK_TYPES})
    else:
        raise MessageError(
            f"a message dict needs a role (or type) and content; got {_short.repr(dict(given))} with the "
            f"keys {sorted(map(str, given))}"
        )
    if cls is RemoveMessage:
        return RemoveMessage(given.get("id"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    if "content" not in given and not (issubclass(cls, AIMessage) and given.get("tool_calls")):
        raise MessageError(f"a message dict needs content beside its role {role!r}; got {_short.repr(dict(given))}")
    if issubclass(cls, ToolMessage) and given.get("tool_call_id") is None:
        raise MessageError(
            f"a message dict with role {role!r} needs tool_call_id, the id of the call it answers; got "
            f"{_short.repr(dict(given))}"
        )
    return _make(cls, role, given)


def _make(cls: type[BaseMessage], role: str, given: Mapping[str, Any]) -> BaseMessage:
    known = _KNOWN.get(cls, _COMMON)
    arguments: dict[str, Any] = {}
    rest: dict[str, Any] = {OPENAI_ROLE: role} if role == "developer" else {}
    for key, value in given.items():
        if key in known:
            if value is not None:
                arguments[key] = value
        elif key not in ("role", "type", "content"):
            rest[key] = value
    if rest:
        arguments["additional_kwargs"] = {**rest, **arguments.get("additional_kwargs", {})}
    if "tool_calls" in arguments:
        whole, broken = _read_calls(arguments["tool_calls"])
        arguments["tool_calls"] = whole
        if broken:
            arguments["invalid_tool_calls"] = [*arguments.get("invalid_tool_calls", ()), *broken]
    content = given.get("content")
    return cls("" if content is None else content, **arguments)


def _read_calls(calls: Any) -> tuple[list[Any], list[Any]]:
    """Tool calls of a dict, in OpenAI's form or in ours: the readable ones and the others."""
    if not isinstance(calls, (list, tuple)):
        raise MessageError(f"a message dict got {_short.repr(calls)} as tool_calls; expected a list")
    whole: list[Any] = []
    broken: list[Any] = []
    for call in calls:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            whole.append(call)
            continue
        written = function.get("arguments")
        found = {"name": function.get("name"), "id": call.get("id")}
        try:
            args = json.loads(written, strict=False) if isinstance(written, str) and written else written or {}
        except ValueError as error:
            broken.append({**found, "args": written, "error": f"the arguments are not JSON: {error}"})
            continue
        if isinstance(args, Mapping):
            whole.append({**found, "args": args})
        else:
            broken.append({**found, "args": written, "error": "the arguments are not a JSON object"})
    return whole, broken
