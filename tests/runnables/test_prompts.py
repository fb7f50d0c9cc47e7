"""Prompts and parsers."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.errors import MessageError, ModelOutputError, PromptError
from penstock.messages import AIMessage, HumanMessage, SystemMessage
from penstock.runnables import (
    ChatPromptTemplate,
    JsonOutputParser,
    MessagesPlaceholder,
    PromptTemplate,
    StrOutputParser,
)


def test_every_way_to_write_a_message() -> None:
    prompt = ChatPromptTemplate.from_messages(
        [
            ("system", "You are {who}"),
            ("placeholder", "{history}"),
            {"role": "assistant", "content": "{greeting}"},
            HumanMessage("{not filled}"),
            "And {who}?",
            ChatPromptTemplate.from_template("{last:>4}").partial(last="x"),
        ]
    )
    assert prompt.input_variables == ["who", "greeting"]
    assert prompt.optional_variables == ["history"]
    messages = prompt.invoke({"who": "Ada", "greeting": "Hi", "history": [("ai", "before")]}).to_messages()
    assert messages == [
        SystemMessage("You are Ada"),
        AIMessage("before"),
        AIMessage("Hi"),
        HumanMessage("{not filled}"),
        HumanMessage("And Ada?"),
        HumanMessage("   x"),
    ]


def test_content_blocks_are_filled_in() -> None:
    blocks = [{"type": "text", "text": "What is {it}?"}, {"type": "image_url", "image_url": {"url": "{url}"}}]
    message = ChatPromptTemplate.from_messages([("human", blocks)]).format_messages(it="this", url="http://x")[0]
    assert message.content == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "http://x"}},
    ]


def test_placeholders() -> None:
    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history", n_messages=1)])
    assert prompt.invoke({"history": ["a", "b"]}).messages == [HumanMessage("b")]
    assert prompt.invoke(["a", "b"]).messages == [HumanMessage("b")]
    with pytest.raises(PromptError, match="needs 'history'; got only nothing"):
        prompt.invoke({})


@pytest.mark.parametrize("given", [{}, {"nmae": "x"}])
def test_missing_variables_are_named(given: Any) -> None:
    with pytest.raises(PromptError, match="needs 'name', 'age'; got only") as caught:
        ChatPromptTemplate.from_template("{name} is {age}").invoke(given)
    assert isinstance(caught.value, KeyError)
    assert isinstance(caught.value, ValueError)
    assert "\\'" not in str(caught.value)


def test_a_bare_value_fills_the_one_place() -> None:
    assert PromptTemplate("Hi {name}").invoke("Ada") == "Hi Ada"
    with pytest.raises(PromptError, match="expected a dict with 'a', 'b'"):
        PromptTemplate("{a}{b}").invoke("x")


@pytest.mark.parametrize("template", ["{a.b}", "{a[0]}", "{}", "{0}", '{"a": 1}', "{a:{b}}", "{a", "a}"])
def test_only_plain_names_are_places(template: str) -> None:
    with pytest.raises(PromptError, match="write {{ and }} for braces"):
        PromptTemplate(template)


def test_braces_conversions_and_formats() -> None:
    prompt = PromptTemplate.from_template('{{"{key!r}": {n:.2f}}}')
    assert prompt.format(key="k", n=1) == "{\"'k'\": 1.00}"


def test_values_are_not_templates() -> None:
    assert PromptTemplate("{a}").format(a="{b}") == "{b}"


def test_partial() -> None:
    days = iter(["Monday", "Tuesday"])
    prompt = ChatPromptTemplate.from_template("{day}: {text}")
    known = prompt.partial(day=lambda: next(days))
    assert [known.invoke("x").messages[0].text for _ in range(2)] == ["Monday: x", "Tuesday: x"]
    assert prompt.input_variables == ["day", "text"]
    assert known.invoke({"text": "y", "day": "Never"}).messages[0].text == "Never: y"
    with pytest.raises(PromptError, match="no place 'dya'"):
        prompt.partial(dya="x")


def test_what_is_no_message() -> None:
    with pytest.raises(MessageError, match="unknown message role 'usr'"):
        ChatPromptTemplate([("usr", "x")])
    with pytest.raises(MessageError, match="cannot read 3"):
        ChatPromptTemplate([3])
    with pytest.raises(PromptError, match="from_template"):
        ChatPromptTemplate("text")
    with pytest.raises(PromptError, match="a name in braces"):
        ChatPromptTemplate([("placeholder", "history")])


@pytest.mark.parametrize(
    "text", ['{"a": 1}', '```json\n{"a": 1}\n```', '```\n{"a": 1}```', 'Here:\n```json\n{"a": 1}\n```\nDone.']
)
def test_json_with_and_without_fences(text: str) -> None:
    assert JsonOutputParser().invoke(AIMessage(text)) == {"a": 1}


def test_a_fence_inside_of_json_is_text() -> None:
    assert JsonOutputParser().invoke('{"a": "```x```"}') == {"a": "```x```"}


@pytest.mark.parametrize("text", ['{"a": 1', "no", ""])
async def test_what_is_no_json(text: str) -> None:
    with pytest.raises(ModelOutputError, match="expected JSON"):
        await JsonOutputParser().ainvoke(text)
    with pytest.raises(ModelOutputError, match="expected JSON"):
        async for _ in JsonOutputParser().astream(text):
            pass


def test_what_has_no_text() -> None:
    assert StrOutputParser().invoke("x") == "x"
    with pytest.raises(ModelOutputError, match=r"StrOutputParser got 3 \(int\)"):
        StrOutputParser().invoke(3)
