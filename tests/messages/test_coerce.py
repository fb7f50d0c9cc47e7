"""Reading messages from the forms in which people write them, and writing them as OpenAI's dicts."""

from collections import deque
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import MessageError
from penstock.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    ToolMessageChunk,
    coerce_message,
    coerce_messages,
    is_message,
    message_to_dict,
    messages_to_dicts,
)

OPENAI_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
CALL = {"name": "f", "args": {"a": 1}, "id": "c1", "type": "tool_call"}


@pytest.mark.parametrize(
    ("given_form", "message"),
    [
        ("hi", HumanMessage("hi")),
        (("user", "hi"), HumanMessage("hi")),
        (["human", "hi"], HumanMessage("hi")),
        (("ai", "hi"), AIMessage("hi")),
        (("assistant", [{"type": "text", "text": "hi"}]), AIMessage([{"type": "text", "text": "hi"}])),
        (("system", "hi"), SystemMessage("hi")),
        ({"role": "user", "content": "hi", "id": "1", "name": "bob"}, HumanMessage("hi", id="1", name="bob")),
        ({"type": "human", "content": "hi", "id": None}, HumanMessage("hi")),
        (
            {"role": "assistant", "content": None, "tool_calls": [OPENAI_CALL]},
            AIMessage("", tool_calls=[CALL]),
        ),
        ({"role": "assistant", "tool_calls": [OPENAI_CALL]}, AIMessage("", tool_calls=[CALL])),
        ({"type": "ai", "content": "", "tool_calls": [CALL]}, AIMessage("", tool_calls=[CALL])),
        (
            {"role": "tool", "content": "r", "tool_call_id": "c1", "status": "error", "artifact": 5},
            ToolMessage("r", tool_call_id="c1", status="error", artifact=5),
        ),
        (
            {"role": "developer", "content": "hi"},
            SystemMessage("hi", additional_kwargs={"__openai_role__": "developer"}),
        ),
        (
            {"role": "assistant", "content": "", "refusal": None, "x": 1, "additional_kwargs": {"x": 2}},
            AIMessage("", additional_kwargs={"refusal": None, "x": 2}),
        ),
        (
            {"role": "user", "content": "hi", "tool_call_id": "1"},
            HumanMessage("hi", additional_kwargs={"tool_call_id": "1"}),
        ),
        ({"role": "remove", "id": "1"}, RemoveMessage("1")),
        (
            {"type": "AIMessageChunk", "content": "a", "chunk_position": "last"},
            AIMessageChunk("a", chunk_position="last"),
        ),
        (MappingProxyType({"role": "user", "content": "hi"}), HumanMessage("hi")),
    ],
)
def test_forms(given_form: object, message: object) -> None:
    assert coerce_message(given_form) == message


def test_messages_are_returned_as_they_are() -> None:
    message = AIMessageChunk("x")
    assert coerce_message(message) is message


def test_dicts_are_not_changed() -> None:
    form = {"role": "assistant", "content": "", "tool_calls": [OPENAI_CALL], "x": 1}
    before = repr(form)
    coerce_message(form).additional_kwargs["y"] = 2
    assert repr(form) == before


@pytest.mark.parametrize(
    ("arguments", "error"), [('{"a": 1', "not JSON"), ("[1]", "not a JSON object"), ("x", "not JSON")]
)
def test_unreadable_calls_are_kept_as_invalid(arguments: str, error: str) -> None:
    function = {"name": "f", "arguments": arguments}
    message = coerce_message({"role": "assistant", "content": "", "tool_calls": [{"id": "1", "function": function}]})
    assert message.tool_calls == []
    (bad,) = message.invalid_tool_calls
    assert (bad["name"], bad["args"], bad["id"]) == ("f", arguments, "1")
    assert error in bad["error"]


@pytest.mark.parametrize("arguments", ["", None, {}])
def test_calls_without_arguments(arguments: object) -> None:
    form = {"role": "ai", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": arguments}}]}
    assert coerce_message(form).tool_calls[0]["args"] == {}


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        (5, r"cannot read 5 \(int\) as a message; expected a message, text"),
        (None, "NoneType"),
        (("a", "b", "c"), "cannot read"),
        ((HumanMessage("x"),), "cannot read"),
        ({}, "needs a role"),
        ({"content": "x"}, r"keys \['content'\]"),
        ({"role": "user"}, "needs content beside its role 'user'"),
        ({"role": "usr", "content": "x"}, "unknown message role 'usr'; did you mean 'user'"),
        ({"role": 5, "content": "x"}, "unknown message role 5"),
        ({"role": "AIMessageChunk", "content": "x"}, "unknown message role"),
        ({"role": "tool", "content": "x"}, "needs tool_call_id"),
        ({"role": "remove"}, "id=None"),
        ({"role": "user", "content": 5}, r"HumanMessage got 5 \(int\) as content"),
        ({"role": "ai", "content": "", "tool_calls": "f"}, "as tool_calls; expected a list"),
        ({"role": "ai", "content": "", "tool_calls": ["f"]}, "as a tool call"),
        (("robot", "x"), "unknown message role 'robot'"),
        (("tool", "x"), "cannot name the call it answers"),
        (("remove", "x"), "cannot name the id to remove"),
    ],
)
def test_errors_name_what_was_got(form: object, problem: str) -> None:
    with pytest.raises(MessageError, match=problem):
        coerce_message(form)


