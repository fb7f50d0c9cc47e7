"""Marks for parameters that the program fills in, and the model never sees."""

from __future__ import annotations


class InjectedToolArg:
    """Hides a parameter from the model: it gets its default, or what the program passes as `injected=`.

    Used as `Annotated[T, InjectedToolArg]`.

    Example:
        ```python
        from typing import Annotated

        from penstock.tools import InjectedToolArg, tool

        @tool
        def orders(city: str, user: Annotated[str, InjectedToolArg]) -> str:
            \"\"\"Look up the user's orders.\"\"\"
            return f"{user}: 2 orders to {city}"

        assert list(orders.args) == ["city"]
        assert orders.invoke({"city": "Rome"}, injected={"user": "ada"}) == "ada: 2 orders to Rome"
        ```
    """

    __slots__ = ()


class InjectedState(InjectedToolArg):
    """Gives a tool the state of the graph, or one key of it: `Annotated[list, InjectedState("messages")]`.

    In a `ToolNode` it is the state the node got; in a node of your own that calls a tool, that node's input.

    Args:
        field: the key; None for the whole state.

    Example:
        ```python
        from typing import Annotated, Any

        from penstock.tools import InjectedState, tool

        @tool
        def count_messages(messages: Annotated[list[Any], InjectedState("messages")]) -> int:
            \"\"\"Count the messages of this conversation.\"\"\"
            return len(messages)

        assert count_messages.args == {}
        ```
    """

    __slots__ = ("field",)

    def __init__(self, field: str | None = None) -> None:
        self.field: str | None = field


class InjectedStore(InjectedToolArg):
    """Gives a tool the application's long-term memory: `Annotated[Any, InjectedStore()]`."""

    __slots__ = ()


class InjectedToolCallId(InjectedToolArg):
    """Gives a tool the id of the call it answers: `Annotated[str, InjectedToolCallId]`.

    Example:
        ```python
        from typing import Annotated

        from penstock.messages import ToolMessage
        from penstock.tools import InjectedToolCallId, tool
        from penstock.types import Command

        @tool
        def remember(name: str, call_id: Annotated[str, InjectedToolCallId]) -> Command:
            \"\"\"Remember the user's name.\"\"\"
            return Command(update={"user": name, "messages": [ToolMessage("Noted.", tool_call_id=call_id)]})

        command = remember.invoke({"type": "tool_call", "name": "remember", "args": {"name": "Ada"}, "id": "c1"})
        assert command.update["messages"][0].tool_call_id == "c1"
        ```
    """

    __slots__ = ()
