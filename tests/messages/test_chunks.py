"""Chunks add up: the same however they are grouped, and to what was said."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import MessageError
from penstock.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
    sum_chunks,
)

texts = st.text('ab{}":1 ', max_size=4)
maybe_texts = st.none() | texts


def dicts_of_one_kind(scalars):
    """Dicts whose keys keep the kind of their value, as a provider's do: text, numbers, lists, dicts."""
    flat = st.fixed_dictionaries({}, optional={"n": scalars | st.none(), "t": texts | st.none(), "id": maybe_texts})
    items = st.lists(st.fixed_dictionaries({"index": st.integers(0, 1)}, optional={"t": texts}) | st.just({"z": 1}))
    return st.fixed_dictionaries(
        {}, optional={"d": flat, "l": items, "n": scalars | st.none(), "t": texts | st.none(), "type": texts}
    )


blocks = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 2) | st.just("x"),
        "text": texts,
        "type": st.just("text"),
        "id": maybe_texts,
    },
)
contents = texts | st.lists(texts | blocks, max_size=4)
# A provider may repeat an id, send it late, use one index for several calls, or none at all.
pieces = st.fixed_dictionaries(
    {
        "name": maybe_texts,
        "args": maybe_texts,
        "id": st.sampled_from([None, "", "c1", "c2"]),
        "index": st.sampled_from([None, 0, 1]),
    }
)
counts = st.integers(0, 9)
usages = st.none() | st.fixed_dictionaries(
    {"input_tokens": counts, "output_tokens": counts, "total_tokens": counts},
    optional={"input_token_details": st.dictionaries(st.sampled_from(["audio", "cache_read"]), counts)},
)
chunks = st.builds(
    AIMessageChunk,
    contents,
    id=st.none() | st.sampled_from(["1", "2"]),
    name=st.none() | st.just("n"),
    tool_call_chunks=st.lists(pieces, max_size=3),
    usage_metadata=usages,
    chunk_position=st.sampled_from([None, None, "last"]),
    additional_kwargs=dicts_of_one_kind(st.floats(0, 1)),
    response_metadata=dicts_of_one_kind(st.booleans()),
)


@given(chunks, chunks, chunks)
def test_addition_is_associative(a: AIMessageChunk, b: AIMessageChunk, c: AIMessageChunk) -> None:
    left, right = (a + b) + c, a + (b + c)
    assert left == right
    assert left.tool_calls == right.tool_calls
    assert left.invalid_tool_calls == right.invalid_tool_calls


@given(chunks, chunks)
def test_addition_changes_neither_side(a: AIMessageChunk, b: AIMessageChunk) -> None:
    before = repr(a), repr(b)
    total = a + b
    total.additional_kwargs["new"] = 1
    total.response_metadata["new"] = 1
    total.tool_call_chunks.clear()
    assert (repr(a), repr(b)) == before


@given(st.lists(chunks, min_size=1, max_size=7))
def test_sum_chunks_is_the_sum(many: list[AIMessageChunk]) -> None:
    total = sum_chunks(iter(many))
    assert total == sum(many)
    assert total.tool_calls == sum(many).tool_calls


@given(chunks)
def test_text_is_the_text_of_the_parts(a: AIMessageChunk) -> None:
    plain = AIMessageChunk("xy")
    assert (plain + plain).text == "xyxy"
    empty = a + AIMessageChunk("")
    assert empty.tool_calls == a.tool_calls


@given(st.dictionaries(texts, st.recursive(texts | counts | st.none(), st.lists), max_size=3), st.data())
def test_a_call_cut_anywhere_adds_up(args: dict, data: st.DataObject) -> None:
    written = json.dumps(args)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(written)), max_size=5)))
    parts = [written[i:j] for i, j in zip([0, *cuts], [*cuts, len(written)], strict=True)]
    total = AIMessageChunk(tool_call_chunks=[{"name": "f", "args": "", "id": "c", "index": 0}])
    for part in parts:
        total += AIMessageChunk(tool_call_chunks=[{"args": part, "index": 0}])
        assert len(total.tool_calls) == 1
        assert total.invalid_tool_calls == []
    assert total.to_message() == AIMessage("", tool_calls=[{"name": "f", "args": args, "id": "c"}])


def test_tokens_add_up() -> None:
    total = sum([AIMessageChunk("Hel", id="1"), AIMessageChunk("lo"), AIMessageChunk(chunk_position="last")])
    assert total == AIMessageChunk("Hello", id="1", chunk_position="last")
    assert total.to_message() == AIMessage("Hello", id="1")


def test_first_id_and_name_stay() -> None:
    assert AIMessageChunk("", id="1", name="n") + AIMessageChunk("", id="2", name="m") == AIMessageChunk(
        "", id="1", name="n"
    )
    assert AIMessageChunk() + AIMessageChunk("", id="2", name="m") == AIMessageChunk("", id="2", name="m")


