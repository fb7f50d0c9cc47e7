"""What a single message is: its attributes, equality, copies, pickles, errors."""

import copy
import pickle
from uuid import UUID

import pytest

from penstock.errors import MessageError, PenstockError
from penstock.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)

CALL = {"name": "find", "args": {"q": "x"}, "id": "c1"}

EXAMPLES = [
    HumanMessage("hi", id="1", name="bob"),
    HumanMessage(["a", {"type": "text", "text": "b"}]),
    SystemMessage("be brief", additional_kwargs={"k": [1]}),
    AIMessage(
        "yes",
        id="2",
        tool_calls=[CALL],
        invalid_tool_calls=[{"name": "f", "args": "}", "id": None}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        response_metadata={"model_name": "m"},
    ),
    ToolMessage("sunny", tool_call_id="c1", name="find", artifact=object, status="error"),
    ToolMessage("sunny", tool_call_id="c1"),
    RemoveMessage("1"),
    HumanMessageChunk("h"),
    SystemMessageChunk("s"),
    ToolMessageChunk("t", tool_call_id="c1", artifact={"a": 1}),
    AIMessageChunk("a", id="3", chunk_position="last"),
    AIMessageChunk(tool_call_chunks=[{"name": "find", "args": '{"q', "id": "c1", "index": 0}]),
]


class Marked(HumanMessage):
    """A user's class with attributes of its own, in a slot and in a dict."""

    __slots__ = ("__dict__", "mark")

    def __init__(self, content: str, mark: int) -> None:
        super().__init__(content)
        self.mark = mark
        self.note = "n"


def test_types_are_langchains() -> None:
    assert [m.type for m in EXAMPLES] == [
        "human", "human", "system", "ai", "tool", "tool", "remove",
        "HumanMessageChunk", "SystemMessageChunk", "ToolMessageChunk", "AIMessageChunk", "AIMessageChunk",
    ]  # fmt: skip


def test_a_chunk_is_an_instance_of_its_message_class() -> None:
    assert isinstance(AIMessageChunk("a"), AIMessage)
    assert isinstance(ToolMessageChunk("a", tool_call_id="1"), ToolMessage)
    assert not isinstance(AIMessage("a"), AIMessageChunk)


def test_absent_attributes_read_as_empty() -> None:
    message = AIMessage("x")
    assert (message.id, message.name, message.usage_metadata) == (None, None, None)
    assert (message.additional_kwargs, message.response_metadata) == ({}, {})
    assert (message.tool_calls, message.invalid_tool_calls) == ([], [])
    chunk = AIMessageChunk()
    assert (chunk.content, chunk.tool_call_chunks, chunk.tool_calls, chunk.chunk_position) == (
        "",
        [],
        [],
        None,
    )


def test_lists_and_dicts_made_on_first_look_can_be_filled() -> None:
    message = AIMessage("x")
    message.additional_kwargs["a"] = 1
    message.response_metadata["b"] = 2
    message.tool_calls.append({"name": "f", "args": {}, "id": None})
    message.invalid_tool_calls.append({"name": "f", "args": "}", "id": None, "error": None})
    assert message.additional_kwargs == {"a": 1}
    assert message.response_metadata == {"b": 2}
    assert [call["name"] for call in message.tool_calls] == ["f"]
    assert [call["args"] for call in message.invalid_tool_calls] == ["}"]


def test_attributes_can_be_assigned() -> None:
    message = AIMessage("x")
    message.tool_calls = [CALL]
    message.invalid_tool_calls = [{"name": "g", "args": "}"}]
    message.additional_kwargs = {"a": 1}
    message.response_metadata = {"b": 2}
    message.content = "y"
    assert message.tool_calls == [{**CALL, "type": "tool_call"}]
    assert message.invalid_tool_calls[0]["id"] is None
    assert message == AIMessage(
        "y",
        tool_calls=[CALL],
        invalid_tool_calls=[{"name": "g", "args": "}"}],
        additional_kwargs={"a": 1},
        response_metadata={"b": 2},
    )


def test_what_is_given_is_not_shared() -> None:
    extra = {"a": 1}
    calls = [CALL]
    message = AIMessage("x", additional_kwargs=extra, tool_calls=calls)
    message.additional_kwargs["b"] = 2
    message.tool_calls.clear()
    assert extra == {"a": 1}
    assert calls == [CALL]


def test_text_is_the_readable_part() -> None:
    assert AIMessage("x").text == "x"
    blocks = [
        "a",
        {"type": "text", "text": "b"},
        {"type": "image", "url": "u"},
        {"text": "no type"},
        {"type": "text"},
    ]
    assert AIMessage(blocks).text == "ab"


def test_equality_needs_the_same_class_and_content() -> None:
    assert AIMessage("a", id="1") == AIMessage("a", id="1")
    assert AIMessage("a") != AIMessage("a", id="1")
    assert AIMessage("a") != AIMessageChunk("a")
    assert AIMessage("a") != HumanMessage("a")
    assert AIMessage("a") != "a"
    assert AIMessage("a", additional_kwargs={}) == AIMessage("a")


def test_messages_have_no_hash() -> None:
    with pytest.raises(TypeError):
        hash(HumanMessage("x"))


def test_repr_shows_what_is_there() -> None:
    assert repr(AIMessage("x", id="1")) == "AIMessage(content='x', id='1')"
    assert repr(ToolMessage("x", tool_call_id="1")) == "ToolMessage(content='x', tool_call_id='1')"
    assert str(HumanMessage("x", name="bob")) == "HumanMessage(content='x', name='bob')"


def test_match_statement() -> None:
    match AIMessage("x"):
        case AIMessage(content):
            assert content == "x"
    match RemoveMessage("1"):
        case RemoveMessage(message_id):
            assert message_id == "1"


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling(message: BaseMessage, protocol: int) -> None:
    again = pickle.loads(pickle.dumps(message, protocol))
    assert again == message
    assert type(again) is type(message)


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda m: m.model_copy()])
def test_copies_are_equal_and_apart(message: BaseMessage, duplicate) -> None:
    before = repr(message)
    again = duplicate(message)
    assert again == message
    assert again is not message
    again.additional_kwargs["new"] = 1
    again.id = "other"
    assert repr(message) == before


