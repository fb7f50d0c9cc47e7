"""Laws of the channels, and the order in which a superstep's writes are reduced."""

from __future__ import annotations

import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.channels import (
    MISSING,
    AnyValue,
    BinaryOperatorAggregate,
    Channel,
    EphemeralValue,
    LastValue,
    Topic,
    UntrackedValue,
    reduce_writes,
)
from penstock.errors import InvalidUpdateError
from penstock.types import Overwrite

values = st.integers(-5, 5)
lists = st.lists(values, max_size=4)
current = st.one_of(st.just(MISSING), values)


def append_all() -> BinaryOperatorAggregate[list[int]]:
    return BinaryOperatorAggregate(list, operator.add)


# -------------------------------------------------------------------- one channel


@given(current, st.lists(values, min_size=1, max_size=5))
def test_last_value_takes_exactly_one_write(before: Any, writes: list[int]) -> None:
    channel: LastValue[int] = LastValue(int)
    if len(writes) == 1:
        assert channel.reduce(before, writes) == writes[0]
        assert channel.reduce(before, [Overwrite(writes[0])]) == writes[0]
    else:
        with pytest.raises(InvalidUpdateError, match=f"got {len(writes)} values"):
            channel.reduce(before, writes)


@given(current, st.lists(values, min_size=1, max_size=5), st.booleans())
def test_any_value_takes_the_last_write(before: Any, writes: list[int], wrapped: bool) -> None:
    channel: AnyValue[int] = AnyValue(int)
    last = [*writes[:-1], Overwrite(writes[-1])] if wrapped else writes
    assert channel.reduce(before, last) == writes[-1]


@given(current, st.lists(values, min_size=1, max_size=5))
def test_untracked_value_guards_against_several_writes_if_it_is_told_to(before: Any, writes: list[int]) -> None:
    assert UntrackedValue(int, guard=False).reduce(before, writes) == writes[-1]
    if len(writes) > 1:
        with pytest.raises(InvalidUpdateError):
            UntrackedValue(int).reduce(before, writes)


@given(values)
def test_only_what_is_ephemeral_is_forgotten(value: int) -> None:
    kinds: list[Channel[Any]] = [LastValue(int), AnyValue(int), UntrackedValue(int), append_all()]
    for channel in kinds:
        assert channel.carry(value) == value
        assert not channel.forgets
    ephemeral: EphemeralValue[int] = EphemeralValue(int)
    assert ephemeral.forgets
    assert ephemeral.carry(value) is MISSING
    assert ephemeral.reduce(MISSING, [value]) == value


@given(lists, st.lists(lists, min_size=1, max_size=5))
def test_a_reducer_folds_from_the_left(before: list[int], writes: list[list[int]]) -> None:
    kept = list(before)
    assert append_all().reduce(before, writes) == sum(writes, before)
    assert before == kept  # the value of the superstep before is somebody else's
    assert append_all().reduce(MISSING, writes) == sum(writes, [])

    def pair(a: Any, b: Any) -> Any:
        return (a, b)

    expected: Any = before
    for write in writes:
        expected = (expected, write)
    assert BinaryOperatorAggregate(tuple, pair).reduce(before, writes) == expected  # type: ignore[arg-type]


@given(lists, st.lists(lists, min_size=1, max_size=4), st.lists(lists, min_size=1, max_size=4))
def test_for_an_associative_reducer_it_is_all_one_where_the_supersteps_lie(
    before: list[int], first: list[list[int]], second: list[list[int]]
) -> None:
    channel = append_all()
    assert channel.reduce(channel.reduce(before, first), second) == channel.reduce(before, first + second)


@given(lists, st.lists(lists, max_size=3), st.lists(lists, max_size=3), lists)
def test_overwrite_replaces_whatever_else_is_written(
    before: list[int], first: list[list[int]], then: list[list[int]], new: list[int]
) -> None:
    assert append_all().reduce(before, [*first, Overwrite(new), *then]) == new
    with pytest.raises(InvalidUpdateError, match="got 2 Overwrite values"):
        append_all().reduce(before, [*first, Overwrite(new), *then, Overwrite(new)])


