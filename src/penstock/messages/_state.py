"""A state that holds a conversation."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from typing_extensions import TypedDict

from ._messages import AIMessage, HumanMessage, RemoveMessage, SystemMessage, ToolMessage
from ._reducer import add_messages

AnyMessage: TypeAlias = HumanMessage | AIMessage | SystemMessage | ToolMessage | RemoveMessage
"""Any message of ours; a chunk is an instance of the class of its message."""


class MessagesState(TypedDict):
    """A state with one key, `messages`, kept by :func:`add_messages`; subclass it to add keys.

    Example:
        ```python
        from penstock.messages import MessagesState


        class State(MessagesState):
            summary: str
        ```
    """

    messages: Annotated[list[AnyMessage], add_messages]
