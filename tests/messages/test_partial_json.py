"""JSON whose end has not arrived: everything that is certain is read, nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import MessageError
from penstock.messages import parse_partial_json

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
values = st.recursive(
    scalars,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=8), v, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(st.text(max_size=8), values, max_size=3)


def begins(part: object, whole: object) -> bool:
    """Whether a value can be what is known of another one while it arrives."""
    if isinstance(part, dict) and isinstance(whole, dict):
        keys = list(part)
        return keys == list(whole)[: len(keys)] and all(begins(part[k], whole[k]) for k in keys)
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) <= len(whole) and all(begins(p, w) for p, w in zip(part, whole, strict=False))
    if isinstance(part, str) and isinstance(whole, str):
        return whole.startswith(part)
    if isinstance(part, (int, float)) and isinstance(whole, (int, float)):
        return True  # 12 may be the beginning of 12.5e3
    return part == whole


@given(objects, st.sampled_from([None, 1]), st.booleans())
def test_every_beginning_is_read(value: dict, indent: int | None, ascii_only: bool) -> None:
    written = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    seen: object = {}
    for end in range(1, len(written) + 1):
        part = parse_partial_json(written[:end])
        assert begins(part, value)
        assert begins(seen, part)
        seen = part
    assert seen == value


@given(values)
def test_whole_json_is_read_as_json(value: object) -> None:
    assert parse_partial_json(json.dumps(value)) == value


@given(st.text('{}[]",:\\ \n0123456789.-+eEtrufalsnx', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        value = parse_partial_json(text)
    except MessageError:
        return
    json.dumps(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{", {}),
        (' {"a', {}),
        ('{"a"', {}),
        ('{"a":', {}),
        ('{"a":1', {"a": 1}),
        ('{"a":1.', {"a": 1}),
        ('{"a":1e', {"a": 1}),
        ('{"a":-', {}),
        ('{"a":tr', {}),
        ('{"a":true', {"a": True}),
        ('{"a":"x\\', {"a": "x"}),
        ('{"a":"x\\u12', {"a": "x"}),
        ('{"a":"x\\"', {"a": 'x"'}),
        ('{"a":"x\\\\', {"a": "x\\"}),
        ('{"a":"\\ud83d', {"a": ""}),
        ('{"a":"\\ud83d\\ude0', {"a": ""}),
        ('{"a":"\\ud83d\\ude00', {"a": "\U0001f600"}),
        ('{"a":"\\\\ud83d', {"a": "\\ud83d"}),
        ('{"a":"line\nbreak', {"a": "line\nbreak"}),
        ('{"a":[1,]', {"a": [1]}),
        ('{"a":[1,{"b":2', {"a": [1, {"b": 2}]}),
        ('{"a":[[],{},', {"a": [[], {}]}),
        ('{"a":"b"} and more', {"a": "b"}),
        ('{"a": 1 "b": 2}', {"a": 1}),
        ('{"a": 1, b: 2}', {"a": 1}),
        ('{"a" 1}', {}),
        ("[1, 2", [1, 2]),
        ('"tex', "tex"),
        ('":1}', ":1}"),
        ("12.", 12),
    ],
)
def test_cases(text: str, value: object) -> None:
    assert parse_partial_json(text) == value


@pytest.mark.parametrize("text", ["", " ", "}", ":1}", "tru", "-", "hello", "x" * 1000])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(MessageError, match="expected JSON or the beginning of it") as caught:
        parse_partial_json(text)
    assert len(str(caught.value)) < 150


def test_deep_nesting_is_refused_not_fatal() -> None:
    with pytest.raises(MessageError):
        parse_partial_json("[" * 200_000)
