"""The model and agent examples of the user guides, as they are in `examples`, compared with what LangGraph did.

Each runs on every backend, and through the sync API where that was recorded, with a model that gives the recorded
tokens.  The recordings are in `data/models`; every run of them is performed, or stands in a table with the reason.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from typing_extensions import TypedDict

from examples import (
    agent_custom,
    agent_tokens,
    agent_tool_progress,
    agent_tool_tokens,
    agent_updates,
    client_in_node,
    client_in_tool,
    tokens,
    tokens_by_tag,
    tokens_from_function,
    tokens_of_message,
    tokens_of_one_node,
    tokens_of_parallel_nodes,
)
from examples._model import ScriptedClient
from penstock.graph import START, MessagesState, StateGraph
from penstock.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from penstock.testing import ScriptedChatModel
from penstock.types import Command, Only

from .harness import DATA, Case, Outcome, Run, astream, perform, perform_sync, stream, tape
from .normalise import renumber, without_library

MODELS = DATA / "models"

# --- what is not compared ---------------------------------------------------------------------------------

_OPENAI_CLASSES = "LangChain's ChatOpenAI against a loopback server: it has chunks of its own, and no native version"

ELSEWHERE: dict[tuple[str, str], str] = {
    ("s000_agent_custom", "openai_loopback"): _OPENAI_CLASSES,
    ("s000_agent_custom", "openai_loopback_modes"): _OPENAI_CLASSES,
    ("s000_agent_tool_tokens", "openai_loopback"): _OPENAI_CLASSES,
    ("s001_messages", "sync_openai_loopback"): _OPENAI_CLASSES,
    ("s003_two_llm_calls", "openai_loopback"): _OPENAI_CLASSES,
}
"""Recorded runs that no native graph can repeat.  The `openai_loopback` runs of the two `without_langchain` cases used
OpenAI's SDK alone: those are performed, with a client that gives the same chunks."""

_WHO_IS_FASTER = (
    "the tool message gets its id from the reducer, in place, in both libraries: a reader of `updates` sees it with or "
    "without, as one or the other is faster; the recording has both, too"
)

WITHOUT_TOOL_IDS: dict[tuple[str, str], str] = {
    ("s002_agent_custom", "async_list"): _WHO_IS_FASTER,
    ("s002_agent_updates", "sync"): _WHO_IS_FASTER,
    ("s002_agent_updates", "async"): _WHO_IS_FASTER,
}
"""Compared but for the ids of tool messages.  With `messages` among the modes they have one when they are first seen."""

# --- the models -------------------------------------------------------------------------------------------

JOKE = ["Why", " did", " the", " cat", "?"]
POEM = ["Soft", " paws", " at", " night"]
ITEMS = ["Bed", ",", " lamp", ",", " desk"]


def scripted(*answers: Any, **labels: Any) -> ScriptedChatModel:
    return ScriptedChatModel(answers, provider="fake", model_name="fake-model", **labels)


def call_of(name: str, arguments: str) -> list[AIMessageChunk]:
    first = {"name": name, "args": "", "id": "call_1", "index": 0}
    return [
        AIMessageChunk(tool_call_chunks=[first]),
        AIMessageChunk(tool_call_chunks=[{"args": arguments, "index": 0}]),
    ]


def office() -> ScriptedChatModel:
    return scripted(call_of("get_items", '{"place":"office"}'), ["Books", ", pencils", " and pictures"])


def bedroom() -> ScriptedChatModel:
    return scripted(call_of("get_items", '{"place":"bedroom"}'), ITEMS, ["There", " you", " go"])


def weather() -> ScriptedChatModel:
    return scripted(call_of("get_weather", '{"city":"sf"}'), ["It's", " sunny", " in", " sf"])


# --- the cases --------------------------------------------------------------------------------------------


class NativeCase(Case):
    """A recording with models in it."""

    @property
    def file(self) -> Any:
        return MODELS / f"{self.name}.json"

    def performed(self, *, asynchronous: bool) -> list[Run]:
        return [run for run in self.runs().values() if run.is_async is asynchronous]


CASES: dict[str, NativeCase] = {}


def case(build: Callable[[], Iterator[Run]]) -> None:
    """Register runs under the name of their recording."""
    CASES[build.__name__] = NativeCase(build.__name__, "", build, own=False)


