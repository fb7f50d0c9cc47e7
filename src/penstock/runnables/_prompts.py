"""Prompts: conversations and texts with places to fill in."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import Self

from ..errors import PromptError
from ..messages import BaseMessage, HumanMessage, coerce_message, coerce_messages, is_message
from ..runtime import SpanKind
from ._composable import OutputT
from ._config import Config
from ._observed import call_observed
from ._runnable import Runnable
from ._template import Template, read_values


class ChatPromptValue:  # noqa: PLW1641 - its messages can be changed, so it has no hash
    """A prompt that has been filled in: a conversation.

    Args:
        messages: the conversation.

    Attributes:
        messages: the conversation.

    Example:
        ```python
        from penstock.runnables import ChatPromptTemplate

        value = ChatPromptTemplate.from_template("Why is {what} blue?").invoke("the sky")
        assert value.messages[0].text == "Why is the sky blue?"
        assert value.to_string() == "Human: Why is the sky blue?"
        ```
    """

    def __init__(self, messages: Iterable[BaseMessage]) -> None:
        self.messages: list[BaseMessage] = list(messages)

    def to_messages(self) -> list[BaseMessage]:
        """The conversation, in a list of its own."""
        return list(self.messages)

    def to_string(self) -> str:
        """The conversation as one text, for models that know no messages."""
        return "\n".join(f"{_SPEAKERS.get(m.type, m.type)}: {m.text}" for m in self.messages)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChatPromptValue) and self.messages == other.messages

    def __repr__(self) -> str:
        return f"ChatPromptValue({self.messages!r})"


_SPEAKERS = {"human": "Human", "ai": "AI", "system": "System", "tool": "Tool"}


class StringPromptValue(str):
    """A text prompt that has been filled in: a string, which can also be read as a conversation.

    Example:
        ```python
        from penstock.messages import HumanMessage
        from penstock.runnables import PromptTemplate

        value = PromptTemplate.from_template("Hi {name}").invoke("Ada")
        assert value == value.text == "Hi Ada"
        assert value.to_messages() == [HumanMessage("Hi Ada")]
        ```
    """

    __slots__ = ()

    @property
    def text(self) -> str:
        """The text."""
        return str(self)

    def to_string(self) -> str:
        """The text."""
        return str(self)

    def to_messages(self) -> list[BaseMessage]:
        """The text as a message of the user."""
        return [HumanMessage(str(self))]


class MessagesPlaceholder:
    """A place in a `ChatPromptTemplate` for whole messages, such as the conversation so far.

    Args:
        variable_name: what is filled in: messages in any form that `penstock.messages.coerce_messages` reads.
        optional: whether it may be missing; then there are none.
        n_messages: the last how many of them to take; all, if not given.

    Example:
        ```python
        from penstock.runnables import ChatPromptTemplate, MessagesPlaceholder

        prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history", optional=True), ("human", "{text}")])
        assert len(prompt.invoke({"text": "And then?", "history": ["Hi", ("ai", "Hello")]}).messages) == 3
        assert len(prompt.invoke({"text": "Hi"}).messages) == 1
        ```
    """

    def __init__(self, variable_name: str, *, optional: bool = False, n_messages: int | None = None) -> None:
        self.variable_name = variable_name
        self.optional = optional
        self.n_messages = n_messages

    def fill(self, values: Mapping[str, Any]) -> list[BaseMessage]:
        """The messages.

        Args:
            values: what the prompt is filled with.
        """
        found = coerce_messages(values.get(self.variable_name, []))
        return found[-self.n_messages :] if self.n_messages else found

    def __repr__(self) -> str:
        return f"MessagesPlaceholder({self.variable_name!r}{', optional=True' if self.optional else ''})"


class _RoleTemplate:
    """One message whose content is to be filled in."""

    def __init__(self, role: Any, content: Any) -> None:
        self.role = role
        self.template = Template(content)
        if isinstance(content, str):
            coerce_message((role, ""))  # an unknown role is told now

    def fill(self, values: Mapping[str, Any]) -> list[BaseMessage]:
        return [coerce_message((self.role, self.template.fill(values)))]


MessageTemplate = Any
"""A message, a pair of role and template, a `MessagesPlaceholder`, a text, or another `ChatPromptTemplate`."""


class _Prompt(Runnable[Any, OutputT]):
    """What prompts have in common: they need values, and have nothing to wait for."""

    _kind: ClassVar[SpanKind] = "prompt"
    _streams = False

    input_variables: list[str]
    partial_variables: Mapping[str, Any]

    def _fill(self, value: Any) -> Any:
        raise NotImplementedError

    async def _compute(self, value: Any, config: Config) -> Any:
        return self._fill(value)

    def _values(self, value: Any) -> dict[str, Any]:
        return read_values(self.name, value, self.input_variables, self.partial_variables)

    def partial(self, **values: Any) -> Self:
        """This prompt with some of its places filled in.

        Args:
            values: by name; a function is called each time the prompt is filled in.

        Raises:
            PromptError: the prompt has no such place.
        """
        unknown = [name for name in values if name not in self._all_variables()]
        if unknown:
            raise PromptError(f"{self.name} has no place {unknown[0]!r}; it has {', '.join(self._all_variables())}")
        new = copy.copy(self)
        new.partial_variables = {**self.partial_variables, **values}
        new.input_variables = [name for name in self.input_variables if name not in values]
        return new

    def _all_variables(self) -> list[str]:
        return [*self.input_variables, *self.partial_variables]


class ChatPromptTemplate(_Prompt[ChatPromptValue]):
    """A conversation with places to fill in, for a dict of values.

    The places are written like those of f-strings; `{{` and `}}` are braces. A prompt with one place also takes the
    bare value.

    Args:
        messages: what :meth:`from_messages` takes.

    Attributes:
        input_variables: names of the values it needs.
        optional_variables: names of the values that may be missing.
        partial_variables: values it has already.

    Raises:
        PromptError: a template cannot be read.
        MessageError: something can be read as no message.

    Example:
        ```python
        from penstock.runnables import ChatPromptTemplate, StrOutputParser
        from penstock.testing import ScriptedChatModel

        prompt = ChatPromptTemplate.from_messages([("system", "You translate into {language}."), ("human", "{text}")])
        assert prompt.input_variables == ["language", "text"]

        model = ScriptedChatModel(["Guten Tag"])
        chain = prompt | model | StrOutputParser()
        assert chain.invoke({"language": "German", "text": "Good day"}) == "Guten Tag"
        assert model.calls[0].messages[0].text == "You translate into German."
        ```
    """

    def __init__(self, messages: Sequence[MessageTemplate]) -> None:
        if isinstance(messages, str):
            raise PromptError(f"got the text {messages!r} for a list of messages; use from_template() for one text")
        self.messages: list[Any] = [part for message in messages for part in _read_part(message)]
        self.partial_variables: Mapping[str, Any] = {}
        self.input_variables: list[str] = []
        self.optional_variables: list[str] = []
        for part in self.messages:
            if isinstance(part, MessagesPlaceholder):
                self._note(part.variable_name, part.optional)
            elif isinstance(part, _RoleTemplate):
                for name in part.template.variables:
                    self._note(name, False)
        for part in messages:
            if isinstance(part, ChatPromptTemplate):
                self.partial_variables = {**self.partial_variables, **part.partial_variables}
        self.input_variables = [name for name in self.input_variables if name not in self.partial_variables]

    def _note(self, name: str, optional: bool) -> None:
        names = self.optional_variables if optional else self.input_variables
        if name not in names:
            names.append(name)

    @classmethod
    def from_messages(cls, messages: Sequence[MessageTemplate]) -> Self:
        """A prompt of several messages.

        Args:
            messages: each one of

                * a pair of role and template, such as `("system", "You are {who}.")`; the content may also be a list
                  of content blocks with templates inside. `("placeholder", "{history}")` is an optional
                  `MessagesPlaceholder`;
                * a dict with `role` and `content`, likewise;
                * a text: the template of a message of the user;
                * a message, which stays as it is, braces and all;
                * a `MessagesPlaceholder`, or another `ChatPromptTemplate`.
        """
        return cls(messages)

    @classmethod
    def from_template(cls, template: str) -> Self:
        """A prompt of one message of the user.

        Args:
            template: its text.
        """
        return cls([("human", template)])

    def format_messages(self, **values: Any) -> list[BaseMessage]:
        """The messages, filled in.

        Args:
            values: by name.

        Raises:
            PromptError: a value is missing.
        """
        return self._fill(values).messages

    def invoke(self, input: Any, config: Config | None = None) -> ChatPromptValue:
        """The prompt, filled in.

        Args:
            input: a dict of values; for a prompt with one place also the value.
            config: settings, of which none matters here.

        Raises:
            PromptError: a value is missing.
        """
        return call_observed(self, self._fill, input, config)

    def _fill(self, value: Any) -> ChatPromptValue:
        values = self._values(value)
        found: list[BaseMessage] = []
        for part in self.messages:
            found.extend([part] if is_message(part) else part.fill(values))
        return ChatPromptValue(found)

    def _all_variables(self) -> list[str]:
        return [*super()._all_variables(), *self.optional_variables]

    def __repr__(self) -> str:
        return f"ChatPromptTemplate({', '.join(self._all_variables())})"


def _read_part(given: Any) -> list[Any]:
    if isinstance(given, ChatPromptTemplate):
        return given.messages
    if isinstance(given, MessagesPlaceholder) or is_message(given):
        return [given]
    if isinstance(given, str):
        return [_RoleTemplate("human", given)]
    if isinstance(given, Mapping) and set(given) == {"role", "content"}:
        given = (given["role"], given["content"])
    if isinstance(given, (tuple, list)) and len(given) == 2 and isinstance(given[0], str):
        role, content = given
        return [_read_placeholder(content)] if role == "placeholder" else [_RoleTemplate(role, content)]
    return [coerce_message(given)]


def _read_placeholder(written: Any) -> MessagesPlaceholder:
    name, optional = written if isinstance(written, (list, tuple)) else (written, True)
    if not isinstance(name, str) or not (name.startswith("{") and name.endswith("}")):
        raise PromptError(f"a placeholder got {name!r}; expected a name in braces, such as '{{history}}'")
    return MessagesPlaceholder(name[1:-1], optional=bool(optional))


class PromptTemplate(_Prompt[StringPromptValue]):
    """A text with places to fill in, for a dict of values. See `ChatPromptTemplate`.

    Args:
        template: the text.

    Attributes:
        template: the text.
        input_variables: names of the values it needs.
        partial_variables: values it has already.

    Raises:
        PromptError: the template cannot be read.

    Example:
        ```python
        from penstock.runnables import PromptTemplate

        prompt = PromptTemplate.from_template("{greeting}, {name}! {{}}")
        assert prompt.format(greeting="Hi", name="Ada") == "Hi, Ada! {}"
        assert prompt.partial(greeting="Hello").invoke("Bob") == "Hello, Bob! {}"
        ```
    """

    def __init__(self, template: str) -> None:
        self.template = template
        self._template = Template(template)
        self.input_variables: list[str] = list(self._template.variables)
        self.partial_variables: Mapping[str, Any] = {}

    @classmethod
    def from_template(cls, template: str) -> Self:
        """A prompt of a text.

        Args:
            template: the text.
        """
        return cls(template)

    def format(self, **values: Any) -> str:
        """The text, filled in.

        Args:
            values: by name.

        Raises:
            PromptError: a value is missing.
        """
        return str(self._fill(values))

    def invoke(self, input: Any, config: Config | None = None) -> StringPromptValue:
        """The text, filled in.

        Args:
            input: a dict of values; for a prompt with one place also the value.
            config: settings, of which none matters here.

        Raises:
            PromptError: a value is missing.
        """
        return call_observed(self, self._fill, input, config)

    def _fill(self, value: Any) -> StringPromptValue:
        return StringPromptValue(self._template.fill(self._values(value)))

    def __repr__(self) -> str:
        return f"PromptTemplate({self.template!r})"
