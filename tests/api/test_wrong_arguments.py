"""A wrong argument is refused at the call, by every entry point, before anything runs; the message helps."""

from __future__ import annotations

import re
from typing import Any

import pytest

from penstock.errors import EmptyInputError, InvalidUpdateError, UnknownTargetError
from penstock.graph import START, StateGraph
from penstock.types import Command, Only, Send

from ._graphs import State, two_deep

GRAPH = (
    StateGraph(State)
    .add_node("search", lambda s: pytest.fail("it ran"))
    .add_node("write", lambda s: pytest.fail("it ran"))
    .add_edge(START, "search")
    .add_edge("search", "write")
    .compile()
)
INPUT: dict[str, Any] = {"log": []}


async def _ainvoke(input: Any, *args: Any, **kwargs: Any) -> Any:
    return await GRAPH.ainvoke(input, *args, **kwargs)


async def refused(error: type[Exception], message: str, *args: Any, invoke: bool = True, **kwargs: Any) -> None:
    """Every entry point refuses these arguments with the same error."""
    arguments = args or (INPUT,)
    with pytest.raises(error, match=message):
        GRAPH.astream(*arguments, **kwargs)
    with pytest.raises(error, match=message):
        GRAPH.stream(*arguments, **kwargs)
    if invoke:
        with pytest.raises(error, match=message):
            GRAPH.invoke(*arguments, **kwargs)
        with pytest.raises(error, match=message):
            await GRAPH.ainvoke(*arguments, **kwargs)


@pytest.mark.parametrize(
    ("mode", "error", "message"),
    [
        ("updatse", ValueError, r"stream_mode: there is no stream mode 'updatse'; did you mean 'updates'\? Known: 'ch"),
        (["values", "custm"], ValueError, r"there is no stream mode 'custm'; did you mean 'custom'\?"),
        ("values,updates", ValueError, r"there is no stream mode 'values,updates'"),
        ("", ValueError, r"there is no stream mode ''; known: "),
        ([5], ValueError, r"there is no stream mode 5; known: "),
        ([None], ValueError, r"there is no stream mode None"),
        ([["values"]], ValueError, r"there is no stream mode \['values'\]"),
        (5, TypeError, r"stream_mode must be a mode or a collection of modes, got 5"),
        (b"values", TypeError, r"stream_mode must be a mode or a collection of modes, got b'values'"),
        ({"values": True}, TypeError, r"stream_mode must be a mode or a collection of modes, got \{'values': True\}"),
    ],
)
async def test_stream_mode(mode: Any, error: type[Exception], message: str) -> None:
    await refused(error, message, stream_mode=mode)


@pytest.mark.parametrize(
    ("mode", "error", "message"),
    [
        ("valeus", ValueError, r"print_mode: there is no stream mode 'valeus'; did you mean 'values'"),
        (5, TypeError, r"print_mode must be a mode or a collection of modes"),
    ],
)
async def test_print_mode(mode: Any, error: type[Exception], message: str) -> None:
    await refused(error, message, print_mode=mode)


@pytest.mark.parametrize("version", ["v3", 2, None, "V1"])
async def test_version(version: Any) -> None:
    await refused(ValueError, f"version must be 'v1' or 'v2', got {version!r}", version=version)


@pytest.mark.parametrize("keys", ["lgo", ["log", "lgo"], {"lgo"}])
async def test_output_keys(keys: Any) -> None:
    message = r"output_keys: the state has no key 'lgo'; did you mean 'log'\? Known: 'log', 'text'"
    await refused(ValueError, message, output_keys=keys)


