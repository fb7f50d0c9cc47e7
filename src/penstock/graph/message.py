"""The state of a chat: a list of messages, and the reducer that keeps it."""

from __future__ import annotations

from typing import Annotated, Any

from typing_extensions import TypedDict

from ..messages import add_messages

__all__ = ["MessagesState", "add_messages"]


class MessagesState(TypedDict):
    """A state with one key, `messages`, whose updates are added to the list.

    Example:
        ```python
        from penstock.graph import START, MessagesState, StateGraph

        def answer(state: MessagesState):
            return {"messages": [("ai", "Hello!")]}

        graph = StateGraph(MessagesState).add_node(answer).add_edge(START, "answer").compile()
        result = graph.invoke({"messages": [("user", "Hi")]})
        assert [m.content for m in result["messages"]] == ["Hi", "Hello!"]
        ```
    """

    messages: Annotated[list[Any], add_messages]
