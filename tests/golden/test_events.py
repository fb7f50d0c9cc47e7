"""Every recorded run of `astream_events`, performed again and compared event by event.

The cases are in `cases/events_*.py`, the recordings in `data` (given) and `data/own`.  Where runs are side by side at
the same moment (`loose` cases) LangChain leaves their order open, and the events of each producer are compared by
themselves.  Nothing else is left out silently: what penstock does on purpose in another way stands in the tables.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import sniffio

from . import cases  # noqa: F401  (registers them)
from .harness import EVENTS, Case, Outcome, Run, perform
from .normalise import as_line, by_producer, renumber, without_tool_ids
from .test_golden import comparable

# --- what is not compared exactly -------------------------------------------------------------------------

Key = tuple[str, str]

LATER: dict[Key, str] = {
    (
        "s004_tool_events",
        "openai_loopback_all_events",
    ): "LangChain's ChatOpenAI against a loopback server: in tests/integrations/test_langchain_events.py",
}
"""Not performed."""

_TOLD = "a run that fails says so with an `on_..._error`, before the exception; LangChain's just has no end"

ERROR_EVENTS: dict[str, tuple[str, set[str]]] = {
    "ev_chain": (_TOLD, {"chain_error"}),
    "ev_graph_errors": (
        _TOLD,
        {
            *("node", "sync_node", "subgraph", "model", "chain", "caught", "router", "recursion", "reducer"),
            "invalid_update",
        },
    ),
    "ev_graph_inputs": (_TOLD, {"none"}),
    "ev_graph_retries": (_TOLD, {"recovers", "gives_up", "sibling", "timeout"}),
    "ev_chain_again": (
        _TOLD,
        {
            *("fallback", "fallback.called", "fallback.model", "fallback.too_late"),
            *("retry.called", "retry.called.chain"),
        },
    ),
    "ev_chain_errors": (
        _TOLD,
        {
            *("alone", "middle", "last", "called", "model", "model.late", "model.whole", "model.chain", "prompt"),
            *("caught", "parser"),
        },
    ),
    "ev_agent_errors": (_TOLD, {"raised", "node.raised"}),
}
"""Runs of cases in which something fails: compared, and the error events besides checked by themselves."""

_SIBLINGS = "a run that is cancelled for the failure of another may say so"

CANCELLED: dict[Key, tuple[str, set[str]]] = {("ev_graph_retries", "sibling"): (_SIBLINGS, {"slow"})}
"""Runs by name, for which an error event is left open."""

_WRITER = "what a writer was given is also an event, `on_custom_event`; in LangChain's it is none"

WRITER_EVENTS: dict[Key, tuple[str, list[Any]]] = {
    ("ev_graph_custom", "writer"): (_WRITER, [{"percent": 50}, "half"]),
    ("ev_graph_custom", "writer.subgraph"): (_WRITER, [{"percent": 50}, "half"]),
    ("ev_agent", "writer"): (_WRITER, [{"wrote": "a"}]),
}
"""Compared but for these events, of which the data is checked."""

_CORRUPTED = (
    "a filter takes events out and leaves the others as they are; LangChain gives the first one that passes the input "
    "of the root, also into the data of a custom event, and takes the input from the end of its run"
)

CORRUPTED: dict[str, tuple[str, set[str]]] = {
    "ev_filters_graph": (
        _CORRUPTED,
        {
            *("names", "names.several", "types", "types.custom", "tags", "tags.step", "not_names.root", "not_types"),
            *("either", "both_ways", "empty_and_types"),
        },
    ),
    "ev_filters_chain": (_CORRUPTED, {"prompt", "parser", "model", "function", "step"}),
}
"""Compared with the unfiltered recording instead, of which the events that pass were taken."""

_RETRIED = "a step is tried again also when it is streamed, as long as nothing has come; LangChain's only when called"
_NO_JSON = "text that is no JSON is an error; LangChain's parser, streamed, gives None"
_STATE = "a graph as a step of a streamed chain gives its state; LangGraph's gives its updates, by node"

_WHOLE = "a model that does not stream gives one chunk when it is streamed; LangChain's gives the message"
_FALSY = "an input is shown at the end as at the start; LangChain's is {} then, if it is falsy"
_INSIDE = "attempts are inside of the run that makes them; LangChain's fallbacks are beside it, when called"
_MESSAGES = "models with fallbacks are told what each of them is told, the messages; LangChain's the prompt's value"
_ROUTER = "with a `post_model_hook` only the router behind that is asked"
_ONCE = "a tag is shown once"
_DOOR = "bad input is refused at the call, before anything runs"
_NODE = "a chain that is a node is a run of its own, and called; LangGraph's steps lie in the node, and stream"
_NAME = "a router without a name is called `condition`"
_FIRST = "a node's update is shown before a reducer fails at it; whether LangGraph shows it is left to chance"
_STREAMS = "a node's update is told in a graph that was called synchronously, too"
_ENDS = "what a Command to the parent leaves has an end"
_TEXT = "the arguments of a tool that is called with a text are shown"

DELIBERATE: dict[Key, str] = {
    ("ev_chain_steps", "whole"): _WHOLE,
    ("ev_chain_called", "falsy"): _FALSY,
    ("ev_chain_again", "fallback.called"): _INSIDE,
    **{("ev_chain_again", run): _MESSAGES for run in ("fallback.model", "fallback.too_late")},
    ("ev_agent_hooks", "both"): _ROUTER,
    ("ev_graph_nodes", "same_tag_twice"): _ONCE,
    ("ev_graph_inputs", "none"): _DOOR,
    **{("ev_graph_step_nodes", run): _NODE for run in ("step", "chain", "configured")},
    ("ev_graph_routers", "lambda"): _NAME,
    ("ev_graph_errors", "reducer"): _FIRST,
    ("ev_graph_subgraphs", "plain"): _STREAMS,
    ("ev_graph_subgraphs", "parent_command"): _ENDS,
    ("ev_tool_alone", "error.text"): _TEXT,
    ("ev_tool_in_node", "plain_text"): _TEXT,
    ("ev_chain_steps", "graph_last"): _STATE,
    ("ev_chain_again", "retry"): _RETRIED,
    ("ev_chain_errors", "parser.silent"): _NO_JSON,
}
"""Not compared; what they do is tested with the steps themselves."""

_ERRORS = "errors are penstock's own"

OWN_ERRORS: dict[Key, str] = {
    ("ev_chain_errors", "prompt"): _ERRORS,
    ("ev_chain_errors", "parser"): _ERRORS,
    ("ev_tool_alone", "error.arguments"): _ERRORS,
    ("ev_chain_custom", "outside"): _ERRORS,
    ("ev_chain_custom", "outside.sync"): _ERRORS,
}
"""Compared but for the classes and words of errors."""

_TOLD_MODEL = "what the model is told of a tool's error is in penstock's words"

OWN_WORDS: dict[Key, str] = {
    ("ev_agent_errors", "handled"): _TOLD_MODEL,
    ("ev_agent_errors", "unknown"): _TOLD_MODEL,
}
"""Compared but for the content of tool messages about errors."""

_ANY_ORDER = "LangChain merges the tags of the call with those around it through a set: any order"

_GIVEN_ORDER = "a model's tags come before those of the call; LangChain sorts them where both have some"

UNORDERED_TAGS: dict[Key, str] = {
    ("ev_graph_models", "configured"): _ANY_ORDER,
    ("ev_chain_labels", "steps"): _GIVEN_ORDER,
}
"""Compared but for the order of tags."""

LOOSE_ON_TRIO = ("ev_graph_parallel", "ev_graph_retries")
"""Cases in which trio may start the tasks of one superstep in either order: compared for each producer there."""

AGENT_INTERNALS = ("call_model", "RunnableSequence", "Prompt")
"""Runs between the node `agent` and its model, in LangGraph's agent only: ours asks the model."""

