"""The JSON schema that a model sees, made of a function's signature and docstring."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import sys
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NewType, Optional, TypeVar, Union

import pytest
from typing_extensions import Doc, NotRequired, Required, TypedDict

from penstock.errors import ToolDefinitionError
from penstock.tools import Tool, as_tool, tool


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


class Level(enum.Enum):
    LOW = (1, 2)
    HIGH = (3, 4)


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0
    tags: list[str] = dataclasses.field(default_factory=list)


class Trip(TypedDict, total=False):
    city: Required[Annotated[str, "where to"]]
    days: int


class Mixed(TypedDict):
    needed: str
    free: NotRequired[int]


@dataclasses.dataclass
class Tree:
    value: int
    children: list[Tree] = dataclasses.field(default_factory=list)


UserId = NewType("UserId", int)
T = TypeVar("T")
B = TypeVar("B", bound=str)


def schema_of(hint: Any, default: Any = ...) -> Any:
    def function(x):
        """Take x."""

    function.__annotations__["x"] = hint
    if default is not ...:
        function.__defaults__ = (default,)
    return Tool(function).args["x"]


STRING, INTEGER = {"type": "string"}, {"type": "integer"}


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (str, STRING),
        (int, INTEGER),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (object, {}),
        (list, {"type": "array", "items": {}}),
        (list[int], {"type": "array", "items": INTEGER}),
        (Sequence[str], {"type": "array", "items": STRING}),
        (set[int], {"type": "array", "items": INTEGER, "uniqueItems": True}),
        (frozenset[int], {"type": "array", "items": INTEGER, "uniqueItems": True}),
        (tuple[int, ...], {"type": "array", "items": INTEGER}),
        (tuple, {"type": "array", "items": {}}),
        (
            tuple[int, str],
            {"type": "array", "prefixItems": [INTEGER, STRING], "minItems": 2, "maxItems": 2},
        ),
        (dict, {"type": "object", "additionalProperties": True}),
        (dict[str, int], {"type": "object", "additionalProperties": INTEGER}),
        (Mapping[int, str], {"type": "object", "additionalProperties": STRING}),
        (
            dict[Literal["a", "b"], int],
            {"type": "object", "additionalProperties": INTEGER, "propertyNames": {"enum": ["a", "b"]}},
        ),
        (Optional[int], {"anyOf": [INTEGER, {"type": "null"}]}),
        (Union[int, str], {"anyOf": [INTEGER, STRING]}),
        (int | str | None, {"anyOf": [INTEGER, STRING, {"type": "null"}]}),
        (Literal["x", "y"], {"type": "string", "enum": ["x", "y"]}),
        (Literal["x", 1], {"enum": ["x", 1]}),
        (Color, {"type": "string", "enum": ["r", "b"]}),
        (Level, {"type": "string", "enum": ["LOW", "HIGH"]}),
        (datetime.datetime, {"type": "string", "format": "date-time"}),
        (datetime.date, {"type": "string", "format": "date"}),
        (datetime.time, {"type": "string", "format": "time"}),
        (uuid.UUID, {"type": "string", "format": "uuid"}),
        (Decimal, {"type": "string", "format": "decimal"}),
        (Path, {"type": "string", "format": "path"}),
        (UserId, INTEGER),
        (T, {}),
        (B, STRING),
        (Annotated[int, "how many"], {"type": "integer", "description": "how many"}),
        (Annotated[int, Doc("how many")], {"type": "integer", "description": "how many"}),
        (Annotated[int, 42], INTEGER),
        (
            Point,
            {
                "type": "object",
                "properties": {
                    "x": INTEGER,
                    "y": {"type": "number", "default": 0.0},
                    "tags": {"type": "array", "items": STRING},
                },
                "required": ["x"],
            },
        ),
        (
            Trip,
            {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "where to"}, "days": INTEGER},
                "required": ["city"],
            },
        ),
        (
            Mixed,
            {"type": "object", "properties": {"needed": STRING, "free": INTEGER}, "required": ["needed"]},
        ),
    ],
    ids=repr,
)
def test_one_type(hint: Any, expected: Any) -> None:
    assert schema_of(hint) == expected


@pytest.mark.skipif(sys.version_info < (3, 12), reason="syntax of Python 3.12")
def test_a_type_alias() -> None:
    namespace: dict[str, Any] = {}
    exec("type Ids = list[int]", namespace)
    assert schema_of(namespace["Ids"]) == {"type": "array", "items": INTEGER}


@pytest.mark.parametrize(
    ("hint", "default", "shown"),
    [
        (int, 3, 3),
        (Optional[str], None, None),
        (Color, Color.BLUE, "b"),
        (tuple[int, int], (1, 2), [1, 2]),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (datetime.date, datetime.date(2025, 1, 31), "2025-01-31"),
        (Point, Point(1), {"x": 1, "y": 0.0, "tags": []}),
    ],
    ids=repr,
)
def test_a_default(hint: Any, default: Any, shown: Any) -> None:
    assert schema_of(hint, default)["default"] == shown


def test_a_default_that_json_does_not_have() -> None:
    sentinel = object()
    assert "default" not in schema_of(Any, sentinel)


def test_a_record_that_contains_itself() -> None:
    def plant(tree: Tree, where: str) -> None:
        """Plant a tree."""

    made = Tool(plant)
    assert made.args["tree"] == {"$ref": "#/$defs/Tree"}
    children = made.args_schema["$defs"]["Tree"]["properties"]["children"]
    assert children == {"type": "array", "items": {"$ref": "#/$defs/Tree"}}
    assert made.args_schema["required"] == ["tree", "where"]


def test_local_types_are_found() -> None:
    @dataclasses.dataclass
    class Local:
        n: int

    @tool
    def use(thing: Local) -> int:
        """Use it."""
        return thing.n

    assert use.args["thing"]["properties"] == {"n": INTEGER}
    assert use.invoke({"thing": {"n": 3}}) == 3


def test_the_docstring() -> None:
    @tool
    def search(query: str, limit: int = 5, config: Any = None) -> str:
        """Search the archive.

        Finds whole words only.

        Args:
            query (str): what to look for:
                words, or a phrase.
            limit: how many results.
            unknown: not a parameter.

        Returns:
            One result per line.
        """
        return query

    assert search.name == "search"
    assert search.description == "Search the archive.\n\nFinds whole words only.\n\nReturns:\n    One result per line."
    assert search.args_schema == {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "what to look for: words, or a phrase."},
            "limit": {"type": "integer", "description": "how many results.", "default": 5},
        },
        "required": ["query"],
    }
    assert search.args == search.args_schema["properties"]
    assert search.tool_call_schema == {
        "title": "search",
        "description": search.description,
        **search.args_schema,
    }


def test_an_annotation_says_more_than_the_docstring() -> None:
    @tool
    def search(query: Annotated[str, "from here"]) -> None:
        """Search.

        Args:
            query: not from here.
        """

    assert search.args["query"]["description"] == "from here"


def test_the_docstring_as_it_is() -> None:
    @tool(parse_docstring=False)
    def search(query: str) -> None:
        """Search.

        Args:
            query: what.
        """

    assert search.description == "Search.\n\nArgs:\n    query: what."
    assert search.args == {"query": STRING}


def test_ways_to_decorate() -> None:
    def double(n: int) -> int:
        """Double."""
        return 2 * n

    assert tool(double).name == "double"
    assert tool("twice")(double).name == "twice"
    assert tool("twice", double).name == "twice"
    assert tool(name="twice")(double).name == "twice"
    made = tool(description="Twice as much.", return_direct=True, tags=["t"], metadata={"k": 1})(double)
    assert (made.description, made.return_direct, made.tags, made.metadata) == ("Twice as much.", True, ["t"], {"k": 1})
    assert (tool(double).return_direct, tool(double).tags, tool(double).metadata) == (False, [], {})
    assert made.func is double
    assert repr(made) == "Tool(name='double', args=[n])"


class Shop:
    """A shop.

    Args:
        item: what to buy.
    """

    def buy(self, item: str) -> str:
        """Buy something."""
        return f"bought {item}"

    def __call__(self, item: str) -> str:
        return self.buy(item)

    @classmethod
    def close(cls) -> str:
        """Close the shop."""
        return "closed"


def test_callables_of_all_kinds() -> None:
    shop = Shop()
    assert tool(shop.buy).invoke({"item": "tea"}) == "bought tea"
    assert tool(Shop.close).invoke({}) == "closed"
    thing = as_tool(shop)
    assert isinstance(thing, Tool)
    assert (thing.name, thing.description) == ("Shop", "A shop.")
    assert thing.args["item"]["description"] == "what to buy."
    assert thing.invoke({"item": "tea"}) == "bought tea"

    def order(item: str, count: int, to: str) -> str:
        """Order."""
        return f"{count} {item} to {to}"

    partial = tool(functools.partial(order, to="Rome"))
    assert (partial.name, list(partial.args)) == ("order", ["item", "count"])
    assert partial.invoke({"item": "tea", "count": 2}) == "2 tea to Rome"
    named = tool("half", functools.partial(order, "tea"))
    assert named.invoke({"count": 1, "to": "Oslo"}) == "1 tea to Oslo"
    assert tool(description="Add one.", name="inc")(lambda n: n + 1).invoke({"n": 1}) == 2


class Query(TypedDict):
    text: str
    limit: NotRequired[int]


def test_args_schema_of_a_typeddict() -> None:
    @tool(args_schema=Query)
    def search(text, limit=3):
        """Search."""
        return text * limit

    assert search.args == {"text": STRING, "limit": INTEGER}
    assert search.args_schema["required"] == ["text"]
    assert search.invoke({"text": "a"}) == "aaa"
    assert search.invoke({"text": "a", "limit": "2"}) == "aa"


def test_args_schema_of_a_dataclass() -> None:
    @tool(args_schema=Point)
    def move(x, y, tags):
        """Move."""
        return x, y, tags

    assert move.invoke({"x": 1}) == (1, 0.0, [])


def test_args_schema_in_json() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}

    @tool("anything", args_schema=schema)
    def anything(**kwargs):
        """Take what comes."""
        return kwargs

    assert anything.args_schema == schema
    assert anything.invoke({"a": 1, "b": 2}) == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match=r"- a: missing"):
        anything.invoke({})


class Odd(Generic[T]):
    pass


@pytest.mark.parametrize("hint", [Odd, Odd[int], bytes, type, list[Odd], dict[str, Odd], Union[int, Odd]], ids=repr)
def test_types_that_json_does_not_have(hint: Any) -> None:
    with pytest.raises(ToolDefinitionError, match=r"tool 'function': parameter 'x' is annotated with .* cannot write"):
        schema_of(hint)


def test_mistakes() -> None:
    def undocumented(x: int) -> int:
        return x

    def starred(*numbers: int) -> int:
        """Sum."""
        return sum(numbers)

    def keywords(**numbers: int) -> int:
        """Sum."""
        return sum(numbers.values())

    def positional(x: int, /) -> int:
        """Take x."""
        return x

    def generator(x: int):
        """Count."""
        yield x

    async def async_generator(x: int):
        """Count."""
        yield x

    def wrong_name(x: Missing) -> None:  # type: ignore[name-defined] # noqa: F821
        """Take x."""

    for function, message in [
        (undocumented, "has no description"),
        (starred, r"what to write for \*numbers"),
        (keywords, r"what to write for \*\*numbers"),
        (positional, "positional-only"),
        (generator, "is a generator"),
        (async_generator, "is a generator"),
        (wrong_name, "the name 'Missing', which cannot be found"),
        (Shop, "made of a function"),
        (3, "made of a function"),
        (Shop.buy, "method without its object"),
        (lambda x: x, "has no name"),
        (max, "does not say which parameters"),
    ]:
        with pytest.raises(ToolDefinitionError, match=message):
            tool(function)  # type: ignore[call-overload]
    with pytest.raises(ToolDefinitionError, match="two names"):
        tool("a", name="b")
    with pytest.raises(ToolDefinitionError, match="expected a name and a function"):
        tool(Shop().buy, Shop().buy)  # type: ignore[call-overload]
    with pytest.raises(ToolDefinitionError, match="response_format"):
        tool(response_format="both")(positional)  # type: ignore[call-overload]
    with pytest.raises(ToolDefinitionError, match="args_schema must be"):
        tool(args_schema=int)(Shop().buy)
    with pytest.raises(ToolDefinitionError, match="must describe an object"):
        tool(args_schema={"type": "array"})(Shop().buy)
    with pytest.raises(ToolDefinitionError, match="args_schema has 'text', but the function has no such"):
        tool(args_schema=Query)(Shop().buy)
