"""LangChain's models in penstock's graphs, compared with recordings of the same graphs in LangGraph."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from typing_extensions import TypedDict

from penstock.config import get_stream_writer
from penstock.graph import START, MessagesState, StateGraph
from penstock.types import Command
from tests.golden.harness import Run, astream, stream, tape
from tests.golden.normalise import Normaliser, renumber

from ._langchain import ScriptedChatModel, tool_call

DATA = Path(__file__).parent / "data"

JOKE = ["Why", " did", " the", " cat", "?"]
POEM = ["Soft", " paws", " at", " night"]
ITEMS = ["Bed", ",", " lamp", ",", " desk"]

# ---------------------------------------------------------------- the graphs


class State(TypedDict, total=False):
    topic: str
    joke: str
    poem: str


def returned_graph(node: Any, schema: Any = MessagesState) -> Any:
    return StateGraph(schema).add_node("n", node).add_edge(START, "n").compile()


def msg_returned() -> Iterator[Run]:
    x, y = AIMessage("x", id="a1"), AIMessage("y", id="a2")
    several = [x, HumanMessage("y", id="h2"), SystemMessage("z", id="s1"), ToolMessage("t", tool_call_id="c", id="t1")]
    returns: dict[str, Callable[[Any], Any]] = {
        "ai_message": lambda s: {"messages": [x]},
        "single_not_list": lambda s: {"messages": x},
        "no_id": lambda s: {"messages": [AIMessage("x")]},
        "several": lambda s: {"messages": several},
        "echo_input": lambda s: {"messages": s["messages"]},
        "edit_input_same_id": lambda s: {"messages": [HumanMessage("edited", id="h1")]},
        "dict_message": lambda s: {"messages": [{"role": "assistant", "content": "d"}]},
        "tuple_message": lambda s: {"messages": [("ai", "t")]},
        "string": lambda s: {"messages": "just a string"},
        "remove": lambda s: {"messages": [RemoveMessage(id="h1")]},
        "command_update": lambda s: Command(update={"messages": [x]}),
        "list_of_commands": lambda s: [Command(update={"messages": [x]}), Command(update={"messages": [y]})],
        "chunk_object": lambda s: {"messages": [AIMessageChunk("c", id="a1")]},
        "same_id_twice": lambda s: {"messages": [x, AIMessage("x2", id="a1")]},
    }
    for name, node in returns.items():
        given = {"messages": [HumanMessage("in", id="h1")]}
        yield astream(returned_graph(node), given, stream_mode="messages", name=name)

    class Other(TypedDict):
        draft: AIMessage
        nested: dict[str, Any]

    node = lambda s: {"draft": AIMessage("d", id="d1"), "nested": {"k": AIMessage("hidden", id="d2")}}  # noqa: E731
    name = "message_under_other_key_and_nested_dict"
    yield astream(returned_graph(node, Other), {"nested": {}}, stream_mode="messages", name=name)


def msg_metadata() -> Iterator[Run]:
    model = ScriptedChatModel(script=[["a"]], tags=["model-tag"], metadata={"model-md": 1})

    async def n(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke("hi")]}

    def n_sync(state: MessagesState) -> Any:
        return {"messages": [model.invoke("hi")]}

    def build(node: Any) -> Any:
        builder = StateGraph(MessagesState).add_node("n", node, metadata={"node-md": "x"})
        return builder.add_edge(START, "n").compile()

    configurable = {"foo": "bar", "api_key": "secret", "num": 3, "lst": [1], "__hidden": "h"}
    user = {"metadata": {"user": "u1"}, "tags": ["user-tag"], "run_name": "my-run", "configurable": configurable}
    given: dict[str, Any] = {"messages": []}
    yield astream(build(n), given, stream_mode="messages", name="plain")
    # recorded with a checkpointer, which changes nothing but that it wants a thread
    yield astream(build(n), given, {"configurable": {"thread_id": "t1"}}, stream_mode="messages", name="checkpointer")
    yield astream(build(n), given, user, stream_mode="messages", name="user_config")
    yield stream(build(n_sync), given, stream_mode="messages", name="sync_plain")


def s000_llm_snippet() -> Iterator[Run]:
    model = ScriptedChatModel(script=[["tok1", "tok2"]])

    def tool_function(argument: str) -> str:
        model.invoke(argument)
        return "result"

    def call_tools(state: MessagesState) -> Any:
        tool_function("x")
        return {"messages": []}

    graph = StateGraph(MessagesState).add_node(call_tools).add_edge(START, "call_tools").compile()
    yield stream(graph, {"messages": []}, stream_mode="messages", name="stream_0")


def joke_graph(model: Any) -> Any:
    def refine_topic(state: State) -> Any:
        return {"topic": state["topic"] + " and cats"}

    def generate_joke(state: State) -> Any:
        answer = model.invoke([{"role": "user", "content": f"Generate a joke about {state['topic']}"}])
        return {"joke": answer.content}

    builder = StateGraph(State).add_node(refine_topic).add_node(generate_joke)
    return builder.add_edge(START, "refine_topic").add_edge("refine_topic", "generate_joke").compile()


def s001_messages() -> Iterator[Run]:
    graph = joke_graph(ScriptedChatModel(script=[JOKE]))
    yield stream(graph, {"topic": "ice cream"}, stream_mode="messages", name="sync_fake")
    yield astream(graph, {"topic": "ice cream"}, stream_mode="messages", name="async_fake")


def s001_messages_openai(chat_openai: Any) -> Iterator[Run]:
    graph = joke_graph(chat_openai())
    yield stream(graph, {"topic": "ice cream"}, stream_mode="messages", name="sync_openai_loopback")


def s001_specific_nodes() -> Iterator[Run]:
    model = ScriptedChatModel(by_prompt={"joke": JOKE, "poem": POEM})

    def wait_for_the_joke(prompt: str, number: int) -> None:
        if "poem" in prompt and number == 0:
            assert tape.gate("joke").wait(5)

    def joke_is_over(chunk: Any) -> None:
        if "updates" in chunk or getattr(chunk[0], "chunk_position", None) == "last":
            tape.gate("joke").set()

    model.before_each(wait_for_the_joke)

    def write_joke(state: State) -> Any:
        return {"joke": model.invoke([{"role": "user", "content": f"Write a joke about {state['topic']}"}]).content}

    def write_poem(state: State) -> Any:
        prompt = f"Write a short poem about {state['topic']}"
        return {"poem": model.invoke([{"role": "user", "content": prompt}]).content}

    builder = StateGraph(State).add_node(write_joke).add_node(write_poem)
    graph = builder.add_edge(START, "write_joke").add_edge(START, "write_poem").compile()
    given = {"topic": "cats"}
    yield stream(graph, given, stream_mode="messages", name="sync_fake", on_chunk=joke_is_over)
    yield astream(graph, given, stream_mode="messages", name="async_fake", on_chunk=joke_is_over)
    modes = ["messages", "updates", "values"]
    yield stream(graph, given, stream_mode=modes, name="sync_fake_modes", on_chunk=joke_is_over)


def s001_specific_nodes_snippet() -> Iterator[Run]:
    model = ScriptedChatModel(by_prompt={"a": ["a1", "a2"], "b": ["b1", "b2"]})

    def node_a(state: MessagesState) -> None:
        model.invoke("a")

    def node_b(state: MessagesState) -> None:
        model.invoke("b")

    builder = StateGraph(MessagesState).add_node(node_a).add_node(node_b)
    graph = builder.add_edge(START, "node_a").add_edge("node_a", "node_b").compile()
    yield stream(graph, {"messages": []}, stream_mode="messages", name="stream_0")
    yield stream(graph, {"messages": []}, stream_mode="updates", name="updates_nodes_return_none")


def s003_snippet() -> Iterator[Run]:
    model = ScriptedChatModel(script=[["Hel", "lo"]])

    def call_model(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node(call_model).add_edge(START, "call_model").compile()
    yield stream(graph, {"messages": "hi"}, stream_mode="messages", name="stream_0")
    yield astream(graph, {"messages": "hi"}, stream_mode="messages", name="astream_1")


def two_calls_graph(joke_model: Any, poem_model: Any) -> Any:
    async def call_model(state, config):  # type: ignore[no-untyped-def]
        topic = state["topic"]
        joke = await joke_model.ainvoke([{"role": "user", "content": f"Write a joke about {topic}"}], config)
        poem = await poem_model.ainvoke([{"role": "user", "content": f"Write a short poem about {topic}"}], config)
        return {"joke": joke.content, "poem": poem.content}

    return StateGraph(State).add_node(call_model).add_edge(START, "call_model").compile()


def s003_two_llm_calls() -> Iterator[Run]:
    joke, poem = ScriptedChatModel(script=[JOKE], tags=["joke"]), ScriptedChatModel(script=[POEM], tags=["poem"])
    yield astream(two_calls_graph(joke, poem), {"topic": "cats"}, stream_mode="messages", name="fake")


def s003_two_llm_calls_openai(chat_openai: Any) -> Iterator[Run]:
    graph = two_calls_graph(chat_openai(tags=["joke"]), chat_openai(tags=["poem"]))
    yield astream(graph, {"topic": "cats"}, stream_mode="messages", name="openai_loopback")


# ---------------------------------------------------------------- agents


@tool("get_items")
async def office_items(place: str) -> str:
    """Use this tool to list items one might find in a place you're asked about."""
    writer = get_stream_writer()
    items = ["books", "penciles", "pictures"]
    for item in items:
        writer({"custom_tool_data": item})
    return ", ".join(items)


