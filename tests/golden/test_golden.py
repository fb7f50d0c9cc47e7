"""Every recorded run, performed again and compared: chunk by chunk, its error, its result, its timeline.

The graphs are in `cases`, the recordings in `data` (given) and `data/own` (made by `record.py`).  Nothing is
left out silently: a run that is not compared exactly stands in one of the tables below, with the reason.
"""

from __future__ import annotations

import difflib
import importlib
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from . import cases  # noqa: F401  (registers them)
from .harness import CASES, DATA, EVENTS, OWN, Case, Outcome, Run, perform, perform_sync
from .normalise import renumber, without_library

# --- what is not compared exactly -------------------------------------------------------------------------

Key = tuple[str, str]

_CHECKPOINTER = "needs a checkpointer"

LATER: dict[Key, str] = {
    ("modes_all_at_once", "all_checkpointer.False"): _CHECKPOINTER,
    ("modes_all_at_once", "all_checkpointer.True"): _CHECKPOINTER,
    ("v2_modes", "checkpoints#2"): _CHECKPOINTER,
}
"""Not performed yet."""

_IN_ORDER = "what was produced is delivered in order, then the error"
_UNKNOWN_TARGET = "unknown `goto` or branch target: error naming the target and the candidates"
_MISSPELT = "misspelt mode: `ValueError` at the call, naming the known modes and the nearest"
_COLLECTION = "any non-string collection of modes yields tagged tuples"
_OUTSIDE = (
    "in a tool the error outside of a graph is the same, clear one; LangGraph's is a KeyError of '__pregel_runtime'"
)

DELIBERATE: dict[Key, str] = {
    ("graph_command", "goto_unknown_node"): _UNKNOWN_TARGET,
    ("state_pydantic_invalid", "input"): _IN_ORDER,
    ("state_pydantic_invalid", "update"): _IN_ORDER,
    ("s002_writer_outside_graph", "tool_invoke"): _OUTSIDE,
    ("s002_writer_outside_graph", "tool_ainvoke"): _OUTSIDE,
    ("modes_collections", "tuple"): _COLLECTION,
    ("modes_collections", "set"): _COLLECTION,
    ("modes_collections", "misspelt"): _MISSPELT,
    ("modes_collections", "misspelt_in_list"): _MISSPELT,
}
"""Performed, and tested below for what penstock does instead: rows of the design's table of differences."""

_LISTS = "nodes may return a dict, None, a Command, or lists of these"

EXTENSIONS: dict[Key, str] = {
    ("state_returns", f"{name}{suffix}"): _LISTS
    for name in ("empty_list", "list_of_dicts", "list_same_key", "tuple_of_dicts", "list_with_none")
    for suffix in ("", ".output_key")
}
"""What LangGraph refuses and penstock takes: performed, and tested below."""

_ATTEMPT = "retried attempts repeat chunks: metadata and events carry the attempt number"

ATTEMPTS: dict[str, str] = {"err_retry": _ATTEMPT, "err_retry_subgraph": _ATTEMPT}
"""Cases compared but for the number of the attempt, which is tested below."""

OWN_WORDING: dict[Key, str] = {
    ("modes_output_keys", "unknown"): "the message names the known keys",
    ("s002_writer_outside_graph", "plain_call"): "the message speaks of penstock",
    ("err_recursion_limit", "limit.0"): "the message says what was got",
    ("err_recursion_limit", "limit.-1"): "the message says what was got",
}
"""Compared but for the message of the error, which is penstock's own."""

LIBRARY_ERRORS = (
    "EmptyInputError",
    "GraphRecursionError",
    "InvalidUpdateError",
    "NodeTimeoutError",
    "ValidationError",
)
"""Errors whose messages are never compared: they hold the library's words, or pydantic's with its version."""

_FINALLY = "every task ends, its `finally` blocks finished, before the caller resumes"