@pytest.mark.parametrize(
    ("left", "right", "total"),
    [
        ("a", "b", "ab"),
        ("a", [{"type": "image"}], ["a", {"type": "image"}]),
        ([{"type": "image"}], "a", [{"type": "image"}, "a"]),
        (["a"], "b", ["ab"]),
        ("", [{"type": "image"}], [{"type": "image"}]),
        ([], "x", ["x"]),
        ("x", [], ["x"]),
        ("", [], []),
        ([{"text": "a", "index": 0}], [{"text": "b", "index": 0}], [{"text": "ab", "index": 0}]),
        ([{"text": "a"}], [{"text": "b"}], [{"text": "a"}, {"text": "b"}]),
        (
            [{"type": "tool_use", "id": "t", "name": "f", "input": {}, "index": 1}],
            [{"type": "input_json_delta", "partial_json": "{", "index": 1}],
            [{"type": "tool_use", "id": "t", "name": "f", "input": {}, "index": 1, "partial_json": "{"}],
        ),
    ],
)
def test_content_joins(left: object, right: object, total: object) -> None:
    assert (AIMessageChunk(left) + AIMessageChunk(right)).content == total


def test_usage_is_added() -> None:
    a = AIMessageChunk("", usage_metadata={"input_tokens": 5, "output_tokens": 0, "total_tokens": 5, "cost": None})
    b = AIMessageChunk(
        "",
        usage_metadata={
            "input_tokens": 0,
            "output_tokens": 2,
            "total_tokens": 2,
            "output_token_details": {"reasoning": 1},
            "cost": None,
        },
    )
    assert (a + b + b).usage_metadata == {
        "input_tokens": 5,
        "output_tokens": 4,
        "total_tokens": 9,
        "output_token_details": {"reasoning": 2},
        "cost": None,
    }
    assert (AIMessageChunk() + a).usage_metadata == a.usage_metadata
    assert (a + AIMessageChunk()).usage_metadata is not a.usage_metadata


def test_response_metadata_is_updated() -> None:
    a = AIMessageChunk("", response_metadata={"model": "m", "logprobs": {"content": [1]}, "stop": None})
    b = AIMessageChunk("", response_metadata={"model": "m", "logprobs": {"content": [2]}, "stop": "end", "n": None})
    assert (a + b).response_metadata == {
        "model": "m",
        "logprobs": {"content": [1, 2]},
        "stop": "end",
        "n": None,
    }


def test_additional_kwargs_grow() -> None:
    a = AIMessageChunk("", additional_kwargs={"reasoning": "a", "call": {"name": "f", "arguments": "{"}, "n": 1})
    b = AIMessageChunk("", additional_kwargs={"reasoning": "b", "call": {"arguments": "}"}, "n": 2})
    assert (a + b).additional_kwargs == {"reasoning": "ab", "call": {"name": "f", "arguments": "{}"}, "n": 2}


def piece(name=None, args=None, id=None, index=None) -> AIMessageChunk:
    return AIMessageChunk(tool_call_chunks=[{"name": name, "args": args, "id": id, "index": index}])


def calls(chunk: AIMessageChunk) -> list[tuple[str, dict, str | None]]:
    return [(call["name"], call["args"], call["id"]) for call in chunk.tool_calls]


def test_parallel_calls_join_by_index() -> None:
    total = piece("f", '{"a":', "1", 0) + piece("g", "", "2", 1) + piece(args="1}", index=0) + piece(args="{}", index=1)
    assert calls(total) == [("f", {"a": 1}, "1"), ("g", {}, "2")]
    assert len(total.tool_call_chunks) == 2


def test_a_new_id_begins_a_new_call_even_at_the_same_index() -> None:
    assert calls(piece("f", "{}", "1", 0) + piece("g", '{"b":', "2", 0) + piece(args="2}", index=0)) == [
        ("f", {}, "1"),
        ("g", {"b": 2}, "2"),
    ]


def test_an_id_may_be_repeated_or_come_late() -> None:
    assert calls(piece("f", '{"a"', "1", 0) + piece("", ":1}", "1", 0)) == [("f", {"a": 1}, "1")]
    assert calls(piece("f", '{"a"', None, 0) + piece(None, ":1}", "1", 0)) == [("f", {"a": 1}, "1")]
    assert calls(piece("f", '{"a"', "1", 0) + piece("g", "{}", "2", 0) + piece(None, ":1}", "1", 0)) == [
        ("f", {"a": 1}, "1"),
        ("g", {}, "2"),
    ]


def test_calls_without_index_stay_apart() -> None:
    assert calls(piece("f", "{}", "1") + piece("g", "{}", "2")) == [("f", {}, "1"), ("g", {}, "2")]


def test_pieces_within_one_chunk_belong_together() -> None:
    both = AIMessageChunk(
        tool_call_chunks=[{"name": "f", "args": '{"a"', "id": "1", "index": 0}, {"args": ":1}", "index": 0}]
    )
    assert calls(both) == [("f", {"a": 1}, "1")]


UNREADABLE = ["{'a': 1}", "{a: 1}", '{"a": 1]', '{"a" 1}', '{"a": 1,}', '{"path": "C:\\dir"}', '{"a": 1 "b": 2}', "{]"]


