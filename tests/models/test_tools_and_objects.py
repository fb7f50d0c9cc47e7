"""What a model is told about tools, and objects as answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from typing_extensions import TypedDict

from penstock.config import RunnableConfig
from penstock.errors import ModelOutputError, ToolDefinitionError
from penstock.testing import ScriptedChatModel
from penstock.tools import tool

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
TOLD = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": SCHEMA}}


class Tool:
    """As `@tool` makes them."""

    name = "add"
    description = "Adds."
    args_schema = SCHEMA


def told(tools: Any, **options: Any) -> Any:
    model = ScriptedChatModel(["x"]).bind_tools(tools, **options)
    model.invoke("hi")
    return model.calls[0].options


@pytest.mark.parametrize(
    "tool",
    [
        Tool(),
        TOLD,
        {"name": "add", "description": "Adds.", "parameters": SCHEMA},
        {"name": "add", "description": "Adds.", "input_schema": SCHEMA},
        {"title": "add", "description": "Adds.", **SCHEMA},
    ],
)
def test_tools_are_told_in_one_form(tool: Any) -> None:
    assert told([tool]) == {"tools": [TOLD]}


def test_a_pydantic_model_is_a_tool() -> None:
    pydantic = pytest.importorskip("pydantic")
    add = pydantic.create_model("add", __doc__="Adds.", a=(int, ...))
    found = told([add])["tools"][0]["function"]
    assert (found["name"], found["description"], found["parameters"]["required"]) == ("add", "Adds.", ["a"])


def test_tools_that_only_a_provider_knows_are_left_alone() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    assert told([search]) == {"tools": [search]}


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("auto", "auto"),
        ("any", "required"),
        (True, "required"),
        ("none", "none"),
        ("add", "add"),
        ({"type": "function", "function": {"name": "add"}}, "add"),
        ({"type": "any"}, "required"),
    ],
)
def test_tool_choice(choice: Any, said: str) -> None:
    assert told([TOLD], tool_choice=choice)["tool_choice"] == said


def test_a_plain_function_is_described_as_a_tool_of_it_would_be() -> None:
    def weather(city: str, config: RunnableConfig) -> str:
        """Tell the weather of a city."""
        return ""

    assert told([weather])["tools"] == told([tool(weather)])["tools"]
    assert list(told([weather])["tools"][0]["function"]["parameters"]["properties"]) == ["city"]


def test_wrong_tools_are_named() -> None:
    def plain() -> None: ...

    with pytest.raises(ToolDefinitionError, match="'plain' has no description"):
        told([plain])
    with pytest.raises(TypeError, match="expected a tool"):
        told([7])
    with pytest.raises(TypeError, match="list of tools"):
        told("add")
    with pytest.raises(ValueError, match="'sub' names no tool.*'add'"):
        told([TOLD], tool_choice="sub")


# --- objects ---------------------------------------------------------------------------------------------


@dataclass
class City:
    name: str
    size: int


class CityDict(TypedDict):
    """A city."""

    name: str
    size: int


RIGHT = {"name": "Rome", "size": 3}


def answering(name: str, args: Any) -> ScriptedChatModel:
    return ScriptedChatModel([{"tool_calls": [{"name": name, "args": args}]}])


def test_objects_of_a_dataclass_a_typeddict_and_a_schema() -> None:
    assert answering("City", RIGHT).with_structured_output(City).invoke("?") == City("Rome", 3)
    assert answering("CityDict", RIGHT).with_structured_output(CityDict).invoke("?") == RIGHT
    schema = {"title": "city", "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    assert answering("city", RIGHT).with_structured_output(schema).invoke("?") == RIGHT


def test_objects_of_a_pydantic_model() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Town", name=(str, ...), size=(int, 1))
    found: Any = answering("Town", {"name": "Rome"}).with_structured_output(model).invoke("?")
    assert (found.name, found.size) == ("Rome", 1)
    with pytest.raises(ModelOutputError, match="name"):
        answering("Town", {}).with_structured_output(model).invoke("?")


def test_what_the_model_is_told() -> None:
    model = answering("CityDict", RIGHT)
    model.with_structured_output(CityDict, strict=True, temperature=0).invoke("?")
    options = model.calls[0].options
    assert (options["tool_choice"], options["temperature"]) == ("CityDict", 0)
    function = options["tools"][0]["function"]
    assert (function["description"], function["strict"]) == ("A city.", True)
    assert function["parameters"]["required"] == ["name", "size"]


def test_json_as_the_answer() -> None:
    for said in ('{"name": "Rome", "size": 3}', '```json\n{"name": "Rome", "size": 3}\n```'):
        model = ScriptedChatModel([said]).with_structured_output(City, method="json_schema")
        assert model.invoke("?") == City("Rome", 3)
    with pytest.raises(ModelOutputError, match="asked for JSON and said 'Rome'"):
        ScriptedChatModel(["Rome"]).with_structured_output(City, method="json_schema").invoke("?")


def test_answers_that_do_not_fit() -> None:
    with pytest.raises(ModelOutputError, match="size: expected"):
        answering("City", {"name": "Rome", "size": "big"}).with_structured_output(City).invoke("?")
    with pytest.raises(ModelOutputError, match="did not call 'City'.*'Rome'"):
        ScriptedChatModel(["Rome"]).with_structured_output(City).invoke("?")
    broken = ScriptedChatModel(["Rome"]).with_structured_output(City, include_raw=True).invoke("?")
    assert broken["raw"].text == "Rome" and broken["parsed"] is None
    assert isinstance(broken["parsing_error"], ModelOutputError)


def test_wrong_schemas_are_named() -> None:
    model = ScriptedChatModel(["x"])
    with pytest.raises(TypeError, match="expected a pydantic model"):
        model.with_structured_output(7)
    with pytest.raises(TypeError, match="needs a 'title'"):
        model.with_structured_output({"type": "object"})
    with pytest.raises(ValueError, match="method must be"):
        model.with_structured_output(City, method="magic")  # type: ignore[arg-type]


async def test_batches_of_objects() -> None:
    model = ScriptedChatModel([{"tool_calls": [{"name": "City", "args": RIGHT}]}], cycle=True)
    assert await model.with_structured_output(City).abatch(["a", "b"]) == [City("Rome", 3)] * 2