def flat(writes: list[Any]) -> list[Any]:
    return [item for write in writes for item in (write if isinstance(write, list) else [write])]


@given(st.lists(st.one_of(values, lists), min_size=1, max_size=5), st.one_of(st.just(MISSING), lists))
def test_a_topic_collects_items_and_lists_of_items(writes: list[Any], before: Any) -> None:
    topic, keeping = Topic(int), Topic(int, accumulate=True)
    earlier = [] if before is MISSING else before
    assert topic.reduce(before, writes) == flat(writes)
    assert keeping.reduce(before, writes) == earlier + flat(writes)
    assert keeping.reduce(keeping.reduce(before, writes), writes) == earlier + flat(writes) * 2
    assert topic.reduce(before, [*writes, Overwrite([7])]) == [7]
    assert keeping.reduce(before, [Overwrite([7]), *writes]) == [7, *flat(writes)]
    assert topic.initial() is MISSING
    assert topic.carry([1]) is MISSING
    assert keeping.carry([1]) == [1]


@pytest.mark.parametrize(
    ("typ", "start"),
    [
        (int, 0),
        (list, []),
        (dict, {}),
        (set, set()),
        (str, ""),
        (list[int], []),
        (type(None), None),
        (object(), MISSING),
    ],
)
def test_where_a_reducer_starts(typ: Any, start: Any) -> None:
    assert BinaryOperatorAggregate(typ, operator.add).initial() == start


def test_channels_are_equal_if_they_do_the_same() -> None:
    assert LastValue(int) == LastValue(int) != LastValue(str)
    assert Topic(int) == Topic(int) != Topic(int, accumulate=True)
    assert append_all() == append_all() != BinaryOperatorAggregate(list, operator.mul)
    assert LastValue(int) != AnyValue(int)
    assert len({LastValue(int), LastValue(int), append_all(), append_all()}) == 2
    assert UntrackedValue(int) != UntrackedValue(int, guard=False)
    assert repr(LastValue(int)) == "LastValue(int)"
    assert repr(MISSING) == "MISSING"


# -------------------------------------------------------------------- a superstep's writes

CHANNELS: dict[str, Channel[Any]] = {
    "log": BinaryOperatorAggregate(list, operator.add),
    "total": BinaryOperatorAggregate(int, operator.add),
    "any": AnyValue(int),
    "topic": Topic(int),
    "last": LastValue(int),
}
WRITES = {"log": lists, "total": values, "any": values, "topic": values, "last": values}
writes_of_a_step = st.lists(
    st.sampled_from(sorted(CHANNELS)).flatmap(lambda key: st.tuples(st.sampled_from("abc"), st.just(key), WRITES[key])),
    max_size=10,
)


@given(writes_of_a_step, st.dictionaries(st.just("log"), lists))
def test_each_key_is_reduced_by_itself_in_task_order(writes: list[Any], before: dict[str, Any]) -> None:
    kept = {key: list(value) for key, value in before.items()}
    conflict = sum(key == "last" for _, key, _ in writes) > 1
    if conflict:
        with pytest.raises(InvalidUpdateError, match="key 'last', written by"):
            reduce_writes(CHANNELS, before, writes)
        assert before == kept
        return
    changes = reduce_writes(CHANNELS, before, writes)
    assert before == kept
    assert changes.keys() == {key for _, key, _ in writes}
    for key, value in changes.items():
        own = [v for _, k, v in writes if k == key]
        assert value == CHANNELS[key].reduce(before.get(key, MISSING), own)
    # writes of other keys in between make no difference
    assert reduce_writes(CHANNELS, before, sorted(writes, key=lambda w: w[1])) == changes


def test_a_conflict_names_the_key_and_its_writers_once_each() -> None:
    writes = [("b", "last", 1), ("a", "last", 2), ("b", "last", 3), ("c", "any", 4)]
    with pytest.raises(InvalidUpdateError, match=r"key 'last', written by 'b', 'a': got 3 values"):
        reduce_writes(CHANNELS, {}, writes)