@case
def s000_llm_snippet() -> Iterator[Run]:
    graph = tokens_from_function.build(scripted(["tok1", "tok2"]))
    yield stream(graph, {"messages": []}, stream_mode="messages", name="stream_0")


@case
def s000_agent_custom() -> Iterator[Run]:
    build, given = agent_tool_progress.build, agent_tool_progress.INPUT
    yield astream(build(office()), given, stream_mode="custom", name="fake")
    yield astream(build(office()), given, stream_mode=["updates", "custom", "messages"], name="fake_modes")
    yield astream(build(office()), given, stream_mode=["values"], name="fake_values")


@case
def s000_agent_tool_tokens() -> Iterator[Run]:
    build, given = agent_tool_tokens.build, agent_tool_tokens.INPUT
    yield astream(build(bedroom()), given, stream_mode="messages", name="fake")
    yield astream(build(bedroom()), given, stream_mode=["messages", "updates"], name="fake_with_updates")


@case
def s000_without_langchain() -> Iterator[Run]:
    graph = client_in_tool.build(ScriptedClient([ITEMS, ITEMS]))
    yield astream(graph, client_in_tool.INPUT, stream_mode="custom", name="openai_loopback")
    modes = ["custom", "updates", "values"]
    graph = client_in_tool.build(ScriptedClient([ITEMS]))
    yield astream(graph, client_in_tool.INPUT, stream_mode=modes, name="openai_loopback_modes")


@case
def s001_messages() -> Iterator[Run]:
    for run, name in ((stream, "sync_fake"), (astream, "async_fake")):
        yield run(tokens.build(scripted(JOKE)), {"topic": "ice cream"}, stream_mode="messages", name=name)


@case
def s001_specific_nodes() -> Iterator[Run]:
    def poem() -> Iterator[Any]:
        while not tape.gate("joke").is_set():  # the poem was recorded after the whole joke
            yield 0.001
        yield from POEM

    def answer(messages: list[BaseMessage]) -> Any:
        return JOKE if "joke" in messages[-1].text else poem()

    def on_chunk(chunk: Any) -> None:
        token = getattr(chunk[0], "chunk_position", None) == "last"
        if token or (chunk[0] == "updates" and "write_joke" in chunk[1]):
            tape.gate("joke").set()

    for run, name, modes in (
        (stream, "sync_fake", "messages"),
        (astream, "async_fake", "messages"),
        (stream, "sync_fake_modes", ["messages", "updates", "values"]),
    ):
        graph = tokens_of_parallel_nodes.build(scripted(answer, answer))
        yield run(graph, {"topic": "cats"}, stream_mode=modes, on_chunk=on_chunk, name=name)


@case
def s001_specific_nodes_snippet() -> Iterator[Run]:
    for mode, name in (("messages", "stream_0"), ("updates", "updates_nodes_return_none")):
        graph = tokens_of_one_node.build(scripted(["a1", "a2"], ["b1", "b2"]))
        yield stream(graph, {"messages": []}, stream_mode=mode, name=name)


@case
def s002_agent_custom() -> Iterator[Run]:
    build, given = agent_custom.build, agent_custom.INPUT
    yield stream(build(weather()), given, stream_mode="custom", name="sync")
    yield astream(build(weather()), given, stream_mode="custom", name="async")
    yield astream(build(weather()), given, stream_mode=["updates", "custom"], name="async_list")


@case
def s002_agent_messages() -> Iterator[Run]:
    for run, name in ((stream, "sync"), (astream, "async")):
        yield run(agent_tokens.build(weather()), agent_tokens.INPUT, stream_mode="messages", name=name)


@case
def s002_agent_updates() -> Iterator[Run]:
    for run, name in ((stream, "sync"), (astream, "async")):
        yield run(agent_updates.build(weather()), agent_updates.INPUT, stream_mode="updates", name=name)


@case
def s003_snippet() -> Iterator[Run]:
    for run, name in ((stream, "stream_0"), (astream, "astream_1")):
        yield run(
            tokens_of_message.build(scripted(["Hel", "lo"])), {"messages": "hi"}, stream_mode="messages", name=name
        )


@case
def s003_two_llm_calls() -> Iterator[Run]:
    graph = tokens_by_tag.build(scripted(JOKE), scripted(POEM))
    yield astream(graph, {"topic": "cats"}, stream_mode="messages", name="fake")


