"""What a model writes is checked and turned into what the function wants; problems are told all at once."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import enum
import pickle
import uuid
from decimal import Decimal
from typing import Any, Literal, Optional, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import NotRequired, TypedDict

from penstock.errors import ToolArgumentsError
from penstock.tools import Tool


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0

    def __post_init__(self) -> None:
        if self.x > 100:
            raise ValueError("x must be at most 100")


class Stop(TypedDict):
    city: str
    where: NotRequired[Point]


@dataclasses.dataclass
class Tree:
    value: int
    children: list[Tree] = dataclasses.field(default_factory=list)


def reader(hint: Any) -> Tool:
    def echo(x):
        """Give x back."""
        return x

    echo.__annotations__["x"] = hint
    return Tool(echo)


DAY = datetime.date(2025, 1, 31)
NOON = datetime.datetime(2025, 1, 31, 12, tzinfo=datetime.timezone.utc)
ID = uuid.UUID(int=7)


@pytest.mark.parametrize(
    ("hint", "sent", "read"),
    [
        (str, "a", "a"),
        (int, 3, 3),
        (int, 3.0, 3),
        (int, "3", 3),
        (float, 3, 3.0),
        (float, "3.5", 3.5),
        (bool, "True", True),
        (bool, False, False),
        (None, None, None),
        (Any, {"a": [1]}, {"a": [1]}),
        (list[int], [1, 2.0, "3"], [1, 2, 3]),
        (tuple[int, str], [1, "a"], (1, "a")),
        (tuple[int, ...], [1, 2], (1, 2)),
        (set[int], [1, 1, 2], {1, 2}),
        (frozenset[str], ["a"], frozenset("a")),
        (dict[int, str], {"1": "a"}, {1: "a"}),
        (dict[Color, int], {"r": 1}, {Color.RED: 1}),
        (Optional[int], None, None),
        (Optional[int], "3", 3),
        (Union[int, str], "3", "3"),
        (Union[str, int], 3, 3),
        (Union[int, float], 3.0, 3.0),
        (Union[float, int], 3, 3),
        (Union[int, list[int]], ["1"], [1]),
        (Union[Point, Stop], {"city": "Rome"}, {"city": "Rome"}),
        (Literal["a", "b"], "b", "b"),
        (Literal[1, 2], "2", 2),
        (Literal[1, 2], 2.0, 2),
        (Color, "r", Color.RED),
        (Color, Color.RED, Color.RED),
        (Size, 2, Size.LARGE),
        (datetime.date, "2025-01-31", DAY),
        (datetime.datetime, "2025-01-31T12:00:00Z", NOON),
        (datetime.time, "12:30", datetime.time(12, 30)),
        (uuid.UUID, str(ID), ID),
        (Decimal, "1.10", Decimal("1.10")),
        (Point, {"x": 1}, Point(1)),
        (Point, Point(2), Point(2)),
        (list[Point], [{"x": 1, "y": "2"}], [Point(1, 2)]),
        (Stop, {"city": "Rome", "where": {"x": 1}}, {"city": "Rome", "where": Point(1)}),
        (Tree, {"value": 1, "children": [{"value": "2"}]}, Tree(1, [Tree(2)])),
    ],
    ids=repr,
)
def test_read(hint: Any, sent: Any, read: Any) -> None:
    result = reader(hint).invoke({"x": sent})
    assert result == read
    assert type(result) is type(read)


@pytest.mark.parametrize(
    ("hint", "sent", "problem"),
    [
        (str, 5, "x: expected a string, got 5 (number)"),
        (int, "many", "x: expected a whole number, got 'many' (string)"),
        (int, 1.5, "x: expected a whole number, got 1.5 (number)"),
        (int, True, "x: expected a whole number, got True (boolean)"),
        (float, "nan", "x: expected a number, got 'nan' (string)"),
        (bool, 1, "x: expected true or false, got 1 (number)"),
        (None, 1, "x: expected null, got 1 (number)"),
        (int, None, "x: expected a whole number, got None (null)"),
        (list[int], 1, "x: expected a list, got 1 (number)"),
        (list[int], [1, "b"], "x[1]: expected a whole number, got 'b' (string)"),
        (set[Any], [[1]], "x: expected a list of plain values, got [[1]] (list)"),
        (tuple[int, int], [1], "x: expected a list of 2 items, got [1] (list)"),
        (tuple[int, int], [1, "b"], "x[1]: expected a whole number, got 'b' (string)"),
        (dict[str, int], [], "x: expected an object, got [] (list)"),
        (dict[str, int], {"a": "b"}, "x.a: expected a whole number, got 'b' (string)"),
        (dict[int, int], {"a": 1}, "the key of x.a: expected a whole number, got 'a' (string)"),
        (Optional[int], "b", "x: expected a whole number, got 'b' (string)"),
        (Union[int, bool], "b", "x: expected a whole number or true or false, got 'b' (string)"),
        (Union[int, Point], {"x": "b"}, "x.x: expected a whole number, got 'b' (string)"),
        (Literal["a", "b"], "c", "x: expected one of 'a', 'b', got 'c' (string)"),
        (Literal["a"], "c", "x: expected 'a', got 'c' (string)"),
        (Color, "green", "x: expected one of 'r', 'b', got 'green' (string)"),
        (datetime.date, "soon", "x: expected a date such as 2025-01-31, got 'soon' (string)"),
        (Decimal, "much", "x: expected a decimal number as a string, such as \"1.10\", got 'much' (string)"),
        (Point, "here", "x: expected an object (Point), got 'here' (string)"),
        (Point, {}, "x.x: missing; expected a whole number"),
        (Point, {"x": 101}, "x: x must be at most 100"),
        (Stop, {"city": "Rome", "where": {"x": "b"}}, "x.where.x: expected a whole number, got 'b' (string)"),
    ],
    ids=repr,
)
def test_a_problem(hint: Any, sent: Any, problem: str) -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        reader(hint).invoke({"x": sent})
    assert caught.value.problems == (problem,)


def test_all_problems_in_words_for_the_model() -> None:
    def book(city: str, nights: int, breakfast: bool = False) -> None:
        """Book a room."""

    with pytest.raises(ToolArgumentsError) as caught:
        Tool(book).invoke({"nights": "two", "breakfst": True, "colour": "red"})
    assert str(caught.value) == (
        "The arguments of tool 'book' are wrong:\n"
        "- city: missing; expected a string\n"
        "- nights: expected a whole number, got 'two' (string)\n"
        "- breakfst: unknown; did you mean 'breakfast'?\n"
        "Correct them and call the tool again."
    )
    assert isinstance(caught.value, ValueError)
    for again in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert (again.tool, again.problems, str(again)) == ("book", caught.value.problems, str(caught.value))


def test_what_is_no_argument_is_left_out() -> None:
    assert reader(int).invoke({"x": 1, "reason": "because"}) == 1


def test_arguments_that_are_none() -> None:
    with pytest.raises(ToolArgumentsError, match=r"expected an object with the arguments by name, got \[1\]"):
        reader(int).invoke([1])  # type: ignore[arg-type]


def test_a_text_is_the_only_argument() -> None:
    assert reader(str).invoke("hello") == "hello"


def test_long_values_are_cut() -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        reader(int).invoke({"x": "a" * 1000})
    assert len(str(caught.value)) < 250


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
HINTS = [
    int, float, bool, str, list[int], tuple[int, str], dict[str, float], set[int], Color, Point, Stop, Tree,
    Optional[int], Union[int, str, list[str]], datetime.datetime, uuid.UUID, Decimal,
]  # fmt: skip


@given(hint=st.sampled_from(HINTS), value=json_values)
def test_whatever_a_model_writes_is_read_or_refused(hint: Any, value: Any) -> None:
    try:
        reader(hint).invoke({"x": value})
    except ToolArgumentsError as error:
        assert error.problems