def test_errors_stay_short() -> None:
    with pytest.raises(MessageError) as caught:
        coerce_message({"role": "user", "text": "x" * 100_000})
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "several",
    [
        ["a", ("user", "b")],
        (HumanMessage("a"), HumanMessage("b")),
        (m for m in ("a", "b")),
        deque(["a", "b"]),
    ],
)
def test_several_messages(several: object) -> None:
    assert coerce_messages(several) == [HumanMessage("a"), HumanMessage("b")]


@pytest.mark.parametrize("one", ["a", ("user", "a"), {"role": "user", "content": "a"}, HumanMessage("a")])
def test_one_message_is_a_list_of_one(one: object) -> None:
    assert coerce_messages(one) == [HumanMessage("a")]


def test_no_messages() -> None:
    assert coerce_messages([]) == []
    with pytest.raises(MessageError):
        coerce_messages(5)


@pytest.mark.parametrize("value", [None, "x", 5, {"role": "user"}, ("user", "x"), [], object(), HumanMessage, int])
def test_what_is_no_message(value: object) -> None:
    assert not is_message(value)


def test_is_message_does_not_ask_the_value() -> None:
    class Any:
        content = additional_kwargs = response_metadata = id = type = None
        model_fields = 5

        def __getattr__(self, name: str) -> object:
            raise AssertionError(name)

    assert not is_message(Any())


@pytest.mark.parametrize(
    ("message", "form"),
    [
        (HumanMessage("hi", name="bob"), {"role": "user", "content": "hi", "name": "bob"}),
        (("system", "hi"), {"role": "system", "content": "hi"}),
        (
            SystemMessage("hi", additional_kwargs={"__openai_role__": "developer"}),
            {"role": "developer", "content": "hi"},
        ),
        (ToolMessage("r", tool_call_id="c1"), {"role": "tool", "content": "r", "tool_call_id": "c1"}),
        (ToolMessageChunk("r", tool_call_id="c1"), {"role": "tool", "content": "r", "tool_call_id": "c1"}),
        (AIMessage("", tool_calls=[CALL]), {"role": "assistant", "content": "", "tool_calls": [OPENAI_CALL]}),
        (
            AIMessage([{"type": "tool_use", "id": "c1"}], tool_calls=[CALL]),
            {"role": "assistant", "content": "", "tool_calls": [OPENAI_CALL]},
        ),
        (
            AIMessage("", invalid_tool_calls=[{"name": None, "args": None, "id": "c"}]),
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "", "arguments": ""}}],
            },
        ),
        (
            HumanMessage(
                [
                    "a",
                    {"type": "text", "text": "b", "index": 0},
                    {"type": "image", "url": "http://host/a.png"},
                    {"type": "image", "base64": "AA==", "mime_type": "image/gif"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/jpeg", "data": "BB=="},
                    },
                    {"type": "image", "file_id": "f"},
                    {"type": "audio", "x": 1},
                ]
            ),
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "a"},
                    {"type": "text", "text": "b"},
                    {"type": "image_url", "image_url": {"url": "http://host/a.png"}},
                    {"type": "image_url", "image_url": {"url": "data:image/gif;base64,AA=="}},
                    {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,BB=="}},
                    {"type": "image", "file_id": "f"},
                    {"type": "audio", "x": 1},
                ],
            },
        ),
    ],
)
def test_openai_form(message: object, form: dict) -> None:
    assert message_to_dict(message) == form


def test_openai_form_with_id() -> None:
    assert message_to_dict(HumanMessage("x", id="1"), include_id=True)["id"] == "1"
    assert "id" not in message_to_dict(HumanMessage("x", id="1"))
    assert messages_to_dicts(HumanMessage("x")) == [{"role": "user", "content": "x"}]


def test_nobody_says_a_remove_message() -> None:
    with pytest.raises(MessageError, match="has no role"):
        message_to_dict(RemoveMessage("1"))


texts = st.text(max_size=5)
arguments = st.dictionaries(texts, st.integers() | texts | st.none(), max_size=3)
tool_calls = st.builds(lambda n, a, i: {"name": n, "args": a, "id": i}, texts, arguments, st.none() | texts)
ids = st.none() | texts
everything = (
    st.builds(HumanMessage, texts, id=ids, name=ids)
    | st.builds(SystemMessage, texts, id=ids)
    | st.builds(AIMessage, texts, id=ids, tool_calls=st.lists(tool_calls, max_size=2))
    | st.builds(ToolMessage, texts, tool_call_id=texts, id=ids)
)


@given(everything)
def test_openai_form_reads_back(message: object) -> None:
    assert coerce_message(message_to_dict(message, include_id=True)) == message


@given(everything)
def test_dump_reads_back(message: object) -> None:
    assert coerce_message(message.model_dump()) == message
