"""The messages: who can say something in a conversation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from penstock.errors import MessageError

from ._base import BaseMessage
from ._content import ContentLike
from ._tool_calls import InvalidToolCall, ToolCall, read_invalid_tool_calls, read_tool_calls
from ._usage import UsageMetadata


class HumanMessage(BaseMessage):
    """What a person says to the model.

    Args:
        content: what the message says: text, or a list of text and content blocks (dicts with a `type`).
        id: names the message inside a conversation.
        name: who says it, where there are several.
        additional_kwargs: whatever has no attribute of its own.
        response_metadata: not used by people.

    Raises:
        MessageError: content or id are of the wrong type.

    Example:
        ```python
        from penstock.messages import HumanMessage

        question = HumanMessage([{"type": "text", "text": "What is it?"}, {"type": "image", "url": "a.png"}])
        assert question.text == "What is it?"
        ```
    """

    __slots__ = ()
    type: ClassVar[str] = "human"


class SystemMessage(BaseMessage):
    """What the model is told about how to behave.

    Args:
        content: what the message says: text, or a list of text and content blocks (dicts with a `type`).
        id: names the message inside a conversation.
        name: who says it, where there are several.
        additional_kwargs: whatever has no attribute of its own.
        response_metadata: not used.

    Raises:
        MessageError: content or id are of the wrong type.
    """

    __slots__ = ()
    type: ClassVar[str] = "system"


class AIMessage(BaseMessage):
    """What a model answers: content, calls of tools, or both.

    Args:
        content: what the message says: text, or a list of text and content blocks (dicts with a `type`).
        id: names the message inside a conversation.
        name: who says it, where there are several models.
        tool_calls: the tools that the model wants to be called.
        invalid_tool_calls: calls whose arguments are not readable.
        usage_metadata: how many tokens the call used.
        additional_kwargs: whatever a provider sends that has no attribute of its own.
        response_metadata: what a provider tells about its answer, such as the model's name.

    Raises:
        MessageError: content, id or a tool call are of the wrong type.

    Example:
        ```python
        from penstock.messages import AIMessage

        answer = AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Rome"}, "id": "call_1"}])
        assert answer.tool_calls[0]["args"] == {"city": "Rome"}
        ```
    """

    __slots__ = ("_invalid_tool_calls", "_tool_calls", "usage_metadata")
    type: ClassVar[str] = "ai"

    usage_metadata: UsageMetadata | None
    _tool_calls: list[ToolCall] | None
    _invalid_tool_calls: list[InvalidToolCall] | None

    def __init__(
        self,
        content: ContentLike = "",
        *,
        id: str | None = None,
        name: str | None = None,
        tool_calls: Iterable[Mapping[str, Any]] | None = None,
        invalid_tool_calls: Iterable[Mapping[str, Any]] | None = None,
        usage_metadata: UsageMetadata | None = None,
        additional_kwargs: Mapping[str, Any] | None = None,
        response_metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            content,
            id=id,
            name=name,
            additional_kwargs=additional_kwargs,
            response_metadata=response_metadata,
        )
        self.usage_metadata = usage_metadata
        self._tool_calls = read_tool_calls(tool_calls, self.__class__.__name__) if tool_calls else None
        self._invalid_tool_calls = read_invalid_tool_calls(invalid_tool_calls) if invalid_tool_calls else None

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tools that the model wants to be called."""
        value = self._tool_calls
        if value is None:
            value = self._tool_calls = []
        return value

    @tool_calls.setter
    def tool_calls(self, value: Iterable[Mapping[str, Any]]) -> None:
        self._tool_calls = read_tool_calls(value, self.__class__.__name__)

    @property
    def invalid_tool_calls(self) -> list[InvalidToolCall]:
        """Calls whose arguments are not readable."""
        value = self._invalid_tool_calls
        if value is None:
            value = self._invalid_tool_calls = []
        return value

    @invalid_tool_calls.setter
    def invalid_tool_calls(self, value: Iterable[Mapping[str, Any]]) -> None:
        self._invalid_tool_calls = read_invalid_tool_calls(value)


class ToolMessage(BaseMessage):
    """What a tool answers to the model that called it.

    Args:
        content: what the model gets to see; anything but text and content blocks is turned into text.
        tool_call_id: the id of the call that this answers.
        status: `"success"`, or `"error"` if the tool failed.
        artifact: what the tool made for the program, not for the model.
        id: names the message inside a conversation.
        name: name of the tool.
        additional_kwargs: whatever has no attribute of its own.
        response_metadata: not used by tools.

    Raises:
        MessageError: tool_call_id is missing, or status or id are not what they can be.

    Example:
        ```python
        from penstock.messages import ToolMessage

        answer = ToolMessage("sunny", tool_call_id="call_1", name="weather", artifact={"celsius": 24})
        assert answer.status == "success"
        ```
    """

    __slots__ = ("artifact", "status", "tool_call_id")
    type: ClassVar[str] = "tool"

    tool_call_id: str
    status: Literal["success", "error"]
    artifact: Any

    def __init__(
        self,
        content: Any,
        *,
        tool_call_id: str,
        status: Literal["success", "error"] = "success",
        artifact: Any = None,
        id: str | None = None,
        name: str | None = None,
        additional_kwargs: Mapping[str, Any] | None = None,
        response_metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            _as_text(content),
            id=id,
            name=name,
            additional_kwargs=additional_kwargs,
            response_metadata=response_metadata,
        )
        if status not in ("success", "error"):
            raise MessageError(f"ToolMessage got status={status!r}; expected 'success' or 'error'")
        if tool_call_id is None:
            raise MessageError("ToolMessage got tool_call_id=None; expected the id of the call it answers")
        self.tool_call_id = str(tool_call_id)
        self.status = status
        self.artifact = artifact

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if self.status == "success":
            del state["status"]
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        super().__setstate__({"status": "success", **state})


def _as_text(content: Any) -> ContentLike:
    if isinstance(content, str):
        return content
    if isinstance(content, (list, tuple)):
        return [item if isinstance(item, (str, dict)) else str(item) for item in content]
    return str(content)


class RemoveMessage(BaseMessage):
    """Takes a message out of a list that :func:`add_messages` keeps.

    Args:
        id: the id of the message to remove, or `REMOVE_ALL_MESSAGES`.

    Raises:
        MessageError: id is missing.

    Example:
        ```python
        from penstock.messages import HumanMessage, RemoveMessage, add_messages

        history = [HumanMessage("Hi", id="1"), HumanMessage("Bye", id="2")]
        assert add_messages(history, RemoveMessage("1")) == [HumanMessage("Bye", id="2")]
        ```
    """

    __slots__ = ()
    __match_args__ = ("id",)
    type: ClassVar[str] = "remove"

    def __init__(self, id: str) -> None:
        if id is None:
            raise MessageError("RemoveMessage got id=None; expected the id of the message to remove")
        super().__init__("", id=id)
