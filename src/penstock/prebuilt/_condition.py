"""Where a model's answer leads: to the tools it calls, or to the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ..errors import ToolCallError
from ..messages import coerce_message


def messages_in(state: Any, messages_key: str) -> list[Any]:
    """The messages of a state: of a dict, of an object, or the state itself if it is a list.

    Raises:
        ToolCallError: there are none.
    """
    if isinstance(state, list):
        found: Any = state
    elif isinstance(state, Mapping):
        found = state.get(messages_key)
    else:
        found = getattr(state, messages_key, None)
    if not found or not isinstance(found, (list, tuple)):
        raise ToolCallError(
            f"expected a list of messages, or a state with messages under {messages_key!r}; got {state!r}"
        )
    return list(found)


def tools_condition(state: Any, messages_key: str = "messages") -> Literal["tools", "__end__"]:
    """A router: to the node `tools` if the last message calls tools, else to the end.

    Args:
        state: the state, or a list of messages.
        messages_key: the key of the messages.

    Raises:
        ToolCallError: there are no messages.

    Example:
        ```python
        from penstock.messages import AIMessage
        from penstock.prebuilt import tools_condition

        call = {"name": "weather", "args": {"city": "Rome"}, "id": "c1"}
        assert tools_condition({"messages": [AIMessage("", tool_calls=[call])]}) == "tools"
        assert tools_condition({"messages": [AIMessage("It is sunny.")]}) == "__end__"
        ```
    """
    last: Any = coerce_message(messages_in(state, messages_key)[-1])
    return "tools" if getattr(last, "tool_calls", None) else "__end__"
