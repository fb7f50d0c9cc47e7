"""Pydantic's models and fields in the parameters of a tool."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import pytest

from penstock.errors import MissingExtraError, ToolArgumentsError, ToolDefinitionError
from penstock.tools import tool

pydantic = pytest.importorskip("pydantic")


class Inner(pydantic.BaseModel):
    q: int = pydantic.Field(description="how many", gt=0)


class Outer(pydantic.BaseModel):
    inner: Inner
    name: str = "x"


def test_a_model() -> None:
    @tool
    def use(one: Outer, many: list[Inner], maybe: Inner | None = None) -> Any:
        """Use it."""
        return one, many, maybe

    assert use.args["one"]["properties"]["inner"] == {"$ref": "#/$defs/Inner"}
    assert use.args["many"]["items"]["properties"]["q"]["description"] == "how many"
    assert use.args_schema["$defs"]["Inner"]["properties"]["q"]["exclusiveMinimum"] == 0
    assert use.args_schema["required"] == ["one", "many"]
    assert use.invoke({"one": {"inner": {"q": "1"}}, "many": [{"q": 2}]}) == (
        Outer(inner=Inner(q=1)),
        [Inner(q=2)],
        None,
    )
    with pytest.raises(ToolArgumentsError) as caught:
        use.invoke({"one": {"inner": {"q": 0}}, "many": [{}], "maybe": {"q": "b"}})
    assert caught.value.problems == (
        "one.inner.q: Input should be greater than 0",
        "many[0].q: Field required",
        "maybe.q: Input should be a valid integer, unable to parse string as an integer",
    )


def test_different_models_of_one_name() -> None:
    other = pydantic.create_model("Inner", z=(int, ...))
    outer = pydantic.create_model("Other", inner=(other, ...))

    def use(one, two):
        """Use both."""

    use.__annotations__.update(one=Outer, two=outer)
    made = tool(use)
    first, second = (made.args[name]["properties"]["inner"]["$ref"][8:] for name in ("one", "two"))
    assert first != second
    assert "q" in made.args_schema["$defs"][first]["properties"]
    assert "z" in made.args_schema["$defs"][second]["properties"]


def test_fields() -> None:
    @tool
    def use(
        n: Annotated[int, pydantic.Field(gt=3, description="a large number")],
        m: int = pydantic.Field(default=4, description="another", le=9),
        k: list[int] = pydantic.Field(default_factory=list),
    ) -> Any:
        """Use it."""
        return n, m, k

    assert use.args["n"] == {"type": "integer", "exclusiveMinimum": 3, "description": "a large number"}
    assert use.args["m"]["maximum"] == 9
    assert use.args["m"]["default"] == 4
    assert use.args_schema["required"] == ["n"]
    assert use.invoke({"n": 5}) == (5, 4, [])
    with pytest.raises(ToolArgumentsError, match=r"- n: Input should be greater than 3\n- m: Input should be less"):
        use.invoke({"n": 1, "m": 10})


def test_args_schema() -> None:
    @tool(args_schema=Outer)
    def use(inner, name):
        """Use it."""
        return inner, name

    assert list(use.args) == ["inner", "name"]
    assert use.invoke({"inner": {"q": 1}}) == (Inner(q=1), "x")
    with pytest.raises(ToolArgumentsError, match="- inner.q: Field required"):
        use.invoke({"inner": {}})


def test_what_pydantic_cannot_describe() -> None:
    def use(x):
        """Use it."""

    use.__annotations__["x"] = Annotated[type("Odd", (), {}), pydantic.Field(gt=1)]
    with pytest.raises(ToolDefinitionError, match="parameter 'x': pydantic cannot describe"):
        tool(use)


def test_without_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)

    def use(x):
        """Use it."""

    use.__annotations__["x"] = Inner
    with pytest.raises(MissingExtraError, match=r"pip install penstock\[pydantic\]"):
        tool(use)