def test_model_copy_updates() -> None:
    message = AIMessage("x", id="1", additional_kwargs={"a": [1]})
    changed = message.model_copy(update={"content": "y", "tool_calls": [CALL]})
    assert changed.content == "y"
    assert changed.tool_calls[0]["name"] == "find"
    assert message == AIMessage("x", id="1", additional_kwargs={"a": [1]})


def test_model_copy_can_be_deep() -> None:
    message = AIMessage("x", additional_kwargs={"a": [1]})
    message.model_copy(deep=True).additional_kwargs["a"].append(2)
    assert message.additional_kwargs == {"a": [1]}


def test_model_copy_names_an_unknown_attribute() -> None:
    with pytest.raises(MessageError, match=r"AIMessage has no attribute 'contnt'.*did you mean 'content'"):
        AIMessage("x").model_copy(update={"contnt": "y"})


def test_model_copy_of_a_chunk_reads_new_pieces() -> None:
    chunk = AIMessageChunk(tool_call_chunks=[{"name": "f", "args": '{"a": 1}', "index": 0}])
    assert chunk.tool_calls[0]["args"] == {"a": 1}
    changed = chunk.model_copy(update={"tool_call_chunks": [{"name": "f", "args": '{"a": 2}', "index": 0}]})
    assert changed.tool_calls[0]["args"] == {"a": 2}


def test_subclasses_keep_their_attributes() -> None:
    message = Marked("x", 7)
    for again in (
        pickle.loads(pickle.dumps(message)),
        copy.copy(message),
        message.model_copy(update={"note": "n"}),
    ):
        assert (again.content, again.mark, again.note) == ("x", 7, "n")
        assert again == message
    assert message != Marked("x", 8)


def test_subclass_with_one_slot_given_as_text() -> None:
    class One(HumanMessage):
        __slots__ = "mark"  # noqa: PLC0205

    message = One("x")
    message.mark = 1
    assert copy.copy(message).mark == 1


def test_model_dump_has_every_attribute() -> None:
    assert HumanMessage("x", id="1").model_dump() == {
        "type": "human",
        "content": "x",
        "name": None,
        "id": "1",
        "additional_kwargs": {},
        "response_metadata": {},
    }


@pytest.mark.parametrize("given", [5, None, b"x", {"type": "text"}, object()])
def test_bad_content(given: object) -> None:
    with pytest.raises(MessageError, match=r"AIMessage got .* as content; expected text or a list"):
        AIMessage(given)
    with pytest.raises(MessageError, match=r"AIMessageChunk got .* as content"):
        AIMessageChunk(given)


def test_bad_content_item() -> None:
    with pytest.raises(MessageError, match=r"got 5 \(int\) inside its content list"):
        HumanMessage(["a", 5])


def test_content_may_be_a_tuple_or_hold_mappings() -> None:
    class Block(dict):
        pass

    from types import MappingProxyType

    assert HumanMessage(("a", MappingProxyType({"type": "text"}))).content == ["a", {"type": "text"}]
    assert HumanMessage([Block(type="text")]).content == [{"type": "text"}]


def test_ids_are_text() -> None:
    assert HumanMessage("x", id=5).id == "5"
    some = UUID(int=7)
    assert AIMessageChunk("x", id=some).id == str(some)
    with pytest.raises(MessageError, match=r"HumanMessage got 1.5 \(float\) as id"):
        HumanMessage("x", id=1.5)
    with pytest.raises(MessageError, match=r"got True \(bool\) as id"):
        AIMessageChunk("x", id=True)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ({"name": "f"}, r"got the tool call \{'name': 'f'\}; expected a name"),
        ({"args": {}}, "expected a name"),
        ({"name": "f", "args": "{}"}, r"args \(a dict\)"),
        ("f", r"got 'f' \(str\) as a tool call"),
    ],
)
def test_bad_tool_calls(call: object, problem: str) -> None:
    with pytest.raises(MessageError, match=problem):
        AIMessage("", tool_calls=[call])


def test_tool_message_turns_anything_into_text() -> None:
    assert ToolMessage({"a": 1}, tool_call_id=1) == ToolMessage("{'a': 1}", tool_call_id="1")
    assert ToolMessage((1, "b", {"type": "text"}), tool_call_id="1").content == ["1", "b", {"type": "text"}]


def test_tool_message_errors() -> None:
    with pytest.raises(MessageError, match="status='bad'; expected 'success' or 'error'"):
        ToolMessage("x", tool_call_id="1", status="bad")
    with pytest.raises(MessageError, match="tool_call_id=None"):
        ToolMessage("x", tool_call_id=None)


def test_remove_message_needs_an_id() -> None:
    with pytest.raises(MessageError, match="id=None"):
        RemoveMessage(None)


def test_the_error_is_a_penstock_error_and_a_value_error() -> None:
    assert issubclass(MessageError, PenstockError)
    assert issubclass(MessageError, ValueError)
