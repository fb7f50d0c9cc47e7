"""What a caller may ask a stream for, and what is said about the rest."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from penstock.streams import (
    MODES,
    Selection,
    StreamRequest,
    parse_mark,
    parse_modes,
    parse_only,
    parse_overflow,
    path_of,
)
from penstock.types import Only, Overflow, StreamMode


@pytest.mark.parametrize("mode", MODES)
def test_one_mode_is_bare_and_a_collection_is_tagged(mode: StreamMode) -> None:
    assert parse_modes("stream_mode", mode) == ({mode}, False)
    for collection in ([mode], (mode,), {mode}, frozenset([mode]), {mode: 1}.keys()):
        assert parse_modes("stream_mode", collection) == ({mode}, True)


def test_modes_collapse() -> None:
    assert parse_modes("stream_mode", ["updates", "updates", "values"]) == ({"updates", "values"}, True)
    assert parse_modes("print_mode", ()) == (set(), True)


@pytest.mark.parametrize("wrong", ["updatse", "values,updates", "", ["updates", "cutsom"]])
def test_an_unknown_mode_names_the_argument_and_the_nearest(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"stream_mode: there is no stream mode .*'updates'"):
        parse_modes("stream_mode", wrong)


@pytest.mark.parametrize("wrong", [None, 3, b"updates", {"updates": True}])
def test_modes_of_a_wrong_type(wrong: Any) -> None:
    with pytest.raises(TypeError, match="stream_mode must be a mode or a collection"):
        parse_modes("stream_mode", wrong)


@pytest.mark.parametrize("policy", get_args(Overflow))
def test_one_policy_is_for_what_only_informs(policy: Overflow) -> None:
    request = StreamRequest(frozenset(MODES), overflow=parse_overflow(policy))
    for mode in MODES:
        assert request.policy(mode) == (policy if mode in ("custom", "messages", "tools") else "wait")
    assert request.lossless == (policy == "wait")


def test_policies_per_mode() -> None:
    parsed = parse_overflow({"custom": "latest", "messages": "wait", "updates": "wait"})
    assert parsed == {"custom": "latest"}
    request = StreamRequest(frozenset(MODES), overflow=parsed)
    assert request.policy("custom") == "latest"
    assert request.policy("messages") == "wait"


@pytest.mark.parametrize("mode", ["updates", "values", "tasks", "debug", "checkpoints"])
@pytest.mark.parametrize("policy", ["raise", "drop_oldest", "drop_newest", "latest"])
def test_what_tells_the_state_is_never_dropped(mode: StreamMode, policy: Overflow) -> None:
    with pytest.raises(ValueError, match=f"chunks of '{mode}' are never dropped"):
        parse_overflow({mode: policy})


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ("drop_oldset", ValueError, "did you mean 'drop_oldest'"),
        ({"custom": "lastest"}, ValueError, "did you mean 'latest'"),
        ({"cutsom": "latest"}, ValueError, "did you mean 'custom'"),
        (7, TypeError, "must be a policy or a dict"),
    ],
)
def test_wrong_policies(wrong: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        parse_overflow(wrong)


def test_a_mark_is_a_number_of_chunks() -> None:
    assert parse_mark(1) == 1
    for wrong in (0, -3):
        with pytest.raises(ValueError, match=f"at least 1 chunk, got {wrong}"):
            parse_mark(wrong)
    for odd in (True, 2.0, "64", None):
        with pytest.raises(TypeError, match="whole number"):
            parse_mark(odd)


NODES = ("read", "write")


@pytest.mark.parametrize("given", ["read", ["read"], {"nodes": ["read"]}, {"nodes": "read"}, Only(nodes=["read"])])
def test_nodes_can_be_selected_in_several_spellings(given: Any) -> None:
    assert parse_only(given, NODES) == Selection(nodes=frozenset({"read"}))


def test_nothing_selected_is_everything() -> None:
    assert parse_only(None, NODES) is None


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ("raed", ValueError, "did you mean 'read'"),
        ({"node": "read"}, ValueError, "did you mean 'nodes'"),
        ({"depth": -1}, ValueError, "at least 0"),
        ({"depth": True}, TypeError, "whole number"),
        ({"depth": "1"}, TypeError, "whole number"),
        ({"nodes": [1]}, TypeError, "only.nodes must be strings"),
        (3, TypeError, "must be an Only"),
    ],
)
def test_wrong_selections(wrong: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        parse_only(wrong, NODES)


def test_with_subgraphs_only_what_looks_misspelt_is_refused() -> None:
    assert parse_only("somewhere_else", NODES, subgraphs=True) == Selection(nodes=frozenset({"somewhere_else"}))
    with pytest.raises(ValueError, match="did you mean 'read'"):
        parse_only("reed", NODES, subgraphs=True)


def test_selection_by_depth_and_path() -> None:
    shallow = Selection(depth=1)
    assert shallow.graph(())
    assert shallow.graph(("a",))
    assert not shallow.graph(("a", "b"))
    exact = Selection(paths=frozenset({("a", "b")}))
    assert exact.graph(("a", "b"))
    assert not exact.graph(())
    assert not exact.graph(("a",))
    parsed = parse_only(Only(namespaces=[(), "a", ("a", "b")]), NODES)
    assert parsed is not None
    assert parsed.paths == {(), ("a",), ("a", "b")}


def test_selection_by_tag() -> None:
    chosen = Selection(tags=frozenset({"shown"}))
    assert chosen.node("any", ["hidden", "shown"])
    assert not chosen.node("any", ["hidden"])
    both = Selection(nodes=frozenset({"a"}), tags=frozenset({"shown"}))
    assert both.node("a", ["shown"])
    assert not both.node("b", ["shown"])
    assert not both.node("a", [])


def test_the_path_of_a_namespace() -> None:
    assert path_of(()) == ()
    assert path_of(("a:1", "b:2")) == ("a", "b")
    assert path_of(("a:1", "2", "b:3")) == ("a", "b")