def agent(model: Any, tools: list[Any]) -> Any:
    from penstock.prebuilt import create_react_agent

    return create_react_agent(model, tools=tools)


def s000_agent_custom() -> Iterator[Run]:
    def office() -> Any:
        calls = tool_call("get_items", '{"place":"office"}', "call_1")
        return agent(ScriptedChatModel(script=[calls, ["Books", ", pencils", " and pictures"]]), [office_items])

    given = {"messages": [{"role": "user", "content": "what items are in the office?"}]}
    yield astream(office(), given, stream_mode="custom", name="fake")
    yield astream(office(), given, stream_mode=["updates", "custom", "messages"], name="fake_modes")
    yield astream(office(), given, stream_mode=["values"], name="fake_values")


def s000_agent_tool_tokens() -> Iterator[Run]:
    def bedroom() -> Any:
        calls = tool_call("get_items", '{"place":"bedroom"}', "call_1")
        model = ScriptedChatModel(by_prompt={"kind of items": ITEMS}, script=[calls, ["There", " you", " go"]])

        @tool
        async def get_items(place: str, config: RunnableConfig) -> str:
            """Use this tool to list items one might find in a place you're asked about."""
            prompt = f"Can you tell me what kind of items i might find in the following place: '{place}'."
            answer = await model.ainvoke([{"role": "user", "content": prompt}], config)
            return str(answer.content)

        return agent(model, [get_items])

    given = {"messages": [{"role": "user", "content": "what items are in the bedroom?"}]}
    yield astream(bedroom(), given, stream_mode="messages", name="fake")
    yield astream(bedroom(), given, stream_mode=["messages", "updates"], name="fake_with_updates")


