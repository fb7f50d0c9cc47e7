"""What the scripted models say, and the tool that they call."""

# flake8: noqa: ASYNC124
# a tool that has nothing to await costs nothing: the agent around it is the question

from __future__ import annotations

from typing import Any

DONE = "done"

TEMPLATE = "Say {what}"


def tokens(count: int) -> list[str]:
    return [f"t{index} " for index in range(count)]


def tool_call(conversation: list[Any], turns: int) -> dict[str, Any] | None:
    """The next call of ``look_up``; None after the last.  Each turn so far has left a question and an answer."""
    turn = len(conversation) // 2
    return {"name": "look_up", "args": {"number": turn}, "id": f"call_{turn}"} if turn < turns else None


async def look_up(number: int) -> str:
    """Look up the item of a number."""
    return item(number)


def item(number: int) -> str:
    return f"item {number}"


def shout(text: str) -> str:
    """The function at the end of a chain."""
    return text.upper()
