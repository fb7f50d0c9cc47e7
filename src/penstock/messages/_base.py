"""What all messages have in common."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from uuid import UUID

from typing_extensions import Self

from penstock.errors import MessageError, nearest

from ._content import Content, ContentLike, read_content, text_of

__all__ = ["BaseMessage"]


class BaseMessage:
    """One message of a conversation; use the class of who says it, such as `HumanMessage` or `AIMessage`.

    Two messages are equal if they are of one class and say the same; messages can be changed, so they have no
    hash. They can be pickled and copied.

    Args:
        content: what the message says: text, or a list of text and content blocks (dicts with a `type`).
        id: names the message inside a conversation; :func:`add_messages` gives one to messages without.
        name: who says it, where several have the same part.
        additional_kwargs: whatever a provider sends that has no attribute of its own.
        response_metadata: what a provider tells about its answer, such as the model's name.

    Raises:
        MessageError: content or id are of the wrong type.
    """

    __slots__ = ("_additional_kwargs", "_response_metadata", "content", "id", "name")

    type: ClassVar[str] = "base"
    """Who says it: `"human"`, `"ai"`, `"system"`, `"tool"`; for a chunk the name of its class."""

    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]  # messages can be changed
    __match_args__ = ("content",)

    _fields: ClassVar[tuple[tuple[str, str], ...]] = (
        ("content", "content"),
        ("name", "name"),
        ("id", "id"),
        ("additional_kwargs", "_additional_kwargs"),
        ("response_metadata", "_response_metadata"),
    )
    """Public name and slot of every attribute, in the order in which they are shown."""

    content: Content
    id: str | None
    name: str | None
    # The dicts and lists that most messages never use are made when they are first looked at.
    _additional_kwargs: dict[str, Any] | None
    _response_metadata: dict[str, Any] | None

    def __init__(
        self,
        content: ContentLike,
        *,
        id: str | None = None,
        name: str | None = None,
        additional_kwargs: Mapping[str, Any] | None = None,
        response_metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.content = content if isinstance(content, str) else read_content(content, self.__class__.__name__)
        self.id = id if id is None or id.__class__ is str else read_id(id, self.__class__.__name__)
        self.name = name
        self._additional_kwargs = dict(additional_kwargs) if additional_kwargs else None
        self._response_metadata = dict(response_metadata) if response_metadata else None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        slots = cls.__dict__.get("__slots__", ())
        own = (slots,) if isinstance(slots, str) else slots
        cls._fields += tuple((slot.lstrip("_"), slot) for slot in own if not slot.startswith("__"))

    @property
    def additional_kwargs(self) -> dict[str, Any]:
        """Whatever a provider sends that has no attribute of its own."""
        value = self._additional_kwargs
        if value is None:
            value = self._additional_kwargs = {}
        return value

    @additional_kwargs.setter
    def additional_kwargs(self, value: Mapping[str, Any]) -> None:
        self._additional_kwargs = dict(value)

    @property
    def response_metadata(self) -> dict[str, Any]:
        """What a provider tells about its answer, such as the model's name or why it stopped."""
        value = self._response_metadata
        if value is None:
            value = self._response_metadata = {}
        return value

    @response_metadata.setter
    def response_metadata(self, value: Mapping[str, Any]) -> None:
        self._response_metadata = dict(value)

    @property
    def text(self) -> str:
        """The readable part of the content: its text and its blocks of type `text`, joined."""
        return text_of(self.content)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some attributes replaced.

        Args:
            update: new values by attribute name; they are not checked.
            deep: copy everything inside as well, not only the outermost lists and dicts.

        Returns:
            A message of the same class.

        Raises:
            MessageError: `update` names something that this class does not have.

        Example:
            ```python
            from penstock.messages import AIMessage

            draft = AIMessage("Helo", id="1")
            assert draft.model_copy(update={"content": "Hello"}) == AIMessage("Hello", id="1")
            assert draft.content == "Helo"
            ```
        """
        new = copy.deepcopy(self) if deep else self.__copy__()
        if update:
            known = {public for public, _ in self._fields} | set(getattr(self, "__dict__", ()))
            for key, value in update.items():
                if key not in known:
                    raise MessageError(
                        f"{self.__class__.__name__} has no attribute {key!r} to update; {nearest(key, known)}"
                    )
                setattr(new, key, value)
        return new

    def model_dump(self) -> dict[str, Any]:
        """All attributes as a dict, with the `type`; :func:`coerce_message` reads it back.

        Returns:
            A new dict; what is inside is shared with the message.

        Example:
            ```python
            from penstock.messages import HumanMessage, coerce_message

            question = HumanMessage("Hi", id="1")
            assert question.model_dump()["type"] == "human"
            assert coerce_message(question.model_dump()) == question
            ```
        """
        return {"type": self.type, **{public: getattr(self, public) for public, _ in self._fields}}

    def __copy__(self) -> Self:
        new = self.__class__.__new__(self.__class__)
        new.__setstate__(
            {
                key: value.copy() if value.__class__ in (dict, list) else value
                for key, value in self.__getstate__().items()
            }
        )
        return new

    def __getstate__(self) -> dict[str, Any]:
        """Every attribute that says something, by its public name."""
        state: dict[str, Any] = {"content": self.content}
        for public, slot in self._fields[1:]:
            value = getattr(self, slot, None)
            if value is None or (value.__class__ in (dict, list) and not value):
                continue
            state[public] = value
        state.update(getattr(self, "__dict__", ()))
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        rest = dict(state)
        for public, slot in self._fields:
            setattr(self, slot, rest.pop(public, None))
        for key, value in rest.items():
            setattr(self, key, value)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, BaseMessage) or self.__class__ is not other.__class__:
            return NotImplemented
        return self.__getstate__() == other.__getstate__()

    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={value!r}" for key, value in self.__getstate__().items())
        return f"{self.__class__.__name__}({shown})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Callable[[Any], Any]) -> dict[str, Any]:
        """Lets pydantic models have messages as fields: they are coerced, and dumped as dicts."""
        from ._pydantic import core_schema

        return core_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Callable[[Any], Any]) -> dict[str, Any]:
        """The JSON schema of a field that holds a message."""
        from ._pydantic import json_schema

        return json_schema(cls)


def read_id(value: object, owner: str) -> str:
    """An id as a message holds it, or a `MessageError` that names what was got."""
    if isinstance(value, (str, int, UUID)) and not isinstance(value, bool):
        return str(value)
    raise MessageError(f"{owner} got {value!r} ({type(value).__name__}) as id; expected text or None")