_AT_ONCE = "failure cancels siblings at once; what was produced is delivered in order, then the error"
_BEFORE = [0, 1, 2, 3, "streamer:start", 4, 5, 6, 7, 8, 9, "bad:raising"]

TIMELINES: dict[Key, tuple[str, list[list[Any]]]] = {
    ("err_cleanup", "astream"): (_FINALLY, [["raising", "cleaned up"]]),
    ("err_cleanup", "ainvoke"): (_FINALLY, [["raising", "cleaned up"]]),
    ("err_sibling", "list"): (
        _AT_ONCE,
        [
            [*_BEFORE, 10, "streamer:cancelled", "streamer:finally"],
            [*_BEFORE, "streamer:cancelled", "streamer:finally", 10],
        ],
    ),
}
"""Compared but for the timeline, which is one of these, as a row of the table of differences says."""

GIVEN = sorted(path.stem for path in DATA.glob("*.json"))

ELSEWHERE = {*LATER, *DELIBERATE, *EXTENSIONS}

# --- comparing --------------------------------------------------------------------------------------------


def comparable(outcome: Outcome, key: Key) -> Outcome:
    """An outcome without what the tables above take out of the comparison, its ids counted afresh."""
    outcome = json.loads(json.dumps(outcome))
    if "chunks" in outcome:
        # An exception in a chunk is the live one: it gets further notes on its way up, seen or not.
        outcome["chunks"] = without_library(_each_error(outcome["chunks"], _first_note))
    if key in OWN_WORDING:
        outcome["error"].pop("message")
    outcome = _each_error(outcome, _without_library_wording)
    if key[0] in ATTEMPTS:
        outcome = _without_attempts(outcome)
    result: Outcome = renumber(outcome)
    return result


