"""Chat messages: what people, models and tools say to each other, whole or still arriving.

Attributes have the names that LangChain's messages have, and messages of both kinds mix in one list;
LangChain is never imported. Chunks of a message add up; :func:`add_messages` is the reducer for a
conversation in a graph's state.

Example:
    ```python
    from penstock.messages import AIMessageChunk, HumanMessage, add_messages

    history = add_messages([], [("system", "Be brief."), {"role": "user", "content": "Hi"}])
    answer = sum(AIMessageChunk(token, id="a1") for token in ("Hel", "lo"))
    history = add_messages(history, answer)
    assert [m.type for m in history] == ["system", "human", "ai"]
    assert history[-1].text == "Hello"
    ```
"""

from __future__ import annotations

from ._base import BaseMessage
from ._chunks import (
    AIMessageChunk,
    BaseMessageChunk,
    HumanMessageChunk,
    SystemMessageChunk,
    ToolMessageChunk,
    sum_chunks,
)
from ._coerce import ForeignMessage, MessageLike, MessagesLike, coerce_message, coerce_messages
from ._content import Content, ContentLike
from ._messages import AIMessage, HumanMessage, RemoveMessage, SystemMessage, ToolMessage
from ._openai import message_to_dict, messages_to_dicts
from ._partial_json import parse_partial_json
from ._predicate import is_message
from ._reducer import REMOVE_ALL_MESSAGES, add_messages
from ._state import AnyMessage, MessagesState
from ._tool_calls import InvalidToolCall, ToolCall, ToolCallChunk
from ._usage import InputTokenDetails, OutputTokenDetails, UsageMetadata

__all__ = [
    "AIMessage",
    "AIMessageChunk",
    "AnyMessage",
    "BaseMessage",
    "BaseMessageChunk",
    "Content",
    "ContentLike",
    "ForeignMessage",
    "HumanMessage",
    "HumanMessageChunk",
    "InputTokenDetails",
    "InvalidToolCall",
    "MessageLike",
    "MessagesLike",
    "MessagesState",
    "OutputTokenDetails",
    "REMOVE_ALL_MESSAGES",
    "RemoveMessage",
    "SystemMessage",
    "SystemMessageChunk",
    "ToolCall",
    "ToolCallChunk",
    "ToolMessage",
    "ToolMessageChunk",
    "UsageMetadata",
    "add_messages",
    "coerce_message",
    "coerce_messages",
    "is_message",
    "message_to_dict",
    "messages_to_dicts",
    "parse_partial_json",
    "sum_chunks",
]