@pytest.mark.parametrize("keys", [5, [5], True])
async def test_output_keys_of_a_wrong_type(keys: Any) -> None:
    await refused((TypeError, ValueError), "output_keys", output_keys=keys)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("only", "error", "message"),
    [
        ("serch", ValueError, r"only.nodes: the graph has no node 'serch'; did you mean 'search'\?"),
        (["write", "zebra"], ValueError, r"only.nodes: the graph has no node 'zebra'; known: 'search', 'write'"),
        ({"node": "search"}, ValueError, r"only: there is no field 'node'; did you mean 'nodes'\?"),
        (Only(depth=-1), ValueError, r"only.depth must be at least 0 \(the root graph\), got -1"),
        ({"depth": "1"}, TypeError, r"only.depth must be a whole number, got '1'"),
        ({"depth": True}, TypeError, r"only.depth must be a whole number, got True"),
        ([5], TypeError, r"only.nodes must be strings, got \[5\]"),
        ({"tags": 5}, TypeError, r"only.tags must be strings, got 5"),
        ({"namespaces": 5}, TypeError, r"only.namespaces must be paths of node names, got 5"),
        ({"namespaces": [5]}, TypeError, r"only.namespaces must be paths of node names, got \[5\]"),
        ({"namespaces": [(5,)]}, TypeError, r"only.namespaces must be paths of node names, got \[\(5,\)\]"),
        (5, TypeError, r"only must be an Only, a dict of its fields, or node names, got 5"),
    ],
)
async def test_only(only: Any, error: type[Exception], message: str) -> None:
    await refused(error, message, only=only)


async def test_only_knows_the_nodes_of_subgraphs_and_doubts_what_looks_misspelt() -> None:
    graph = two_deep()
    assert graph.astream(INPUT, only="leaf", subgraphs=True)
    assert graph.astream(INPUT, only="a node of a graph that a node calls", subgraphs=True)
    with pytest.raises(ValueError, match="did you mean 'leaf'"):
        graph.astream(INPUT, only="laef", subgraphs=True)


@pytest.mark.parametrize(
    ("mark", "error", "message"),
    [
        (0, ValueError, "high_water_mark must be at least 1 chunk, got 0"),
        (-5, ValueError, "high_water_mark must be at least 1 chunk, got -5"),
        (1.5, TypeError, "high_water_mark must be a whole number of chunks, got 1.5"),
        (True, TypeError, "high_water_mark must be a whole number of chunks, got True"),
        ("64", TypeError, "high_water_mark must be a whole number of chunks, got '64'"),
        (None, TypeError, "high_water_mark must be a whole number of chunks, got None"),
    ],
)
async def test_high_water_mark(mark: Any, error: type[Exception], message: str) -> None:
    await refused(error, message, high_water_mark=mark)


@pytest.mark.parametrize(
    ("overflow", "error", "message"),
    [
        ("drop", ValueError, r"overflow: there is no policy 'drop'; .*'drop_newest', 'drop_oldest'"),
        ({"custom": "lates"}, ValueError, r"overflow: there is no policy 'lates'; did you mean 'latest'\?"),
        ({"custm": "latest"}, ValueError, r"overflow: there is no stream mode 'custm'; did you mean 'custom'\?"),
        ({"updates": "raise"}, ValueError, r"overflow\['updates'\] = 'raise': chunks of 'updates' are never dropped"),
        ({"values": "latest"}, ValueError, r"a policy can be chosen for 'custom', 'messages', 'tools'"),
        (None, TypeError, r"overflow must be a policy or a dict of modes to policies, got None"),
        (["raise"], TypeError, r"overflow must be a policy or a dict"),
    ],
)
async def test_overflow(overflow: Any, error: type[Exception], message: str) -> None:
    await refused(error, message, overflow=overflow)


async def test_overflow_may_say_that_modes_wait() -> None:
    assert GRAPH.astream(INPUT, overflow={"updates": "wait", "custom": "latest"})