def _each_error(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    if isinstance(value, dict):
        value = {k: _each_error(v, change) for k, v in value.items()}
        return change(value) if "__exc__" in value else value
    return [_each_error(v, change) for v in value] if isinstance(value, list) else value


def _first_note(error: dict[str, Any]) -> dict[str, Any]:
    return {**error, "notes": error["notes"][:1]} if "notes" in error else error


def _without_library_wording(error: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in error.items() if not (k == "message" and error["__exc__"] in LIBRARY_ERRORS)}


def _without_attempts(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_attempts(v) for k, v in value.items() if k != "attempt"}
    return [_without_attempts(v) for v in value] if isinstance(value, list) else value


def loosely(outcome: Outcome) -> Outcome:
    """The chunks of each namespace by themselves, in any order of namespaces."""
    if "chunks" not in outcome:
        return outcome
    groups: dict[str, list[Any]] = {}
    for chunk in outcome["chunks"]:
        namespace = chunk["ns"] if "ns" in chunk else chunk["__tuple__"][0] if "__tuple__" in chunk else None
        groups.setdefault(json.dumps(namespace), []).append(chunk)
    return {**outcome, "chunks": sorted((renumber(group) for group in groups.values()), key=json.dumps)}


def difference(key: Key, got: Outcome, raised: BaseException | None, recorded: Outcome, *, loose: bool = False) -> str:
    """What is wrong with a run, for a reader; empty if nothing is."""
    got, expected = comparable(got, key), comparable(recorded, key)
    if loose:
        got, expected = loosely(got), loosely(expected)
    if key in OWN_WORDING and raised is not None:  # a class of our own, below the one that was recorded
        kinds = [kind.__name__ for kind in type(raised).__mro__]
        if expected["error"]["__exc__"] in kinds:
            got["error"]["__exc__"] = expected["error"]["__exc__"]
    if key in TIMELINES:
        timelines = TIMELINES[key][1]
        expected["timeline"] = got["timeline"] if got["timeline"] in timelines else timelines[0]
    if got == expected:
        return wrong_notes(raised, expected)
    return "\n".join(difflib.unified_diff(as_lines(expected), as_lines(got), "recorded", "got", lineterm="", n=2))


def as_lines(outcome: Outcome) -> list[str]:
    lines = [f"{name}: {json.dumps(value)}" for name, value in outcome.items() if name != "chunks"]
    return lines + [f"  {json.dumps(chunk)}" for chunk in outcome.get("chunks", ())]


def wrong_notes(raised: BaseException | None, expected: Outcome) -> str:
    """LangGraph's notes were compared; one more tells where exactly the error comes from."""
    if raised is None or not expected["error"].get("notes"):
        return ""
    first, second, *_ = [*raised.__notes__, "nothing"]
    node = re.match(r"During task with name ('\w+') and id ", first)
    if node is None:
        return f"the first note is {first!r}"
    if not re.match(rf"Node {node[1]} in (the root graph|[\w:|-]+), superstep \d+, attempt \d+$", second):
        return f"the second note names no namespace, superstep and attempt: {second!r}"
    return ""


def report(case: Case, differences: dict[str, str]) -> str:
    found = {name: text for name, text in differences.items() if text}
    return "".join(f"\n\n{case.name}.{name}\n{text}" for name, text in found.items())


def runs_of(case: Case, *, asynchronous: bool) -> list[tuple[Key, Run]]:
    if case.needs is not None:
        pytest.importorskip(case.needs)
    runs = [((case.name, run.name), run) for run in case.runs().values()]
    return [(key, run) for key, run in runs if run.is_async is asynchronous and key not in ELSEWHERE]


async def check(case: Case, backend: str) -> None:
    recorded, differences = case.recorded(), {}
    loose = case.loose and backend == "trio"  # whose scheduler starts tasks in random order
    for key, run in runs_of(case, asynchronous=True):
        differences[run.name] = difference(key, *await perform(run), recorded[run.name], loose=loose)
    if found := report(case, differences):
        pytest.fail(found, pytrace=False)


@pytest.mark.parametrize("case", [c for c in CASES.values() if not c.timed], ids=lambda c: c.name)
async def test_async_runs(case: Case, backend_id: str) -> None:
    await check(case, backend_id)


@pytest.mark.virtual_time
@pytest.mark.parametrize("case", [c for c in CASES.values() if c.timed], ids=lambda c: c.name)
async def test_async_runs_whose_order_hangs_on_delays(case: Case, backend_id: str) -> None:
    await check(case, backend_id)


@pytest.mark.parametrize("case", CASES.values(), ids=lambda c: c.name)
def test_sync_runs(case: Case) -> None:
    recorded, differences = case.recorded(), {}
    for key, run in runs_of(case, asynchronous=False):
        differences[run.name] = difference(key, *perform_sync(run), recorded[run.name])
    if found := report(case, differences):
        pytest.fail(found, pytrace=False)


# --- nothing is left out ----------------------------------------------------------------------------------


def test_every_recording_has_its_case() -> None:
    every = {**CASES, **EVENTS}.values()
    assert {path.stem for path in OWN.glob("*.json")} == {case.name for case in every if case.own}
    assert set(GIVEN) == {case.name for case in every if not case.own}


@pytest.mark.parametrize("case", CASES.values(), ids=lambda c: c.name)
def test_every_recorded_run_is_accounted_for(case: Case) -> None:
    if case.needs is not None:
        pytest.importorskip(case.needs)
    later = {name for name_of_case, name in LATER if name_of_case == case.name}
    recorded, performed = set(case.recorded()), set(case.runs())
    assert recorded - performed <= later, "recorded, but neither performed nor listed"
    assert performed <= recorded, "performed, but never recorded"


def test_the_tables_name_recorded_runs() -> None:
    tables = {*ELSEWHERE, *OWN_WORDING, *TIMELINES}
    assert set(ATTEMPTS) <= set(CASES)
    assert {key for key in tables if key[1] not in CASES[key[0]].recorded()} == set()


# --- deliberate differences -------------------------------------------------------------------------------


async def performed(name: str, run: str) -> tuple[Outcome, BaseException | None, Outcome]:
    case = CASES[name]
    got, raised = await perform(case.runs()[run])
    return got, raised, case.recorded()[run]


async def test_an_unknown_goto_target_is_an_error() -> None:
    got, raised, recorded = await performed("graph_command", "goto_unknown_node")
    errors = importlib.import_module("penstock.errors")
    assert isinstance(raised, errors.UnknownTargetError)
    assert "'zzz'" in str(raised)
    assert "'b'" in str(raised)
    assert renumber(got["chunks"])[:2] == renumber(recorded["chunks"])[:2]


@pytest.mark.parametrize("run", ["plain_call", "tool_invoke", "tool_ainvoke"])
async def test_a_writer_outside_of_a_graph_is_one_clear_error(run: str) -> None:
    _, raised, _ = await performed("s002_writer_outside_graph", run)
    assert isinstance(raised, RuntimeError)
    assert str(raised).startswith("get_stream_writer() was called outside of a running node")


@pytest.mark.parametrize("run", ["tuple", "set"])
async def test_any_collection_of_modes_tags_its_chunks(run: str) -> None:
    got, raised, recorded = await performed("modes_collections", run)
    assert raised is None
    assert [chunk["__tuple__"][1] for chunk in got["chunks"]] == recorded["chunks"]
    assert {chunk["__tuple__"][0] for chunk in got["chunks"]} <= {"values", "updates"}


@pytest.mark.parametrize("run", ["misspelt", "misspelt_in_list"])
async def test_a_misspelt_mode_is_an_error_at_the_call(run: str) -> None:
    with pytest.raises(ValueError, match="'values'") as info:
        CASES["modes_collections"].runs()[run].start()
    assert "'valeus'" in str(info.value)


@pytest.mark.parametrize("run", ["input", "update"])
async def test_the_last_values_come_before_the_error_they_cause(run: str) -> None:
    pytest.importorskip("pydantic")
    got, raised, recorded = await performed("state_pydantic_invalid", run)
    assert type(raised).__name__ == recorded["error"]["__exc__"] == "ValidationError"
    *before, last = renumber(got["chunks"])
    assert before == renumber(recorded["chunks"])
    assert last["__tuple__"][0] == "values"


SEVERAL: dict[str, tuple[Any, Any]] = {
    "empty_list": (None, None),
    "list_of_dicts": ({"x": "1", "log": ["2"]}, ["2"]),
    "list_same_key": ([{"log": ["1"]}, {"log": ["2"]}], [["1"], ["2"]]),
    "tuple_of_dicts": ({"x": "1", "log": ["2"]}, ["2"]),
    "list_with_none": ({"x": "1"}, None),
}
"""For each run of `EXTENSIONS` the node's update, and what `output_keys="log"` leaves of it."""


@pytest.mark.parametrize("run", SEVERAL)
async def test_a_node_may_return_several_updates(run: str) -> None:
    got, raised, recorded = await performed("state_returns", run)
    assert raised is None
    assert recorded["error"]["__exc__"] == "InvalidUpdateError"
    assert [chunk["__tuple__"] for chunk in got["chunks"]][2] == ["updates", {"a": SEVERAL[run][0]}]


@pytest.mark.parametrize("run", SEVERAL)
def test_a_node_may_return_several_updates_of_one_output_key(run: str) -> None:
    got, raised = perform_sync(CASES["state_returns"].runs()[f"{run}.output_key"])
    assert raised is None
    assert got["chunks"] == [{"a": SEVERAL[run][1]}]


async def test_retried_attempts_are_numbered() -> None:
    got, _, _ = await performed("err_retry", "recovers.v2")
    custom = [(part["data"], part.get("attempt", 1)) for part in got["chunks"] if part["type"] == "custom"]
    assert custom == [("attempt 1", 1), ("attempt 2", 2), ("attempt 3", 3)]
    results = [part["data"] for part in got["chunks"] if part["type"] == "tasks" and "result" in part["data"]]
    assert [result["attempt"] for result in results] == [3]
