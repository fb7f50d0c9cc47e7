"""The state of a chat: a list of messages, and the reducer that keeps it."""

from __future__ import annotations

from ..messages import MessagesState, add_messages

__all__ = ["MessagesState", "add_messages"]
