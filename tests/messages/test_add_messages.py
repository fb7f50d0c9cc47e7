"""The reducer: append, replace, remove, name; never quadratic."""

import re
from functools import partial
from typing import Annotated, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import MessageError
from penstock.messages import (
    REMOVE_ALL_MESSAGES,
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    MessagesState,
    RemoveMessage,
    SystemMessage,
    add_messages,
)

A, H, R = AIMessage, HumanMessage, RemoveMessage
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
CLEAR = R(REMOVE_ALL_MESSAGES)


def shown(messages: list) -> str:
    return " ".join(f"{m.id}{m.content}" if m.type != "remove" else f"-{m.id}" for m in messages)


def read(text: str) -> list:
    """`1a 2b -1 --` as messages: id and content, a removal, a removal of all."""
    return [
        CLEAR.model_copy() if word == "--" else R(word[1:]) if word[0] == "-" else A(word[1:], id=word[0])
        for word in text.split()
    ]


@pytest.mark.parametrize(
    ("left", "right", "merged"),
    [
        ("", "", ""),
        ("1a", "2b", "1a 2b"),
        ("1a 2b", "1c", "1c 2b"),
        ("", "1a 1b", "1b"),
        ("1a 2b 3c", "2x 4d 1y", "1y 2x 3c 4d"),
        ("1a 2b", "-1", "2b"),
        ("1a 2b", "-1 -1", "2b"),
        ("1a 2b", "-1 1c", "1c 2b"),
        ("1a 2b", "1c -1", "2b"),
        ("1a", "2b -2", "1a"),
        ("1a", "2b 3c -2 2d", "1a 2d 3c"),
        ("1a 1b 2c", "", "1a 1b 2c"),
        ("1a 1b 2c", "1x", "1a 1x 2c"),
        ("1a 1b 2c", "-1", "2c"),
        ("1a 2b", "--", ""),
        ("1a 2b", "3c -- 4d", "4d"),
        ("1a 2b", "-- 3c -- 4d", "4d"),
        ("1a", "-- 2b 2c", "2c"),
        ("1a", "-- 2b -2", ""),
        ("1a", "-- 2b -1", "2b"),
        ("-1", "2b", "-1 2b"),
    ],
)
def test_cases(left: str, right: str, merged: str) -> None:
    before = read(left)
    assert shown(add_messages(before, read(right))) == merged
    assert before == read(left)


@pytest.mark.parametrize(("left", "right"), [("", "-7"), ("1a", "-7"), ("1a", "-- -7"), ("1a", "-7 7a")])
def test_removing_what_is_not_there(left: str, right: str) -> None:
    with pytest.raises(MessageError, match="RemoveMessage names '7', but no message"):
        add_messages(read(left), read(right))


def test_removing_suggests_the_nearest_id() -> None:
    with pytest.raises(MessageError, match="did you mean 'question'"):
        add_messages([H("a", id="question")], R("questoin"))


def test_missing_ids_are_given_on_the_object_itself() -> None:
    old, new = H("a"), A("b")
    merged = add_messages([old], [new])
    assert merged[0] is old
    assert merged[1] is new
    assert all(UUID.fullmatch(m.id) for m in merged)
    assert old.id != new.id
    assert add_messages([A("c"), A("d", id="d")], [])[1].id == "d"


def test_an_empty_id_is_an_id() -> None:
    assert add_messages([], A("a", id=""))[0].id == ""


def test_dicts_get_no_id() -> None:
    form = {"role": "user", "content": "a"}
    (message,) = add_messages([], [form])
    assert form == {"role": "user", "content": "a"}
    assert isinstance(message, HumanMessage)
    assert UUID.fullmatch(message.id)


def test_every_form_is_read() -> None:
    merged = add_messages("q", [("ai", "a"), {"role": "system", "content": "s"}])
    assert [type(m) for m in merged] == [HumanMessage, AIMessage, SystemMessage]
    assert [m.content for m in add_messages((), ("ai", "x"))] == ["x"]
    assert [m.content for m in add_messages([], (m for m in ("x", "y")))] == ["x", "y"]


def test_chunks_enter_as_messages() -> None:
    chunk = AIMessageChunk("", tool_call_chunks=[{"name": "f", "args": "{}", "id": "c", "index": 0}])
    (message,) = add_messages([], chunk)
    assert type(message) is AIMessage
    assert message.tool_calls[0]["name"] == "f"
    assert chunk.id is None
    assert add_messages([AIMessageChunk("a", id="1")], []) == [A("a", id="1")]


