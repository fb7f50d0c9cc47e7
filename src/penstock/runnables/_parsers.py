"""Parsers: what a model says, as something else."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, ClassVar

from anyio.abc import TaskGroup

from ..errors import MessageError, ModelOutputError
from ..messages import is_message, parse_partial_json
from ..runtime import SpanKind
from ._config import Config
from ._observed import call_observed
from ._runnable import Runnable

# A fence that may not have ended yet.
_FENCED = re.compile(r"```[a-zA-Z]*[ \t]*\n?(.*?)(?:```|`{0,2}\Z)", re.DOTALL)


def _text_of(value: Any, parser: str) -> str:
    if isinstance(value, str):
        return str(value)
    if is_message(value):
        text = value.text
        return text if type(text) is str else str(text)
    raise ModelOutputError(f"{parser} got {value!r} ({type(value).__name__}); expected a message or text")


class StrOutputParser(Runnable[Any, str]):
    """The text of a message; piece by piece in a stream.

    Example:
        ```python
        from penstock.runnables import StrOutputParser
        from penstock.testing import ScriptedChatModel

        chain = ScriptedChatModel(["Knock, knock"], cycle=True) | StrOutputParser()
        assert chain.invoke("A joke") == "Knock, knock"
        assert list(chain.stream("A joke")) == ["Knock,", " knock", ""]
        ```
    """

    _kind: ClassVar[SpanKind] = "parser"

    def invoke(self, input: Any, config: Config | None = None) -> str:
        """The text.

        Args:
            input: a message or text.
            config: settings, of which none matters here.

        Raises:
            ModelOutputError: it is neither.
        """
        return call_observed(self, lambda value: _text_of(value, self.name), input, config)

    async def _compute(self, value: Any, config: Config) -> str:
        return _text_of(value, self.name)

    async def _transform(
        self, source: AsyncIterator[Any], config: Config, group: TaskGroup
    ) -> AsyncGenerator[str, None]:
        async for piece in source:
            yield _text_of(piece, self.name)

    def __repr__(self) -> str:
        return "StrOutputParser()"


class JsonOutputParser(Runnable[Any, Any]):
    """What a model writes as JSON, as a Python value; fenced with ``` or not.

    A stream gives the value as far as it has been written, whenever there is more of it. Each is a value of its own
    and replaces the one before.

    Raises:
        ModelOutputError: the text is no JSON, or ends too early.

    Example:
        ```python
        from penstock.runnables import JsonOutputParser
        from penstock.testing import ScriptedChatModel

        chain = ScriptedChatModel([['{"city": "Ro', 'me", "n": 1', "}"]], cycle=True) | JsonOutputParser()
        assert chain.invoke("Which city?") == {"city": "Rome", "n": 1}
        assert list(chain.stream("Which city?")) == [{"city": "Ro"}, {"city": "Rome", "n": 1}]
        ```
    """

    _kind: ClassVar[SpanKind] = "parser"

    def invoke(self, input: Any, config: Config | None = None) -> Any:
        """The value.

        Args:
            input: a message or text.
            config: settings, of which none matters here.

        Raises:
            ModelOutputError: the text is no JSON.
        """
        return call_observed(self, lambda value: _read_json(_text_of(value, self.name)), input, config)

    async def _compute(self, value: Any, config: Config) -> Any:
        return _read_json(_text_of(value, self.name))

    async def _transform(
        self, source: AsyncIterator[Any], config: Config, group: TaskGroup
    ) -> AsyncGenerator[Any, None]:
        text = ""
        shown: Any = None
        any_shown = False
        async for piece in source:
            more = _text_of(piece, self.name)
            if not more:
                continue
            text += more
            try:
                value = parse_partial_json(_unfenced(text))
            except MessageError:
                continue
            if not any_shown or value != shown:
                any_shown, shown = True, value
                # Its own, so that what the reader does to it does not matter here.
                yield parse_partial_json(_unfenced(text))
        whole = _read_json(text)
        if not any_shown or whole != shown:
            yield whole

    def __repr__(self) -> str:
        return "JsonOutputParser()"


def _unfenced(text: str) -> str:
    found = _FENCED.search(text)
    # A fence inside of a string of bare JSON is no fence around it.
    return found.group(1).strip() if found and not text.lstrip().startswith(("{", "[", '"')) else text.strip()


def _read_json(text: str) -> Any:
    try:
        return json.loads(_unfenced(text), strict=False)
    except ValueError as error:
        shown = text if len(text) <= 200 else f"{text[:200]}..."
        raise ModelOutputError(f"expected JSON, got {shown!r}: {error}") from None
