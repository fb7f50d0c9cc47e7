"""The reducer for a conversation kept in the state of a graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, overload
from uuid import uuid4

from penstock.errors import MessageError, nearest

from ._base import BaseMessage
from ._chunks import BaseMessageChunk
from ._coerce import MessagesLike, as_items, coerce_message
from ._openai import openai_content
from ._predicate import is_foreign_class, whole_class

REMOVE_ALL_MESSAGES = "__remove_all__"
"""The id of a `RemoveMessage` that empties the list."""


@overload
def add_messages(
    left: MessagesLike, right: MessagesLike, *, format: Literal["langchain-openai"] | None = None
) -> list[BaseMessage]: ...


@overload
def add_messages(
    *, format: Literal["langchain-openai"] | None = None
) -> Callable[[MessagesLike, MessagesLike], list[BaseMessage]]: ...


def add_messages(
    left: MessagesLike | None = None,
    right: MessagesLike | None = None,
    *,
    format: Literal["langchain-openai"] | None = None,
) -> Any:
    """Bring new messages into a conversation: the reducer for a list of messages in a state.

    A message with an id that the list has replaces that one, in its place; any other is appended. A
    `RemoveMessage` takes out the message with its id, and one with the id `REMOVE_ALL_MESSAGES` everything
    before it. A message without an id gets one, on the object itself, so that all who have it see the same
    id; dicts, pairs and texts are not changed, the message made of them gets it. Chunks enter the list as the
    message they amount to. Messages of ours and of LangChain mix freely, none is converted to the other.

    Takes time proportional to the number of messages, old and new.

    Args:
        left: the conversation so far; not changed.
        right: what is new: one message or several, in any form that :func:`coerce_messages` reads.
        format: `"langchain-openai"` brings content blocks into the form of OpenAI's API. Given alone, the
            result is a reducer with that format, for `Annotated[list, add_messages(format=...)]`.

    Returns:
        A new list.

    Raises:
        MessageError: something is no message, a `RemoveMessage` names one that is not there, one of the two
            sides is missing, or the format is unknown.

    Example:
        ```python
        from typing import Annotated

        from typing_extensions import TypedDict

        from penstock.messages import AIMessage, AnyMessage, HumanMessage, add_messages


        class State(TypedDict):
            messages: Annotated[list[AnyMessage], add_messages]


        history = [HumanMessage("Hi", id="1"), AIMessage("Helo", id="2")]
        assert add_messages(history, AIMessage("Hello", id="2")) == [history[0], AIMessage("Hello", id="2")]
        assert [m.text for m in add_messages(history, "How are you?")] == ["Hi", "Helo", "How are you?"]
        ```
    """
    if format not in (None, "langchain-openai"):
        raise MessageError(f"unknown format {format!r}; {nearest(format, ['langchain-openai'])}, or None")
    if left is None and right is None:
        return partial(add_messages, format=format)
    if left is None or right is None:
        absent, given = ("left", "right") if left is None else ("right", "left")
        raise MessageError(f"add_messages got {given}, but {absent} is None; expected both, or neither")
    merged = _merged(_prepared(left), _prepared(right))
    return merged if format is None else [_formatted(message) for message in merged]


def _prepared(messages: MessagesLike) -> list[Any]:
    """Messages, none of them a chunk, each with an id."""
    prepared: list[Any] = list(as_items(messages))
    if not all(map(_enters_as_it_is, set(map(type, prepared)))):
        prepared = [_whole(coerce_message(message)) for message in prepared]
    if None in [message.id for message in prepared]:
        for message in prepared:
            if message.id is None:
                message.id = str(uuid4())
    return prepared


def _enters_as_it_is(cls: Any) -> bool:
    if issubclass(cls, BaseMessage):
        return not issubclass(cls, BaseMessageChunk)
    return is_foreign_class(cls) and whole_class(cls) is None


def _whole(message: Any) -> Any:
    if isinstance(message, BaseMessage):
        return message.to_message() if isinstance(message, BaseMessageChunk) else message
    cls = whole_class(message.__class__)
    if cls is None:
        return message
    fields: dict[str, Any] = cls.model_fields
    return cls(**{field: getattr(message, field) for field in fields if field != "type"})


def _merged(merged: list[Any], incoming: list[Any]) -> list[Any]:
    removes = [place for place, message in enumerate(incoming) if message.type == "remove"]
    forgotten: set[str] = set()
    for place in reversed(removes):
        if incoming[place].id == REMOVE_ALL_MESSAGES:
            # What follows may still name what has just been removed.
            forgotten = {message.id for message in (*merged, *incoming[:place])}
            merged, incoming = [], incoming[place + 1 :]
            break
    ids = {message.id for message in incoming}
    if not removes and len(ids) == len(incoming) and ids.isdisjoint([message.id for message in merged]):
        # The usual case, by far: every message is new.
        return merged + incoming
    places = {message.id: place for place, message in enumerate(merged) if message.id in ids}
    removed: set[str] = set()
    for message in incoming:
        place_of = places.get(message.id)
        if message.type == "remove":
            if place_of is not None:
                removed.add(message.id)
            elif message.id not in forgotten:
                raise _unknown(message.id, merged)
        elif place_of is None:
            places[message.id] = len(merged)
            merged.append(message)
        else:
            removed.discard(message.id)
            merged[place_of] = message
    return [message for message in merged if message.id not in removed] if removed else merged


def _unknown(message_id: str, merged: list[Any]) -> MessageError:
    known = nearest(message_id, (message.id for message in merged[-100:]))
    return MessageError(f"RemoveMessage names {message_id!r}, but no message of the list has this id; {known}")


def _formatted(message: Any) -> Any:
    if isinstance(message.content, str):
        return message
    return message.model_copy(update={"content": openai_content(message.content)})