@case
def s003_without_langchain() -> Iterator[Run]:
    for modes, name in (("custom", "openai_loopback"), (["custom", "updates"], "openai_loopback_with_updates")):
        graph = client_in_node.build(ScriptedClient([JOKE, POEM]))
        yield astream(graph, {"topic": "cats"}, stream_mode=modes, name=name)


class Other(TypedDict):
    draft: Any
    nested: dict[str, Any]


RETURNED: dict[str, Callable[[Any], Any]] = {
    "ai_message": lambda s: {"messages": [AIMessage("x", id="a1")]},
    "single_not_list": lambda s: {"messages": AIMessage("x", id="a1")},
    "no_id": lambda s: {"messages": [AIMessage("x")]},
    "several": lambda s: {
        "messages": [
            AIMessage("x", id="a1"),
            HumanMessage("y", id="h2"),
            SystemMessage("z", id="s1"),
            ToolMessage("t", tool_call_id="c", id="t1"),
        ]
    },
    "echo_input": lambda s: {"messages": s["messages"]},
    "edit_input_same_id": lambda s: {"messages": [HumanMessage("edited", id="h1")]},
    "dict_message": lambda s: {"messages": [{"role": "assistant", "content": "d"}]},
    "tuple_message": lambda s: {"messages": [("ai", "t")]},
    "string": lambda s: {"messages": "just a string"},
    "remove": lambda s: {"messages": [RemoveMessage(id="h1")]},
    "command_update": lambda s: Command(update={"messages": [AIMessage("x", id="a1")]}),
    "list_of_commands": lambda s: [
        Command(update={"messages": [AIMessage(t, id=i)]}) for t, i in (("x", "a1"), ("y", "a2"))
    ],
    "chunk_object": lambda s: {"messages": [AIMessageChunk("c", id="a1")]},
    "same_id_twice": lambda s: {"messages": [AIMessage("x", id="a1"), AIMessage("x2", id="a1")]},
}


@case
def msg_returned() -> Iterator[Run]:
    for name, node in RETURNED.items():
        graph = StateGraph(MessagesState).add_node("n", node).add_edge(START, "n").compile()
        yield astream(graph, {"messages": [HumanMessage("in", id="h1")]}, stream_mode="messages", name=name)

    def deep(state: Other) -> Any:
        return {"draft": AIMessage("d", id="d1"), "nested": {"k": AIMessage("hidden", id="d2")}}

    graph = StateGraph(Other).add_node("n", deep).add_edge(START, "n").compile()
    name = "message_under_other_key_and_nested_dict"
    yield astream(graph, {"nested": {}}, stream_mode="messages", name=name)


@case
def msg_metadata() -> Iterator[Run]:
    model = scripted(["a"], cycle=True, tags=["model-tag"], metadata={"model-md": 1})

    async def n(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke("hi")]}

    def n_sync(state: MessagesState) -> Any:
        return {"messages": [model.invoke("hi")]}

    def build(node: Any) -> Any:
        return StateGraph(MessagesState).add_node("n", node, metadata={"node-md": "x"}).add_edge(START, "n").compile()

    hidden = {"foo": "bar", "api_key": "secret", "num": 3, "lst": [1], "__hidden": "h"}
    configs: dict[str, Any] = {
        "plain": None,
        "checkpointer": {"configurable": {"thread_id": "t1"}},  # of which the thread's id is what shows
        "user_config": {
            "metadata": {"user": "u1"},
            "tags": ["user-tag"],
            "run_name": "my-run",
            "configurable": hidden,
        },
    }
    for name, config in configs.items():
        yield astream(build(n), {"messages": []}, config, stream_mode="messages", name=name)
    yield stream(build(n_sync), {"messages": []}, stream_mode="messages", name="sync_plain")


# --- comparing --------------------------------------------------------------------------------------------


COMPARED = ("name", "method", "input", "config", "kwargs", "chunks", "error")


