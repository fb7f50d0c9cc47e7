"""Messages that are still arriving: chunks, which add up to the message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, ClassVar, Literal, TypeVar

from typing_extensions import Self

from penstock.errors import MessageError

from ._base import BaseMessage, read_id
from ._content import Content, ContentLike, join_content, join_mappings, read_content, update_metadata
from ._messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from ._tool_calls import (
    InvalidToolCall,
    ToolCall,
    ToolCallChunk,
    join_tool_call_chunks,
    parse_tool_call_chunks,
    read_invalid_tool_calls,
    read_tool_call_chunks,
    read_tool_calls,
    whole_calls_as_chunks,
)
from ._usage import UsageMetadata, add_usage

C = TypeVar("C", bound="BaseMessageChunk")


class BaseMessageChunk(BaseMessage):
    """Part of a message; parts of one class add up with `+`, and `sum` works on a list of them.

    Addition is associative: it does not matter which neighbours are added first. Content and text join, the
    first `id` and `name` stay, and neither side changes.
    """

    __slots__ = ()

    def __add__(self, other: object) -> Self:
        if not isinstance(other, BaseMessageChunk) or self.type != other.type:
            return NotImplemented
        new = self.__class__.__new__(self.__class__)
        new.content = join_content(self.content, other.content)
        new.id = other.id if self.id is None else self.id
        new.name = other.name if self.name is None else self.name
        new._additional_kwargs = join_mappings(self._additional_kwargs or {}, other._additional_kwargs or {})
        new._response_metadata = update_metadata(self._response_metadata or {}, other._response_metadata or {})
        return new

    def __radd__(self, other: int) -> Self:
        # What `sum` begins with.
        if other == 0:
            return self
        return NotImplemented

    def to_message(self) -> BaseMessage:
        """The message that this chunk, as far as it has arrived, amounts to.

        Returns:
            A message of the class that is not a chunk, with the same content and id.
        """
        raise NotImplementedError


class HumanMessageChunk(HumanMessage, BaseMessageChunk):
    """Part of a `HumanMessage`."""

    __slots__ = ()
    type: ClassVar[str] = "HumanMessageChunk"

    def to_message(self) -> HumanMessage:
        """The message that this chunk, as far as it has arrived, amounts to."""
        return _restored(HumanMessage, self.__getstate__())


class SystemMessageChunk(SystemMessage, BaseMessageChunk):
    """Part of a `SystemMessage`."""

    __slots__ = ()
    type: ClassVar[str] = "SystemMessageChunk"

    def to_message(self) -> SystemMessage:
        """The message that this chunk, as far as it has arrived, amounts to."""
        return _restored(SystemMessage, self.__getstate__())


class ToolMessageChunk(ToolMessage, BaseMessageChunk):
    """Part of a `ToolMessage`; only parts with the same `tool_call_id` add up.

    In the sum, the status is an error if one part's is, and dicts, lists and texts in `artifact` join.
    """

    __slots__ = ()
    type: ClassVar[str] = "ToolMessageChunk"

    def __add__(self, other: object) -> Self:
        new = super().__add__(other)
        if new is NotImplemented or not isinstance(other, ToolMessage):
            return NotImplemented
        if self.tool_call_id != other.tool_call_id:
            raise MessageError(
                f"tool messages of two calls do not add up: {self.tool_call_id!r} and {other.tool_call_id!r}"
            )
        new.tool_call_id = self.tool_call_id
        new.status = "error" if "error" in (self.status, other.status) else "success"
        new.artifact = join_mappings({"": self.artifact}, {"": other.artifact})[""]
        return new

    def to_message(self) -> ToolMessage:
        """The message that this chunk, as far as it has arrived, amounts to."""
        return _restored(ToolMessage, self.__getstate__())


class AIMessageChunk(AIMessage, BaseMessageChunk):
    """Part of a model's answer, as it streams: a token, a piece of a tool call, the usage.

    Pieces of tool calls arrive as `tool_call_chunks`; `tool_calls` and `invalid_tool_calls` tell, at any
    moment, what they amount to so far, reading unfinished JSON as far as it goes. In a sum, pieces of calls
    join by index, usage is added, metadata is updated, and the first id stays.

    Args:
        content: text, or a list of text and content blocks; blocks with the same `index` join in a sum.
        id: names the message; all chunks of one answer have the same.
        name: who says it, where there are several models.
        tool_call_chunks: pieces of tool calls: dicts with `name`, `args` (a piece of JSON), `id`, `index`.
        tool_calls: whole tool calls; ignored where there are `tool_call_chunks`.
        invalid_tool_calls: unreadable calls; ignored where there are `tool_call_chunks`.
        usage_metadata: how many tokens this chunk adds to the count.
        chunk_position: `"last"` for the chunk that ends the answer.
        additional_kwargs: whatever a provider sends that has no attribute of its own; texts in it join.
        response_metadata: what a provider tells about its answer; a newer value replaces an older one.

    Raises:
        MessageError: content, id or a tool call are of the wrong type.

    Example:
        ```python
        from penstock.messages import AIMessageChunk

        answer = AIMessageChunk("Hel", id="1") + AIMessageChunk("lo", id="1", chunk_position="last")
        assert answer == AIMessageChunk("Hello", id="1", chunk_position="last")

        call = AIMessageChunk(tool_call_chunks=[{"name": "find", "args": '{"q": ', "id": "1", "index": 0}])
        call += AIMessageChunk(tool_call_chunks=[{"args": '"sto', "index": 0}])
        assert call.tool_calls[0]["args"] == {"q": "sto"}
        ```
    """

    __slots__ = ("_tool_call_chunks", "chunk_position")
    type: ClassVar[str] = "AIMessageChunk"

    content: Content
    id: str | None
    name: str | None
    usage_metadata: UsageMetadata | None
    chunk_position: Literal["last"] | None
    # Where there are any, they are the truth, and the inherited _tool_calls and _invalid_tool_calls only keep
    # what was read from them.
    _tool_call_chunks: list[ToolCallChunk] | None

    def __init__(
        self,
        content: ContentLike = "",
        *,
        id: str | None = None,
        name: str | None = None,
        tool_call_chunks: Iterable[Mapping[str, Any]] | None = None,
        tool_calls: Iterable[Mapping[str, Any]] | None = None,
        invalid_tool_calls: Iterable[Mapping[str, Any]] | None = None,
        usage_metadata: UsageMetadata | None = None,
        chunk_position: Literal["last"] | None = None,
        additional_kwargs: Mapping[str, Any] | None = None,
        response_metadata: Mapping[str, Any] | None = None,
    ) -> None:
        # Made once per token: no call of super().__init__, and as few steps as possible.
        self.content = content if isinstance(content, str) else read_content(content, "AIMessageChunk")
        self.id = id if id is None or id.__class__ is str else read_id(id, "AIMessageChunk")
        self.name = name
        self.usage_metadata = usage_metadata
        self.chunk_position = chunk_position
        self._additional_kwargs = dict(additional_kwargs) if additional_kwargs else None
        self._response_metadata = dict(response_metadata) if response_metadata else None
        self._tool_calls = None
        self._invalid_tool_calls = None
        self._tool_call_chunks = None
        if tool_call_chunks:
            self._tool_call_chunks = read_tool_call_chunks(tool_call_chunks)
        elif tool_calls or invalid_tool_calls:
            self._set_whole_calls(tool_calls or (), invalid_tool_calls or ())

    def _set_whole_calls(self, calls: Iterable[Mapping[str, Any]], invalid: Iterable[Mapping[str, Any]]) -> None:
        self._tool_calls = read_tool_calls(calls, self.__class__.__name__)
        self._invalid_tool_calls = read_invalid_tool_calls(invalid)
        self._tool_call_chunks = whole_calls_as_chunks(
            self._tool_calls, self._invalid_tool_calls, self.__class__.__name__
        )

    @property
    def tool_call_chunks(self) -> list[ToolCallChunk]:
        """The pieces of tool calls; assign a new list to change them."""
        value = self._tool_call_chunks
        if value is None:
            value = self._tool_call_chunks = []
        return value

    @tool_call_chunks.setter
    def tool_call_chunks(self, value: Iterable[Mapping[str, Any]]) -> None:
        self._tool_call_chunks = read_tool_call_chunks(value)
        self._tool_calls = self._invalid_tool_calls = None

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tools that the model wants to be called, with their arguments as far as they have arrived."""
        value = self._tool_calls
        if value is None:
            value, self._invalid_tool_calls = parse_tool_call_chunks(self._tool_call_chunks or ())
            self._tool_calls = value
        return value

    @tool_calls.setter
    def tool_calls(self, value: Iterable[Mapping[str, Any]]) -> None:
        self._set_whole_calls(value, self.invalid_tool_calls)

    @property
    def invalid_tool_calls(self) -> list[InvalidToolCall]:
        """Calls whose arguments cannot be the beginning of a JSON object."""
        value = self._invalid_tool_calls
        if value is None:
            self._tool_calls, value = parse_tool_call_chunks(self._tool_call_chunks or ())
            self._invalid_tool_calls = value
        return value

    @invalid_tool_calls.setter
    def invalid_tool_calls(self, value: Iterable[Mapping[str, Any]]) -> None:
        self._set_whole_calls(self.tool_calls, value)

    def __add__(self, other: object) -> Self:
        if not isinstance(other, AIMessageChunk):
            return NotImplemented
        new = self.__class__.__new__(self.__class__)
        left, right = self.content, other.content
        new.content = left + right if isinstance(left, str) and isinstance(right, str) else join_content(left, right)
        new.id = other.id if self.id is None else self.id
        new.name = other.name if self.name is None else self.name
        new.chunk_position = self.chunk_position or other.chunk_position
        new._tool_calls = None
        new._invalid_tool_calls = None
        used, more_used = self.usage_metadata, other.usage_metadata
        new.usage_metadata = add_usage(used, more_used) if used or more_used else None
        pieces, more_pieces = self._tool_call_chunks, other._tool_call_chunks
        new._tool_call_chunks = (
            join_tool_call_chunks(pieces or (), more_pieces or ()) if pieces or more_pieces else None
        )
        known, more_known = self._additional_kwargs, other._additional_kwargs
        new._additional_kwargs = join_mappings(known or {}, more_known or {}) if known or more_known else None
        known, more_known = self._response_metadata, other._response_metadata
        new._response_metadata = update_metadata(known or {}, more_known or {}) if known or more_known else None
        return new

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        # They follow from tool_call_chunks.
        state.pop("tool_calls", None)
        state.pop("invalid_tool_calls", None)
        return state

    def to_message(self) -> AIMessage:
        """The message that this chunk, as far as it has arrived, amounts to.

        Returns:
            An `AIMessage` with the same content, id, usage and metadata, and with the tool calls as they can
            be read so far.
        """
        state = self.__getstate__()
        state.pop("tool_call_chunks", None)
        state.pop("chunk_position", None)
        return _restored(
            AIMessage,
            {**state, "tool_calls": self.tool_calls, "invalid_tool_calls": self.invalid_tool_calls},
        )