@pytest.mark.parametrize(
    ("run_ahead", "error", "message"),
    [
        (-1, ValueError, "run_ahead must be at least 0, got -1"),
        (1.5, TypeError, "run_ahead must be a whole number, got 1.5"),
        (True, TypeError, "run_ahead must be a whole number, got True"),
    ],
)
async def test_run_ahead(run_ahead: Any, error: type[Exception], message: str) -> None:
    await refused(error, message, run_ahead=run_ahead)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("stream_modes", "did you mean 'stream_mode'"),
        ("subgraph", "did you mean 'subgraphs'"),
        ("output_key", "did you mean 'output_keys'"),
        ("contxt", "did you mean 'context'"),
        ("highwatermark", "did you mean 'high_water_mark'"),
        ("completely_unlike_any", "known: "),
    ],
)
async def test_an_unknown_keyword_is_a_type_error_that_names_the_nearest(name: str, nearest: str) -> None:
    await refused(TypeError, f"there is no argument '{name}'; {re.escape(nearest)}", **{name: None})


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"recursion_limit": 0}, ValueError, r"config\['recursion_limit'\] must be at least 1, got 0"),
        ({"recursion_limit": -3}, ValueError, r"config\['recursion_limit'\] must be at least 1, got -3"),
        ({"recursion_limit": 2.5}, TypeError, r"must be a whole number of at least 1, got 2.5"),
        ({"recursion_limit": "25"}, TypeError, r"must be a whole number of at least 1, got '25'"),
        ({"max_concurrency": 0}, ValueError, r"config\['max_concurrency'\] must be at least 1, got 0"),
        ({"max_concurrency": True}, TypeError, r"config\['max_concurrency'\] must be a whole number"),
        ({"recursion_limt": 5}, ValueError, r"config has no key 'recursion_limt', did you mean 'recursion_limit'\?"),
        ({"configurabel": {}}, ValueError, r"did you mean 'configurable'\? Free values belong under 'configurable'"),
        ({"metdata": {}}, ValueError, r"did you mean 'metadata'"),
        ({"tag": ["a"]}, ValueError, r"did you mean 'tags'"),
        ({"tags": "a"}, TypeError, r"config\['tags'\] must be a list of strings, got 'a'"),
        ({"tags": [1]}, TypeError, r"config\['tags'\] must be a list of strings, got \[1\]"),
        ({"tags": 5}, TypeError, r"config\['tags'\] must be a list of strings, got 5"),
        ({"metadata": ["a"]}, TypeError, r"config\['metadata'\] must be a dict, got list"),
        ({"configurable": "a"}, TypeError, r"config\['configurable'\] must be a dict, got str"),
        ({1: 2}, TypeError, r"config keys must be strings, got 1"),
        ([], TypeError, r"config must be a dict or None, got"),
        ("values", TypeError, r"config must be a dict or None, got str: 'values'"),
        (5, TypeError, r"config must be a dict or None, got int: 5"),
    ],
)
async def test_config(config: Any, error: type[Exception], message: str) -> None:
    await refused(error, message, INPUT, config)


@pytest.mark.parametrize(
    ("input", "error", "message"),
    [
        (None, EmptyInputError, r"the input is None; expected a dict with keys of 'State'"),
        ([], InvalidUpdateError, r"the input is \[\] \(list\); expected a dict with keys of 'State', or an instance"),
        ("log", InvalidUpdateError, r"the input is 'log' \(str\)"),
        (State, InvalidUpdateError, r"the input is <class '.*State'> "),
        (Send("search", {}), InvalidUpdateError, r"the input is Send\("),
        (
            Command(goto="serch"),
            UnknownTargetError,
            r"as input chose 'serch', which is no node of this graph; did you mean 'search'\?",
        ),
        (Command(goto=[5]), UnknownTargetError, r"as input chose 5"),
        (Command(resume="yes"), InvalidUpdateError, r"there is nothing to resume"),
        (Command(graph=Command.PARENT), InvalidUpdateError, r"there is no parent"),
        (Command(update="log"), InvalidUpdateError, r"the input is "),
        (Command(update=["log"]), InvalidUpdateError, r"the input is "),
    ],
)
async def test_input(input: Any, error: type[Exception], message: str) -> None:
    await refused(error, message, input)


async def test_a_missing_input_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="input"):
        GRAPH.astream()  # type: ignore[call-overload]
