"""The state of a chat: a list of messages, and the reducer that keeps it."""

from __future__ import annotations

from ..messages import REMOVE_ALL_MESSAGES, MessagesState, add_messages

__all__ = ["MessagesState", "REMOVE_ALL_MESSAGES", "add_messages"]