def test_the_result_is_a_new_list() -> None:
    left = [A("a", id="1")]
    assert add_messages(left, []) is not left


@pytest.mark.parametrize(
    ("left", "right", "problem"),
    [
        (None, [], "got right, but left is None"),
        ([], None, "got left, but right is None"),
        ([], [5], r"cannot read 5 \(int\)"),
        ([{}], [], "needs a role"),
    ],
)
def test_errors(left: object, right: object, problem: str) -> None:
    with pytest.raises(MessageError, match=problem):
        add_messages(left, right)


def test_format() -> None:
    reducer = add_messages(format="langchain-openai")
    assert isinstance(reducer, partial)
    (message, plain) = reducer([], [H([{"type": "image", "url": "u"}], id="1"), H("x", id="2")])
    assert message == H([{"type": "image_url", "image_url": {"url": "u"}}], id="1")
    assert plain == H("x", id="2")
    with pytest.raises(MessageError, match="unknown format 'openai'; did you mean 'langchain-openai'"):
        add_messages(format="openai")


def test_messages_state() -> None:
    hints = get_type_hints(MessagesState, include_extras=True)
    assert hints["messages"].__metadata__ == (add_messages,)

    class State(MessagesState):
        other: Annotated[list, add_messages(format="langchain-openai")]

    assert set(get_type_hints(State)) == {"messages", "other"}


words = st.sampled_from([f"{i}{c}" for i in "1234" for c in "ab"] + [f"-{i}" for i in "1234"] + ["--"])
updates = st.lists(words, max_size=6).map(" ".join)
histories = st.lists(st.sampled_from([f"{i}{c}" for i in "1234" for c in "ab"]), unique_by=lambda w: w[0]).map(" ".join)


def naive(left: list, right: list) -> list:
    """One message after the other, each looked for in the whole list."""
    rows = [[m, True] for m in left]
    gone: set[str] = set()
    for message in right:
        row = next((r for r in rows if r[0].id == message.id), None)
        if message.type == "remove":
            if message.id == REMOVE_ALL_MESSAGES:
                gone |= {r[0].id for r in rows}
                rows = []
            elif row is not None:
                row[1] = False
            elif message.id not in gone:
                raise MessageError(message.id)
        elif row is not None:
            row[:] = message, True
        else:
            rows.append([message, True])
    return [m for m, alive in rows if alive]


@given(histories, updates)
def test_like_the_naive_model(left: str, right: str) -> None:
    # Before a removal of all, a removal of what is not there goes unnoticed; the model notices.
    right = right.rpartition("--")[1] + right.rpartition("--")[2]
    try:
        expected = naive(read(left), read(right))
    except MessageError:
        with pytest.raises(MessageError):
            add_messages(read(left), read(right))
    else:
        assert add_messages(read(left), read(right)) == expected


@given(histories, histories)
def test_adding_again_changes_nothing(left: str, right: str) -> None:
    once = add_messages(read(left), read(right))
    assert add_messages(once, read(right)) == once
    assert add_messages(once, once) == once


@given(histories, histories)
def test_old_ones_keep_their_order_and_new_ones_follow(left: str, right: str) -> None:
    old, new = [w[0] for w in left.split()], [w[0] for w in right.split()]
    merged = [m.id for m in add_messages(read(left), read(right))]
    assert merged == old + [i for i in new if i not in old]


@given(histories, histories, histories)
def test_one_update_or_two_are_the_same(a: str, b: str, c: str) -> None:
    assert add_messages(add_messages(read(a), read(b)), read(c)) == add_messages(read(a), read(b) + read(c))


@given(histories, st.randoms())
def test_removing_what_was_added_restores(left: str, random) -> None:
    history = read(left)
    added = [H("new", id=f"n{i}") for i in range(3)]
    removals = [R(m.id) for m in added]
    random.shuffle(removals)
    assert add_messages(add_messages(history, added), removals) == history


def test_linear_in_the_number_of_messages() -> None:
    looks = 0

    class Counted(HumanMessage):
        __slots__ = ("own",)

        @property
        def id(self) -> str:
            nonlocal looks
            looks += 1
            return self.own

        @id.setter
        def id(self, value: str) -> None:
            self.own = value

    def cost(count: int) -> int:
        nonlocal looks
        old = [Counted("x", id=str(i)) for i in range(count)]
        new = [Counted("y", id=str(i)) for i in range(0, 2 * count, 3)] + [R(str(i)) for i in range(0, count, 2)]
        looks = 0
        add_messages(old, new)
        return looks

    assert cost(2000) <= 2 * cost(1000) + 10
    assert cost(1000) <= 15 * 1000