M = TypeVar("M", bound=BaseMessage)


def _restored(cls: type[M], state: Mapping[str, Any]) -> M:
    message = cls.__new__(cls)
    message.__setstate__(
        {key: value.copy() if value.__class__ in (dict, list) else value for key, value in state.items()}
    )
    return message


def _join_texts(chunks: list[C]) -> list[C]:
    """Add up neighbours that hold nothing but text, at once: a token then costs a third less to add up."""
    joined: list[C] = []
    for plain, group in groupby(chunks, _is_plain_text):
        run: list[Any] = list(group)
        if not plain or len(run) == 1:
            joined += run
            continue
        whole = run[0] + run[1]
        whole.content = "".join([chunk.content for chunk in run])
        whole.id = next((chunk.id for chunk in run if chunk.id is not None), None)
        whole.name = next((chunk.name for chunk in run if chunk.name is not None), None)
        joined.append(whole)
    return joined


def _is_plain_text(chunk: Any) -> bool:
    return (
        chunk.__class__ is AIMessageChunk
        and chunk.content.__class__ is str
        and not chunk._tool_call_chunks
        and not chunk.usage_metadata
        and not chunk._additional_kwargs
        and not chunk._response_metadata
        and not chunk.chunk_position
        and chunk._tool_calls is None
        and chunk._invalid_tool_calls is None
    )


def sum_chunks(chunks: Iterable[C]) -> C:
    """Add up all chunks of one message; for a long message much faster than adding one after the other.

    Args:
        chunks: at least one chunk, all of one class, in the order in which they arrived.

    Returns:
        One chunk that says what all of them say.

    Raises:
        MessageError: there are no chunks, or they are not of one class.

    Example:
        ```python
        from penstock.messages import AIMessageChunk, sum_chunks

        assert sum_chunks(AIMessageChunk(c) for c in "Hello").to_message().content == "Hello"
        ```
    """
    level = list(chunks)
    if not level:
        raise MessageError("sum_chunks got no chunks; expected at least one")
    level = _join_texts(level)
    try:
        # Neighbours first: each character is copied log(n) times instead of n times.
        while len(level) > 1:
            odd = level[-1:] if len(level) % 2 else []
            level = [left + right for left, right in zip(level[::2], level[1::2], strict=False)] + odd
    except TypeError as error:
        raise MessageError(f"sum_chunks got chunks that do not add up: {error}") from None
    return level[0]