def comparable(outcome: Outcome, *, tool_ids: bool = True) -> Outcome:
    """An outcome without what is left out of the comparison, its ids counted afresh."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            ignored = not tool_ids and value.get("type") == "ToolMessage"
            return {k: without(v) for k, v in value.items() if not (ignored and k == "id")}
        return [without(v) for v in value] if isinstance(value, list) else value

    result: Outcome = renumber(without(without_library({name: outcome[name] for name in COMPARED})))
    return result


def difference(case: str, got: Outcome, recorded: Outcome) -> str:
    """What is wrong with a run, for a reader; empty if nothing is."""
    tool_ids = (case, got["name"]) not in WITHOUT_TOOL_IDS
    shown = [lines(comparable(outcome, tool_ids=tool_ids)) for outcome in (recorded, got)]
    return "\n".join(difflib.unified_diff(*shown, "recorded", "got", lineterm="", n=2))


def lines(outcome: Outcome) -> list[str]:
    rest = [f"{name}: {json.dumps(value, sort_keys=True)}" for name, value in outcome.items() if name != "chunks"]
    return rest + [f"  {json.dumps(chunk, sort_keys=True)}" for chunk in outcome["chunks"]]


def check(differences: dict[str, str]) -> None:
    if found := [f"{name}\n{text}" for name, text in differences.items() if text]:
        pytest.fail("\n\n".join(found), pytrace=False)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.performed(asynchronous=True)])
async def test_async_runs(name: str) -> None:
    recorded = CASES[name].recorded()
    runs = CASES[name].performed(asynchronous=True)
    check({run.name: difference(name, (await perform(run))[0], recorded[run.name]) for run in runs})


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.performed(asynchronous=False)])
def test_sync_runs(name: str) -> None:
    recorded = CASES[name].recorded()
    runs = CASES[name].performed(asynchronous=False)
    check({run.name: difference(name, perform_sync(run)[0], recorded[run.name]) for run in runs})


# --- a client instead of a model --------------------------------------------------------------------------


async def test_a_client_in_stream_tokens_shows_what_a_model_does() -> None:
    """The guide's other way, for which LangGraph needs a model of LangChain's."""
    graph = client_in_node.build_with_stream_tokens(ScriptedClient([JOKE, POEM]))
    got, _ = await perform(astream(graph, {"topic": "cats"}, stream_mode="messages", name="fake"))

    def shown(outcome: Outcome) -> list[Any]:
        parts = [chunk["__tuple__"] for chunk in renumber(outcome["chunks"])]
        return [
            (token["content"], {k: v for k, v in metadata.items() if k[:3] not in ("ls_", "lc_")})
            for token, metadata in parts
            if token["content"]
        ]

    assert shown(got) == shown(CASES["s003_two_llm_calls"].recorded()["fake"])


# --- choosing at the source -------------------------------------------------------------------------------

SELECTED = {
    "node": ("s001_specific_nodes", "async_fake", "write_joke"),
    "node of an agent": ("s000_agent_tool_tokens", "fake", "tools"),
    "tag": ("s003_two_llm_calls", "fake", Only(tags=["joke"])),
}


@pytest.mark.parametrize("chosen_by", SELECTED)
async def test_only_gives_what_the_guides_filter_out_of_the_stream(chosen_by: str) -> None:
    case, name, only = SELECTED[chosen_by]
    run, recorded = CASES[case].runs()[name], CASES[case].recorded()[name]

    def chosen(chunk: Any) -> bool:
        metadata = chunk["__tuple__"][1]
        return "joke" in metadata["tags"] if isinstance(only, Only) else metadata["langgraph_node"] == only

    chunks = list(filter(chosen, recorded["chunks"]))
    assert 0 < len(chunks) < len(recorded["chunks"])
    got, _ = await perform(replace(run, kwargs={**run.kwargs, "only": only}))
    check({name: difference(case, {**got, "kwargs": recorded["kwargs"]}, {**recorded, "chunks": chunks})})


# --- nothing is left out ----------------------------------------------------------------------------------


def test_every_recording_has_its_case() -> None:
    assert {path.stem for path in MODELS.glob("*.json")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_every_recorded_run_is_accounted_for(name: str) -> None:
    elsewhere = {run for of, run in ELSEWHERE if of == name}
    assert set(CASES[name].recorded()) == set(CASES[name].runs()) | elsewhere
    assert not set(CASES[name].runs()) & elsewhere


def test_the_tables_name_recorded_runs() -> None:
    assert all(run in CASES[name].recorded() for name, run in (*ELSEWHERE, *WITHOUT_TOOL_IDS))