@pytest.mark.parametrize("args", ["[1", "null", '"x"', "}", "x", *UNREADABLE])
def test_arguments_that_are_no_object_are_invalid(args: str) -> None:
    chunk = piece("f", args, "1", 0)
    assert chunk.invalid_tool_calls == [
        {"name": "f", "args": args, "id": "1", "error": None, "type": "invalid_tool_call"}
    ]
    assert chunk.tool_calls == []
    assert chunk.to_message() == AIMessage("", invalid_tool_calls=[{"name": "f", "args": args, "id": "1"}])


@given(
    st.dictionaries(st.text(max_size=4), st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False))
)
def test_arguments_that_are_arriving_are_valid(args: dict[str, object]) -> None:
    written = json.dumps(args)
    for end in range(1, len(written) + 1):
        assert piece("f", written[:end], "1", 0).invalid_tool_calls == []


def test_a_providers_mark_behind_the_arguments_is_ignored() -> None:
    assert calls(piece("f", '{"a": 1}</tool_call>', "1", 0)) == [("f", {"a": 1}, "1")]


def test_a_piece_without_name_is_a_nameless_call() -> None:
    assert calls(piece(args='{"a": 1}', index=0)) == [("", {"a": 1}, None)]


def test_whole_calls_become_pieces() -> None:
    chunk = AIMessageChunk(
        tool_calls=[{"name": "f", "args": {"a": 1}, "id": "1"}],
        invalid_tool_calls=[{"name": "g", "args": "}", "id": "2"}],
    )
    assert [p["args"] for p in chunk.tool_call_chunks] == ['{"a": 1}', "}"]
    total = chunk + piece("h", "{}", "3", 0)
    assert calls(total) == [("f", {"a": 1}, "1"), ("h", {}, "3")]
    assert [bad["name"] for bad in total.invalid_tool_calls] == ["g"]


def test_calls_of_a_chunk_can_be_assigned() -> None:
    chunk = AIMessageChunk()
    chunk.tool_calls = [{"name": "f", "args": {}, "id": "1"}]
    chunk.invalid_tool_calls = [{"name": "g", "args": "}"}]
    assert calls(chunk + AIMessageChunk()) == [("f", {}, "1")]
    assert [p["name"] for p in chunk.tool_call_chunks] == ["f", "g"]
    chunk.tool_call_chunks = []
    assert (chunk.tool_calls, chunk.invalid_tool_calls) == ([], [])


def test_whole_calls_that_json_cannot_hold() -> None:
    with pytest.raises(MessageError, match="args for tool 'f' that JSON cannot hold"):
        AIMessageChunk(tool_calls=[{"name": "f", "args": {"a": object()}, "id": "1"}])


def test_other_chunks_add_up() -> None:
    assert HumanMessageChunk("a", id="1") + HumanMessageChunk("b", name="n") == HumanMessageChunk(
        "ab", id="1", name="n"
    )
    assert sum([SystemMessageChunk("a"), SystemMessageChunk("b")]) == SystemMessageChunk("ab")
    assert HumanMessageChunk("a", id="1").to_message() == HumanMessage("a", id="1")
    assert SystemMessageChunk("a").to_message() == SystemMessage("a")


def test_tool_message_chunks_add_up() -> None:
    a = ToolMessageChunk("a", tool_call_id="1", artifact={"log": "x"})
    b = ToolMessageChunk("b", tool_call_id="1", artifact={"log": "y"}, status="error")
    assert a + b == ToolMessageChunk("ab", tool_call_id="1", artifact={"log": "xy"}, status="error")
    assert (a + a).status == "success"
    assert (a + a).to_message() == ToolMessage("aa", tool_call_id="1", artifact={"log": "xx"})
    with pytest.raises(MessageError, match="'1' and '2'"):
        a + ToolMessageChunk("", tool_call_id="2")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (AIMessageChunk("a"), "b"),
        (AIMessageChunk("a"), AIMessage("b")),
        (AIMessageChunk("a"), HumanMessageChunk("b")),
        (HumanMessageChunk("a"), AIMessageChunk("b")),
        (HumanMessageChunk("a"), "b"),
        (ToolMessageChunk("a", tool_call_id="1"), "b"),
        (1, AIMessageChunk("a")),
    ],
)
def test_what_does_not_add_up(left: object, right: object) -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        left + right


def test_sum_chunks_errors() -> None:
    with pytest.raises(MessageError, match="no chunks"):
        sum_chunks([])
    with pytest.raises(MessageError, match="do not add up"):
        sum_chunks([AIMessageChunk("a"), HumanMessageChunk("b")])


def test_sums_keep_a_users_class() -> None:
    class Token(AIMessageChunk):
        __slots__ = ()

    assert type(Token("a") + Token("b")) is Token


def test_the_general_chunk_has_no_message_class() -> None:
    from penstock.messages import BaseMessageChunk

    with pytest.raises(NotImplementedError):
        BaseMessageChunk("x").to_message()