def weather_agent(*, writes: bool = False) -> Any:
    def get_weather(city: str) -> str:
        """Get weather for a given city."""
        if writes:
            get_stream_writer()(f"Looking up data for city: {city}")
        return f"It's always sunny in {city}!"

    calls = tool_call("get_weather", '{"city":"sf"}', "call_1")
    return agent(ScriptedChatModel(script=[calls, ["It's", " sunny", " in", " sf"]]), [get_weather])


def weather(make: Callable[..., Run], name: str, mode: Any, *, writes: bool = False) -> Run:
    return make(weather_agent(writes=writes), {"messages": "what is the weather in sf"}, stream_mode=mode, name=name)


def s002_agent_messages() -> Iterator[Run]:
    yield weather(stream, "sync", "messages")
    yield weather(astream, "async", "messages")


def s002_agent_updates() -> Iterator[Run]:
    yield weather(stream, "sync", "updates")
    yield weather(astream, "async", "updates")


def s002_agent_custom() -> Iterator[Run]:
    yield weather(stream, "sync", "custom", writes=True)
    yield weather(astream, "async", "custom", writes=True)
    yield weather(astream, "async_list", ["updates", "custom"], writes=True)


CASES = [
    msg_returned,
    msg_metadata,
    s000_llm_snippet,
    s000_agent_custom,
    s000_agent_tool_tokens,
    s001_messages,
    s001_specific_nodes,
    s001_specific_nodes_snippet,
    s002_agent_custom,
    s002_agent_messages,
    s002_agent_updates,
    s003_snippet,
    s003_two_llm_calls,
]
OPENAI = [s001_messages_openai, s003_two_llm_calls_openai]

ASYNC_LANGCHAIN = {"msg_metadata", "s003_two_llm_calls", "s000_agent_custom", "s000_agent_tool_tokens"}
"""Cases whose nodes or tools await LangChain: not on trio."""

# ---------------------------------------------------------------- comparing


class MessageNormaliser(Normaliser):
    """Shows of a message also what only chunks have, and counts ids as the recordings do."""

    _FIELDS = (
        "name",
        "tool_calls",
        "invalid_tool_calls",
        "tool_call_chunks",
        "usage_metadata",
        "chunk_position",
        "tool_call_id",
        "additional_kwargs",
        "response_metadata",
    )

    def message(self, message: Any) -> dict[str, Any]:
        shown: dict[str, Any] = {"type": type(message).__name__, "content": self(message.content), "id": message.id}
        if message.id is not None and "-" in message.id:
            shown["id"] = self.token(message.id, "msg")
        fields = {f: getattr(message, f, None) for f in self._FIELDS}
        return shown | {f: self(v, "tool") for f, v in fields.items() if v}


