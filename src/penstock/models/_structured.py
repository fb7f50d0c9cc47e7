"""Objects instead of messages: telling a model the schema, and reading what it answers."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from reprlib import Repr
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import Self, is_typeddict

from penstock._shapes import Definitions, Shapes
from penstock.errors import ModelOutputError
from penstock.messages import AIMessage, MessagesLike
from penstock.runnables import Composable
from penstock.runtime._blocking import run_blocking

from ._chat_model import ask_all
from ._tools import function_tool

if TYPE_CHECKING:
    from ._chat_model import ChatModel

_short = Repr()
_short.maxstring = _short.maxother = 200


class StructuredModel(Composable[MessagesLike, Any]):
    """A model that answers with objects: what `ChatModel.with_structured_output` returns.

    Attributes:
        name: what the schema is called towards the model.
        json_schema: the schema, as the model is told.
    """

    def __init__(
        self,
        model: ChatModel,
        schema: Any,
        *,
        method: Literal["function_calling", "json_schema"],
        include_raw: bool,
        strict: bool | None,
        options: Mapping[str, Any],
    ) -> None:
        name, description, json_schema, self._read = _read_schema(schema)
        self.name: str = name
        self.json_schema: dict[str, Any] = json_schema
        self._include_raw = include_raw
        self._method = method
        asked: dict[str, Any]
        if method == "function_calling":
            tool = function_tool(self.name, description, self.json_schema)
            if strict is not None:
                tool["function"]["strict"] = strict
            asked = {"tools": [tool], "tool_choice": self.name}
        elif method == "json_schema":
            form: dict[str, Any] = {"name": self.name, "schema": self.json_schema}
            if description:
                form["description"] = description
            if strict is not None:
                form["strict"] = strict
            asked = {"response_format": {"type": "json_schema", "json_schema": form}}
        else:
            raise ValueError(f"method must be 'function_calling' or 'json_schema', got {method!r}")
        self._model = model.bind(**asked, **options)

    async def ainvoke(self, input: MessagesLike, config: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """The object.

        Args:
            input: the conversation, in any form that `penstock.messages.coerce_messages` reads.
            config: `tags`, `metadata` and `run_name` of this call.
            options: passed to the model.

        Returns:
            An instance of the schema, or a dict; with `include_raw` a dict of `raw`, `parsed` and `parsing_error`.

        Raises:
            ModelOutputError: the answer does not fit the schema; the text names everything that is wrong.
            ModelError: the provider failed.
        """
        message = await self._model.ainvoke(input, config, **options)
        try:
            parsed = self._read(self._written(message))
        except ModelOutputError as error:
            if self._include_raw:
                return {"raw": message, "parsed": None, "parsing_error": error}
            raise
        return {"raw": message, "parsed": parsed, "parsing_error": None} if self._include_raw else parsed

    def invoke(self, input: MessagesLike, config: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """The object, for code that does not await. See :meth:`ainvoke`."""
        return run_blocking(lambda: self.ainvoke(input, config, **options))

    async def abatch(
        self,
        inputs: Iterable[MessagesLike],
        config: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        *,
        return_exceptions: bool = False,
        **options: Any,
    ) -> list[Any]:
        """Objects for several conversations, asked for at the same time. See `ChatModel.abatch`."""
        return await ask_all(self.ainvoke, inputs, config, return_exceptions, options)

    def batch(
        self,
        inputs: Iterable[MessagesLike],
        config: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        *,
        return_exceptions: bool = False,
        **options: Any,
    ) -> list[Any]:
        """Objects for several conversations, for code that does not await. See :meth:`abatch`."""
        asked = list(inputs)
        return run_blocking(lambda: self.abatch(asked, config, return_exceptions=return_exceptions, **options))

    def with_config(self, config: Mapping[str, Any] | None = None, **labels: Any) -> Self:
        """The same with labels for the tokens. See `ChatModel.with_config`."""
        new = copy.copy(self)
        new._model = self._model.with_config(config, **labels)
        return new

    def _written(self, message: AIMessage) -> Any:
        """The object as the model wrote it."""
        if self._method == "json_schema":
            return _read_json(message.text)
        for call in message.tool_calls:
            if call["name"] == self.name:
                return call["args"]
        for broken in message.invalid_tool_calls:
            raise ModelOutputError(
                f"the model called {self.name!r} with arguments that are no JSON object: {_short.repr(broken['args'])}"
            )
        raise ModelOutputError(
            f"the model did not call {self.name!r}, which it was asked to answer with; it said "
            f"{_short.repr(message.text)}"
        )


def _read_json(text: str) -> Any:
    said = text.strip()
    if said.startswith("```"):
        # Some models cannot be kept from it.
        said = said.partition("\n")[2].rpartition("```")[0]
    try:
        return json.loads(said, strict=False)
    except ValueError as error:
        raise ModelOutputError(f"the model was asked for JSON and said {_short.repr(text)}: {error}") from error


def _read_schema(schema: Any) -> tuple[str, str, dict[str, Any], Callable[[Any], Any]]:
    """Name, description, JSON schema and reader of what `with_structured_output` was given."""
    if isinstance(schema, Mapping):
        return _read_json_schema(schema)
    if isinstance(schema, type) and (
        is_typeddict(schema) or dataclasses.is_dataclass(schema) or hasattr(schema, "model_json_schema")
    ):
        return _read_class(schema)
    raise TypeError(
        f"with_structured_output() got {schema!r} ({type(schema).__name__}); expected a pydantic model, a dataclass, a "
        "TypedDict, or a JSON schema as a dict"
    )


def _read_class(schema: type[Any]) -> tuple[str, str, dict[str, Any], Callable[[Any], Any]]:
    shape = Shapes(schema.__name__).shape(schema, "the answer")
    definitions = Definitions()
    made: dict[str, Any] = dict(shape.schema(definitions))
    if set(made) == {"$ref"}:
        made = dict(definitions.named[made["$ref"].removeprefix("#/$defs/")])
    if definitions.named:
        made["$defs"] = definitions.named

    def read(value: Any) -> Any:
        problems: list[str] = []
        found = shape.read(value, "", problems, True)
        if problems:
            raise ModelOutputError(f"the model's answer does not fit {schema.__name__}: {'; '.join(problems)}")
        return found

    # A dataclass without a docstring has its signature for one.
    text = inspect.cleandoc(schema.__doc__ or "")
    return schema.__name__, "" if text.startswith(f"{schema.__name__}(") else text, made, read


def _read_json_schema(schema: Mapping[str, Any]) -> tuple[str, str, dict[str, Any], Callable[[Any], Any]]:
    name = schema.get("title") or schema.get("name")
    inner = schema.get("schema") or schema.get("parameters") or schema
    if not isinstance(name, str) or not isinstance(inner, Mapping):
        raise TypeError(f"a JSON schema needs a 'title' that says what the answer is called, got {dict(schema)!r}")
    required = list(inner.get("required", ()))

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise ModelOutputError(f"the model's answer to {name!r} is {_short.repr(value)}; expected an object")
        missing = [key for key in required if key not in value]
        if missing:
            raise ModelOutputError(f"the model's answer to {name!r} lacks {', '.join(map(repr, missing))}: {value!r}")
        return value

    made = {key: part for key, part in inner.items() if key not in ("title", "description")}
    return name.replace(" ", "_"), schema.get("description") or "", made, read