FILTERS = ("include_names", "include_types", "include_tags", "exclude_names", "exclude_types", "exclude_tags")

# --- comparing --------------------------------------------------------------------------------------------


def events_of(outcome: Outcome, key: Key) -> list[Any]:
    """The events of an outcome, without what never is compared."""
    chunks = [without_tool_ids(chunk) for chunk in comparable(outcome, key)["chunks"]]
    if key[0] == "ev_graph_retries":  # the number of the attempt is in the metadata, on purpose
        chunks = [_without(event, "langgraph_attempt") for event in chunks]
    if key[0].startswith("ev_agent"):
        # The error in an event is the live one, which gets notes on its way up, seen or not.
        chunks = [_without(event, "notes") if event["event"] == "on_tool_error" else event for event in chunks]
        chunks = [_without(event, "remaining_steps") for event in _without_internals(chunks)]
    if key in OWN_WORDS:
        chunks = _without_words(chunks)
    if key in UNORDERED_TAGS:
        chunks = [{**event, "tags": sorted(event["tags"])} for event in chunks]
    return [_without_errors(event) for event in chunks] if key in OWN_ERRORS else chunks


def _without(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {k: _without(v, key) for k, v in value.items() if k != key}
    return [_without(v, key) for v in value] if isinstance(value, list) else value


def _without_internals(events: list[Any]) -> list[Any]:
    """An agent's events without what lies between it and its model, and the model's place among that."""
    hidden = {event["run_id"] for event in events if event["name"] in AGENT_INTERNALS}
    shown = []
    for event in events:
        if event["run_id"] in hidden:
            continue
        inside = not hidden.isdisjoint(event["parent_ids"])
        tags = ["seq:step:1" if inside and tag == "seq:step:2" else tag for tag in event["tags"]]
        shown.append({**event, "tags": tags, "parent_ids": [run for run in event["parent_ids"] if run not in hidden]})
    return shown


def _without_words(value: Any) -> Any:
    if isinstance(value, dict):
        about_error = value.get("type") == "ToolMessage" and value.get("status") == "error"
        return {k: _without_words(v) for k, v in value.items() if not (about_error and k == "content")}
    return [_without_words(v) for v in value] if isinstance(value, list) else value


def words(value: Any) -> list[str]:
    """What tool messages say of errors."""
    if isinstance(value, dict):
        found = [value["content"]] if value.get("type") == "ToolMessage" and value.get("status") == "error" else []
        return found + [word for v in value.values() for word in words(v)]
    return [word for v in value for word in words(v)] if isinstance(value, list) else []


def _without_errors(event: Any) -> Any:
    data = event["data"]
    return {**event, "data": {**data, "error": None}} if isinstance(data, dict) and "error" in data else event


def is_error_event(event: Any) -> bool:
    return event["event"].endswith("_error") and event["event"] != "on_tool_error"


def unfinished(events: list[Any]) -> list[Any]:
    """The starts of runs that have no end."""
    over = {event["run_id"] for event in events if event["event"].endswith(("_end", "_error"))}
    return [event for event in events if event["event"].endswith("_start") and event["run_id"] not in over]


def fails(key: Key) -> bool:
    return key[1] in ERROR_EVENTS.get(key[0], ("", ()))[1]


def passes(event: Any, filters: dict[str, Any]) -> bool:
    """Whether an event passes: any inclusion, and no exclusion.  The type of a custom event is its name."""
    custom = event["event"] == "on_custom_event"
    run_type = event["name"] if custom else event["event"].removeprefix("on_").rpartition("_")[0]
    facts = {"names": [event["name"]], "types": [run_type], "tags": event["tags"]}
    given = {name: values for name, values in filters.items() if name in FILTERS and values is not None}

    def match(name: str) -> bool:
        return not set(given[name]).isdisjoint(facts[name.partition("_")[2]])

    included = [match(name) for name in given if name.startswith("include")]
    excluded = [match(name) for name in given if name.startswith("exclude")]
    return (any(included) if included else True) and not any(excluded)


def unfiltered(case: Case, run: str, recorded: dict[str, Outcome]) -> Outcome:
    """The recording of all events, of which this run's are a part."""
    return recorded[f"{run.partition('.')[0]}.all"] if f"{run.partition('.')[0]}.all" in recorded else recorded["all"]


def expected_of(case: Case, run: str, recorded: dict[str, Outcome]) -> list[Any]:
    """What penstock is to emit, error events and what a writer is given left out."""
    if run not in CORRUPTED.get(case.name, ("", ()))[1]:
        return events_of(recorded[run], (case.name, run))
    every = events_of(unfiltered(case, run, recorded), (case.name, run))
    kwargs = recorded[run]["kwargs"]
    passing: list[Any] = renumber([event for event in every if passes(event, kwargs)])
    return passing


def difference(case: Case, run: str, got: Outcome, recorded: dict[str, Outcome], *, loose: bool = False) -> str:
    """What is wrong with a run, for a reader; empty if nothing is."""
    key = (case.name, run)
    if got.get("method") != "astream_events":
        results = [{**comparable(outcome, key), "error": None} for outcome in (recorded[run], got)]
        return "\n".join(
            [compared(*([str(result)] for result in results)), *wrong_error(key, got, recorded[run])]
        ).strip()
    events, expected = events_of(got, key), expected_of(case, run, recorded)
    complaints = []
    if fails(key):
        told = [event for event in events if is_error_event(event)]
        complaints += wrong_errors(key, events, told)
        events = [event for event in events if not is_error_event(event)]
    if key in WRITER_EVENTS:
        written = [event["data"] for event in events if event["event"] == "on_custom_event"]
        complaints += [f"written: {written}"] * (written != WRITER_EVENTS[key][1])
        events = [event for event in events if event["event"] != "on_custom_event"]
    if key in OWN_WORDS and words(got["chunks"]) == words(recorded[run]["chunks"]):
        complaints.append("the row is stale: the words are the recorded ones")
    if case.loose or loose:
        lines = [
            [line for group in by_producer(every) for line in ("producer", *group)] for every in (expected, events)
        ]
    else:
        lines = [[as_line(event) for event in every] for every in (renumber(expected), renumber(events))]
    loose = loose or case.loose
    return "\n".join([compared(*lines), *complaints, *wrong_error(key, got, recorded[run], loose=loose)]).strip()


def compared(expected: list[str], got: list[str]) -> str:
    return "\n".join(difflib.unified_diff(expected, got, "recorded", "got", lineterm="", n=2))


def wrong_errors(key: Key, events: list[Any], told: list[Any]) -> list[str]:
    """Each run without an end has one error event, the last one of the run, which says who it is as the others do."""
    starts = {event["run_id"]: event for event in unfinished([e for e in events if not is_error_event(e)])}
    by_run = Counter(event["run_id"] for event in told)
    left_open = CANCELLED.get(key, ("", set()))[1]
    wrong = [
        f"{start['name']} {run_id}: {by_run[run_id]} error events"
        for run_id, start in starts.items()
        if by_run[run_id] != 1 and not (start["name"] in left_open and by_run[run_id] == 0)
    ]
    for event in told:
        start = starts.get(event["run_id"])
        if start is None:
            wrong.append(f"an error event of a run that has an end: {as_line(event)}")
            continue
        if event["event"] != start["event"].removesuffix("_start") + "_error" or any(
            event[fact] != start[fact] for fact in ("name", "parent_ids", "tags", "metadata")
        ):
            wrong.append(f"an error event unlike its start: {as_line(event)}")
        if "error" not in event["data"]:
            wrong.append(f"an error event without its error: {as_line(event)}")
        if [e for e in events if e["run_id"] == event["run_id"]][-1] is not event:
            wrong.append(f"something after the error event: {as_line(event)}")
    return wrong


def wrong_error(key: Key, got: Outcome, recorded: Outcome, *, loose: bool = False) -> list[str]:
    expected, raised = (comparable(outcome, key)["error"] for outcome in (recorded, got))
    if loose:  # its ids were counted in the order of the events
        expected, raised = renumber(expected), renumber(raised)
    if key in OWN_ERRORS and expected and raised:
        return ["the row is stale: the error is the recorded one"] if raised == expected else []
    return [] if raised == expected else [f"raised {raised}, recorded {expected}"]


def report(case: Case, differences: dict[str, str]) -> str:
    return "".join(f"\n\n{case.name}.{name}\n{text}" for name, text in differences.items() if text)


async def check(case: Case) -> None:
    recorded, differences = case.recorded(), {}
    loose = case.name in LOOSE_ON_TRIO and sniffio.current_async_library() == "trio"
    for run in runs_of(case).values():
        if (case.name, run.name) not in DELIBERATE:
            got, _ = await perform(run)
            differences[run.name] = difference(case, run.name, got, recorded, loose=loose)
    if found := report(case, differences):
        pytest.fail(found, pytrace=False)


def runs_of(case: Case) -> dict[str, Run]:
    if case.needs is not None:
        pytest.importorskip(case.needs)
    return case.runs()


def each(timed: bool) -> Callable[[Any], Any]:
    return pytest.mark.parametrize("case", [c for c in EVENTS.values() if c.timed is timed], ids=lambda c: c.name)


@each(timed=False)
async def test_events(case: Case) -> None:
    await check(case)


@pytest.mark.virtual_time
@each(timed=True)
async def test_events_whose_order_hangs_on_delays(case: Case) -> None:
    await check(case)


@pytest.mark.parametrize("key", DELIBERATE, ids=".".join)
async def test_what_is_not_compared_is_different(key: Key) -> None:
    case = EVENTS[key[0]]
    got, _ = await perform(case.runs()[key[1]])
    assert difference(case, key[1], got, case.recorded()), "the row is stale"


# --- the recordings and the tables ------------------------------------------------------------------------


@pytest.mark.parametrize("case", EVENTS.values(), ids=lambda c: c.name)
def test_every_recorded_run_is_accounted_for(case: Case) -> None:
    later = {name for name_of_case, name in LATER if name_of_case == case.name}
    assert set(case.recorded()) - set(runs_of(case)) == later
    assert set(runs_of(case)) <= set(case.recorded())


def test_the_tables_name_recorded_runs() -> None:
    keys = {*LATER, *CANCELLED, *WRITER_EVENTS, *DELIBERATE, *OWN_ERRORS, *OWN_WORDS, *UNORDERED_TAGS}
    keys |= {(case, run) for table in (ERROR_EVENTS, CORRUPTED) for case, (_, runs) in table.items() for run in runs}
    assert {key for key in keys if key[1] not in EVENTS[key[0]].recorded()} == set()


UNENDED: dict[Key, str] = {
    ("ev_graph_subgraphs", "parent_command"): "a Command to the parent leaves the subgraph, and is no error",
}
"""Recorded without some ends, though nothing failed."""


@pytest.mark.parametrize("case", EVENTS.values(), ids=lambda c: c.name)
def test_runs_that_fail_are_those_without_an_end(case: Case) -> None:
    for name, outcome in case.recorded().items():
        key, filters = (case.name, name), set(FILTERS) & set(outcome.get("kwargs", ()))
        if outcome["method"] != "astream_events" or filters or {key} & {*UNENDED, *LATER, *DELIBERATE}:
            continue
        whole = outcome["chunks"] and outcome["chunks"][0]["event"].endswith("_start")  # not a selection of events
        assert bool(whole and unfinished(outcome["chunks"])) is fails(key), key


@pytest.mark.parametrize("case", [EVENTS[name] for name in CORRUPTED], ids=lambda c: c.name)
def test_corrupted_recordings_differ_by_their_inputs_alone(case: Case) -> None:
    recorded, corrupted = case.recorded(), CORRUPTED[case.name][1]
    for name, outcome in recorded.items():
        key = (case.name, name)
        every = events_of(unfiltered(case, name, recorded), key)
        passing = renumber([event for event in every if passes(event, outcome["kwargs"])])
        seen = renumber(events_of(outcome, key))
        assert (seen != passing) is (name in corrupted), key
        assert list(map(_without_input, seen)) == list(map(_without_input, passing)), key


def _without_input(event: Any) -> Any:
    return {**event, "data": {k: v for k, v in event["data"].items() if k != "input"}}