def without_versions(value: Any) -> Any:
    """Chunks without the versions of packages, and without which library a returned message is said to come from.

    The first versions of langchain-core 1 do not say that of models either.
    """
    if isinstance(value, list):
        return [without_versions(v) for v in value]
    if not isinstance(value, dict):
        return value
    dropped = {"lc_versions"}
    if value.get("ls_integration") == "langgraph" or not hasattr(BaseChatModel, "_get_ls_params_with_defaults"):
        dropped |= {"ls_integration"}
    return {k: without_versions(v) for k, v in value.items() if k not in dropped}


def without_late_ids(case: str, value: Any) -> Any:
    """An update shows the tool's message before or after the reducer has given it an id: a race in either library."""
    if case not in ("s002_agent_updates", "s002_agent_custom"):
        return value
    if isinstance(value, list):
        return [without_late_ids(case, v) for v in value]
    if not isinstance(value, dict):
        return value
    late = value.get("type") == "ToolMessage"
    return {k: without_late_ids(case, v) for k, v in value.items() if not (late and k == "id")}


def recorded(case: str, run: Run) -> Any:
    runs = json.loads((DATA / f"{case}.json").read_text(encoding="utf-8"))["runs"]
    (found,) = [r for r in runs if r["name"] == run.name]
    assert (found["method"], found["error"]) == (run.method, None)
    return found["chunks"]


def difference(case: str, run: Run, chunks: list[Any]) -> str:
    got, expected = (renumber(without_late_ids(case, without_versions(c))) for c in (chunks, recorded(case, run)))
    lines = ([json.dumps(c, sort_keys=True) for c in chunks] for chunks in (expected, got))
    return "\n".join(difflib.unified_diff(*lines, "recorded", f"{case}.{run.name}", lineterm="", n=1))


async def check(case: str, runs: Iterator[Run]) -> None:
    for run in runs:
        if run.is_async:
            tape.reset()
            normalise, chunks = MessageNormaliser(), []
            async for chunk in run.start():
                chunks.append(normalise(chunk))
                if run.on_chunk is not None:
                    run.on_chunk(chunk)
            assert difference(case, run, chunks) == ""


def check_sync(case: str, runs: Iterator[Run]) -> None:
    for run in runs:
        if not run.is_async:
            tape.reset()
            normalise, chunks = MessageNormaliser(), []
            for chunk in run.start():
                chunks.append(normalise(chunk))
                if run.on_chunk is not None:
                    run.on_chunk(chunk)
            assert difference(case, run, chunks) == ""


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)
async def test_async_runs(case: Any, backend_id: str) -> None:
    if backend_id == "trio" and case.__name__ in ASYNC_LANGCHAIN:
        pytest.skip("LangChain's asynchronous API runs on asyncio only")
    if case is msg_metadata and not hasattr(BaseChatModel, "_get_ls_params_with_defaults"):
        pytest.skip("the first versions of langchain-core 1 copy configurable values into the metadata")
    await check(case.__name__, case())


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)
def test_sync_runs(case: Any) -> None:
    check_sync(case.__name__, case())


# ---------------------------------------------------------------- the real class of a provider


def answer_to(request: Any) -> list[str]:
    return POEM if "poem" in str(request["messages"][-1]["content"]) else JOKE


@pytest.fixture
def chat_openai() -> Iterator[Callable[..., Any]]:
    """Makes models of langchain-openai that talk to a server on loopback."""
    pytest.importorskip("langchain_openai")
    from langchain_openai import ChatOpenAI

    from penstock.testing import FakeOpenAIServer

    with FakeOpenAIServer([answer_to], cycle=True) as server:
        yield lambda **settings: ChatOpenAI(
            model="gpt-4o-mini", api_key="not-needed", base_url=server.base_url, **settings
        )


@pytest.mark.backends("asyncio", "asyncio+uvloop")
async def test_chat_openai(chat_openai: Callable[..., Any]) -> None:
    await check("s003_two_llm_calls", s003_two_llm_calls_openai(chat_openai))


def test_chat_openai_in_a_thread(chat_openai: Callable[..., Any]) -> None:
    check_sync("s001_messages", s001_messages_openai(chat_openai))
