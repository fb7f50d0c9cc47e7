"""LangChain's models, tools and chains in nodes: who calls them how, and what everybody gets to see."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.to_thread
import pytest

pytest.importorskip("langchain_core")

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import AIMessage as TheirAIMessage
from langchain_core.messages import HumanMessage as TheirHumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableConfig as TheirConfig
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool

from penstock import messages as ours
from penstock.config import RunnableConfig, get_config, get_stream_writer
from penstock.errors import MessageError, MissingExtraError, WrongBackendError
from penstock.graph import START, MessagesState, StateGraph
from penstock.integrations.langchain import activate, to_langchain

from ._langchain import one, scripted

EMPTY: dict[str, Any] = {"messages": []}

on_asyncio = pytest.mark.backends("asyncio", "asyncio+eager", "asyncio+uvloop")


async def tokens(graph: Any, input: Any = EMPTY, config: Any = None, **options: Any) -> list[str]:
    """The text of each chunk of `messages` mode, without the empty last one."""
    stream = graph.astream(input, config, stream_mode="messages", **options)
    return [chunk.content async for chunk, _ in stream if chunk.content]


# ---------------------------------------------------------------- ways to call a model


async def _in_task(model: Any, config: Any) -> None:
    await asyncio.create_task(model.ainvoke("x", config))


async def _gathered(model: Any, config: Any) -> None:
    await asyncio.gather(model.ainvoke("x", config))


async def _in_task_group(model: Any, config: Any) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(model.ainvoke, "x", config)


async def _iterated(model: Any, config: Any) -> None:
    assert [chunk.content async for chunk in model.astream("x", config)] == ["a", "b", ""]


async def _in_a_tool(model: Any, config: Any) -> None:
    @tool
    async def ask(question: str) -> str:
        """Ask."""
        return str((await model.ainvoke(question)).content)

    assert await ask.ainvoke({"question": "x"}, config) == "ab"


ASYNC_CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "ainvoke": lambda model, config: model.ainvoke("x", config),
    "astream": _iterated,
    "abatch": lambda model, config: model.abatch(["x"], config),
    "chain": lambda model, config: (RunnableLambda(lambda x: x) | model | StrOutputParser()).ainvoke("x", config),
    "create_task": _in_task,
    "gather": _gathered,
    "task group": _in_task_group,
    "tool": _in_a_tool,
    "asyncio.to_thread": lambda model, config: asyncio.to_thread(model.invoke, "x", config),
    "invoke": lambda model, config: _returned(model.invoke("x", config)),
    "agenerate": lambda model, config: model.agenerate(
        [[TheirHumanMessage("x")]], callbacks=config and config["callbacks"]
    ),
}


async def _returned(value: Any) -> Any:
    return value


@on_asyncio
@pytest.mark.parametrize("call", [c for c in ASYNC_CALLS if c != "agenerate"])
async def test_an_async_node_streams_however_it_calls(call: str) -> None:
    async def node(state: MessagesState) -> None:
        await ASYNC_CALLS[call](scripted("a", "b"), None)

    assert await tokens(one(node)) == ["a", "b"]


@pytest.mark.parametrize("annotation", [Any, RunnableConfig, TheirConfig])
async def test_a_node_may_annotate_the_config_as_either_library_s(annotation: Any) -> None:
    def node(state, config):  # type: ignore[no-untyped-def]
        scripted("a", "b").invoke("x", config)

    node.__annotations__ = {"state": MessagesState, "config": annotation}
    assert await tokens(one(node)) == ["a", "b"]


@on_asyncio
@pytest.mark.parametrize("call", [c for c in ASYNC_CALLS if c != "tool"])
async def test_an_async_node_streams_with_the_config_passed_by_hand(call: str) -> None:
    async def node(state: MessagesState, config: TheirConfig) -> None:
        await ASYNC_CALLS[call](scripted("a", "b"), config)

    assert await tokens(one(node)) == ["a", "b"]
    handler = Watcher()
    assert await tokens(one(node), config={"callbacks": [handler], "run_id": None}) == ["a", "b"]
    assert handler.count("model") == 1


SYNC_CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "invoke": lambda model, config: model.invoke("x", config),
    "stream": lambda model, config: list(model.stream("x", config)),
    "batch": lambda model, config: model.batch(["x"], config),
    "chain": lambda model, config: (RunnableLambda(lambda x: x) | model | StrOutputParser()).invoke("x", config),
    "parallel": lambda model, config: RunnableParallel(one=model).invoke("x", config),
}


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("call", SYNC_CALLS)
async def test_a_sync_node_streams_however_it_calls(call: str, by_hand: bool) -> None:
    def node(state: MessagesState, config: TheirConfig) -> None:
        SYNC_CALLS[call](scripted("a", "b"), config if by_hand else None)

    assert await tokens(one(node)) == ["a", "b"]
    stream = one(node).stream(EMPTY, stream_mode="messages")
    assert [chunk.content for chunk, _ in stream] == ["a", "b", ""]


async def test_a_thread_without_a_context_streams_with_the_config_passed_by_hand() -> None:
    def node(state: MessagesState, config: TheirConfig) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(scripted("a", "b").invoke, "x", config).result()

    assert await tokens(one(node)) == ["a", "b"]


@on_asyncio
async def test_two_calls_at_once_keep_their_own_metadata() -> None:
    async def node(state: MessagesState, config: TheirConfig) -> None:
        one, two = scripted("1", "2", tags=["one"]), scripted("3", "4", tags=["two", "nostream"])
        three = scripted("5", tags=["three"], metadata={"n": 3})
        await asyncio.gather(*(model.ainvoke("x", config) for model in (one, two, three)))

    seen: dict[str, list[Any]] = {}
    async for chunk, metadata in one(node).astream(EMPTY, {"tags": ["run"]}, stream_mode="messages"):
        seen.setdefault(chunk.id, []).append((chunk.content, metadata["tags"], metadata.get("n")))
    assert sorted(seen.values()) == [
        [("1", ["run", "one"], None), ("2", ["run", "one"], None), ("", ["run", "one"], None)],
        [("5", ["run", "three"], 3), ("", ["run", "three"], 3)],
    ]


async def test_chains_add_no_tags_of_their_own() -> None:
    def node(state: MessagesState) -> None:
        (ChatPromptTemplate.from_template("x") | scripted("a")).invoke({})

    async for _, metadata in one(node).astream(EMPTY, stream_mode="messages"):
        assert "tags" not in metadata


# ---------------------------------------------------------------- who is switched to streaming


def _node(model: Any) -> Callable[[MessagesState], Any]:
    def node(state: MessagesState) -> Any:
        return {"messages": [model.invoke("x")]}

    return node


@pytest.mark.parametrize(
    ("options", "made"),
    [
        ({"stream_mode": "messages"}, ["a", "b"]),
        ({"stream_mode": ["updates", "messages"]}, ["a", "b"]),
        ({"stream_mode": "updates"}, ["generate", "a", "b"]),
        ({"stream_mode": "messages", "only": {"nodes": ["other"]}}, ["generate", "a", "b"]),
        ({"stream_mode": "messages", "only": {"tags": ["other"]}}, ["generate", "a", "b"]),
        ({"stream_mode": "messages", "only": {"tags": ["mine"]}}, ["a", "b"]),
    ],
)
async def test_a_model_streams_only_if_somebody_wants_to_see_it(options: Any, made: list[str]) -> None:
    model = scripted("a", "b", tags=["mine"])
    builder = StateGraph(MessagesState).add_node("node", _node(model)).add_node("other", lambda s: None)
    graph = builder.add_edge(START, "node").add_edge("node", "other").compile()
    async for _ in graph.astream(EMPTY, **options):
        pass
    assert model.log == made


async def test_without_a_reader_nothing_streams() -> None:
    model = scripted("a", "b")
    result = await one(_node(model)).ainvoke(EMPTY)
    assert (model.log, result["messages"][0].content) == (["generate", "a", "b"], "ab")


@on_asyncio
async def test_calls_at_once_are_switched_to_streaming_one_by_one() -> None:
    wanted, unwanted = scripted("a", "b", tags=["wanted"]), scripted("c", tags=["unwanted"])

    async def node(state: MessagesState, config: TheirConfig) -> None:
        await asyncio.gather(*(m.ainvoke("x", config) for m in (wanted, unwanted, wanted, unwanted)))

    shown = await tokens(one(node), only={"tags": ["wanted"]})
    assert sorted(shown) == ["a", "a", "b", "b"]
    assert (wanted.log, unwanted.log) == (["a", "a", "b", "b"], ["generate", "c"] * 2)


async def test_a_message_is_shown_once() -> None:
    chunks = [c async for c, _ in one(_node(scripted("a", "b"))).astream(EMPTY, stream_mode="messages")]
    assert [c.content for c in chunks] == ["a", "b", ""]
    assert len({c.id for c in chunks}) == 1


@pytest.mark.parametrize("tag", ["nostream", "langsmith:nostream"])
async def test_nostream_hides_the_tokens_and_the_message(tag: str) -> None:
    assert await tokens(one(_node(scripted("a", "b", tags=[tag])))) == []


@pytest.mark.parametrize("setting", [True, "tool_calling"])
async def test_a_model_that_does_not_stream_shows_its_answer_whole(setting: Any) -> None:
    model = scripted("a", "b", disable_streaming=setting)

    def node(state: MessagesState) -> Any:
        return {"messages": [model.bind(tools=[1]).invoke("x")]}

    (shown,) = [c async for c, _ in one(node).astream(EMPTY, stream_mode="messages")]
    assert (type(shown), shown.content) == (TheirAIMessage, "ab")


async def test_a_subgraph_s_tokens_are_shown_once_with_its_place() -> None:
    inner = one(_node(scripted("a", "b")))

    def calls(state: MessagesState, config: TheirConfig) -> Any:
        return inner.invoke(state, config)

    stream = one(calls).astream(EMPTY, {"callbacks": [Watcher()]}, stream_mode="messages", subgraphs=True)
    seen = [(c.content, md["langgraph_checkpoint_ns"].count("|"), md["checkpoint_ns"]) async for _, (c, md) in stream]
    assert [s[:2] for s in seen] == [("a", 1), ("b", 1), ("", 1)]
    assert all(s[2].startswith("node:") and "|" not in s[2] for s in seen)
    assert await tokens(one(calls)) == ["ab"]


async def test_a_graph_streamed_inside_a_node_shows_its_tokens_to_that_node() -> None:
    inner, seen = one(_node(scripted("a", "b"))), []

    def node(state: MessagesState) -> None:
        seen.extend(c.content for c, _ in inner.stream(state, stream_mode="messages"))

    await one(node).ainvoke(EMPTY)
    assert seen == ["a", "b", ""]


# ---------------------------------------------------------------- backpressure, errors, leaving


@pytest.mark.virtual_time
@on_asyncio
@pytest.mark.parametrize("how", ["ainvoke", "astream", "gather"])
async def test_a_slow_reader_slows_the_model(how: str) -> None:
    model = scripted(*[str(n) for n in range(100)])

    async def node(state: MessagesState, config: TheirConfig) -> None:
        await {"ainvoke": _plainly, "astream": _read, "gather": _gathered}[how](model, config)

    read = 0
    async with one(node).astream(EMPTY, stream_mode="messages", high_water_mark=4) as run:
        async for _ in run:
            read += 1
            await anyio.sleep(0.01)
            assert len(model.log) <= read + 12
    assert read == 101


async def _plainly(model: Any, config: Any) -> None:
    await model.ainvoke("x", config)


async def _read(model: Any, config: Any) -> None:
    async for _ in model.astream("x", config):
        pass


async def test_a_slow_reader_slows_the_model_in_a_thread() -> None:
    model = scripted(*[str(n) for n in range(60)])
    read = 0
    async with one(_node(model)).astream(EMPTY, stream_mode="messages", high_water_mark=4) as run:
        async for _ in run:
            read += 1
            if read == 1:
                await anyio.sleep(0.05)  # time enough to make them all
            assert len(model.log) <= read + 12
    assert read == 61


async def test_tokens_come_before_the_error_that_ends_them() -> None:
    model = scripted("a", "b", ValueError("provider down"), "c")
    seen = []
    with pytest.raises(ValueError, match="provider down"):
        async for chunk, _ in one(_node(model)).astream(EMPTY, stream_mode="messages"):
            seen.append(chunk.content)
    assert seen == ["a", "b"]


@on_asyncio
async def test_an_async_call_that_fails_shows_its_tokens_first() -> None:
    async def node(state: MessagesState, config: TheirConfig) -> None:
        await scripted("a", "b", ValueError("provider down")).ainvoke("x", config)

    seen = []
    with pytest.raises(ValueError, match="provider down"):
        async for chunk, _ in one(node).astream(EMPTY, stream_mode="messages"):
            seen.append(chunk.content)
    assert seen == ["a", "b"]


@on_asyncio
@pytest.mark.parametrize("how", ["ainvoke", "astream", "gather"])
async def test_who_leaves_early_leaves_nothing_behind(how: str) -> None:
    model = scripted(*["x"] * 1000)

    async def node(state: MessagesState, config: TheirConfig) -> None:
        await {"ainvoke": _plainly, "astream": _read, "gather": _gathered}[how](model, config)

    async with one(node).astream(EMPTY, stream_mode="messages", high_water_mark=4) as run:
        async for _ in run:
            break
    made = len(model.log)
    await anyio.sleep(0.01)
    assert len(model.log) == made < 100


async def test_who_leaves_a_thread_early_ends_it_at_its_next_token() -> None:
    model = scripted(*["x"] * 1000)
    async with one(_node(model)).astream(EMPTY, stream_mode="messages", high_water_mark=4) as run:
        async for _ in run:
            break
    assert len(model.log) < 100


# ---------------------------------------------------------------- trio


def _chain(model: Any) -> Any:
    return RunnableLambda(lambda x: x) | model


@tool
async def some_tool(x: str) -> str:
    """Do something."""
    return x


@pytest.mark.backends("trio")
@pytest.mark.parametrize("mode", ["messages", "updates"])
@pytest.mark.parametrize(
    "call",
    [
        lambda: scripted("a").ainvoke("x"),
        lambda: scripted("a").astream("x").__anext__(),
        lambda: _chain(scripted("a")).ainvoke("x"),
        lambda: some_tool.ainvoke({"x": "1"}),
    ],
    ids=["ainvoke", "astream", "chain", "tool"],
)
async def test_the_async_api_says_on_trio_that_it_cannot_run(call: Callable[[], Any], mode: Any) -> None:
    async def node(state: MessagesState) -> None:
        await call()

    with pytest.raises(WrongBackendError, match=r"asyncio only.*trio.*worker thread.*penstock\.models"):
        async for _ in one(node).astream(EMPTY, stream_mode=mode):
            pass


@pytest.mark.backends("trio")
async def test_the_sync_api_runs_on_trio_in_threads_and_nodes() -> None:
    async def threaded(state: MessagesState) -> None:
        await anyio.to_thread.run_sync(scripted("a", "b").invoke, "x")

    async def inline(state: MessagesState) -> None:
        scripted("a", "b").invoke("x")

    for node in (threaded, inline, _node(scripted("a", "b"))):
        assert await tokens(one(node)) == ["a", "b"]


@pytest.mark.backends("trio")
async def test_a_thread_may_run_asyncio_below_trio() -> None:
    def node(state: MessagesState, config: TheirConfig) -> None:
        asyncio.run(scripted("a", "b").ainvoke("x", config))

    assert await tokens(one(node)) == ["a", "b"]


# ---------------------------------------------------------------- callbacks and config


class Watcher(BaseCallbackHandler):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def count(self, what: str) -> int:
        return [kind for kind, _ in self.seen].count(what)

    def of(self, what: str) -> list[Any]:
        return [details for kind, details in self.seen if kind == what]

    def on_chat_model_start(self, serialized: Any, messages: Any, **details: Any) -> None:
        self.seen.append(("model", details))

    def on_llm_end(self, response: Any, **details: Any) -> None:
        self.seen.append(("model end", details))

    def on_tool_start(self, serialized: Any, input_str: Any, **details: Any) -> None:
        self.seen.append(("tool", details))


class AsyncWatcher(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []

    async def on_llm_new_token(self, token: Any, **details: Any) -> None:
        self.tokens.append(token)


@pytest.mark.parametrize("mode", ["messages", "updates"])
async def test_callbacks_of_the_run_hear_of_its_model_calls(mode: Any) -> None:
    watcher = Watcher()
    config = {"callbacks": [watcher], "tags": ["run"], "metadata": {"user": "ada"}, "configurable": {"thread_id": "T"}}
    async for _ in one(_node(scripted("a", tags=["model"]))).astream(EMPTY, config, stream_mode=mode):
        pass
    (started,), (ended,) = watcher.of("model"), watcher.of("model end")
    assert started["tags"] == ["run", "model"]
    assert started["run_id"] == ended["run_id"]
    metadata = started["metadata"]
    assert (metadata["user"], metadata["thread_id"], metadata["langgraph_node"]) == ("ada", "T", "node")


@on_asyncio
async def test_async_callbacks_hear_the_tokens() -> None:
    watcher = AsyncWatcher()

    async def node(state: MessagesState, config: TheirConfig) -> None:
        await scripted("a", "b").ainvoke("x", config)

    assert await tokens(one(node), config={"callbacks": [watcher]}) == ["a", "b"]
    assert watcher.tokens == ["a", "b", ""]


async def test_callbacks_reach_nested_graphs_and_tools_with_the_right_parents() -> None:
    watcher = Watcher()

    @tool
    def ask(question: str) -> str:
        """Ask."""
        return str(one(_node(scripted("a"))).invoke(EMPTY)["messages"][0].content)

    def node(state: MessagesState) -> None:
        assert ask.invoke({"question": "x"}) == "a"

    await one(node).ainvoke(EMPTY, {"callbacks": [watcher]})
    (called,), (model,) = watcher.of("tool"), watcher.of("model")
    assert model["parent_run_id"] not in (None, called["run_id"])  # with a graph and a node between: see the tree
    assert model["metadata"]["langgraph_checkpoint_ns"].count("|") == 1


async def test_a_graph_in_a_chain_hears_of_the_chain_s_config() -> None:
    watcher, seen = Watcher(), []

    def node(state: MessagesState) -> Any:
        seen.append(scripted("a").invoke("x"))

    chain = RunnableLambda(lambda _: one(node).invoke(EMPTY))

    def call() -> None:
        chain.invoke("x", {"callbacks": [watcher], "tags": ["chain"], "metadata": {"user": "ada"}})

    await anyio.to_thread.run_sync(call)
    (model,) = watcher.of("model")
    assert (model["metadata"]["user"], "chain" in model["tags"], model["parent_run_id"] is None) == ("ada", True, False)


async def test_callbacks_given_to_a_nested_graph_replace_those_around_it() -> None:
    outer, inner = Watcher(), Watcher()

    def node(state: MessagesState) -> None:
        one(_node(scripted("a"))).invoke(EMPTY, {"callbacks": [inner]})

    stream = one(node).astream(EMPTY, {"callbacks": [outer]}, stream_mode="messages", subgraphs=True)
    assert [c.content async for _, (c, _) in stream] == ["a", ""]
    assert (outer.count("model"), inner.count("model")) == (0, 1)


async def test_callbacks_of_a_wrong_kind_are_refused() -> None:
    with pytest.raises(TypeError, match=r"callbacks.*got 'loud'"):
        await one(_node(scripted("a"))).ainvoke(EMPTY, {"callbacks": "loud"})


async def test_what_is_called_finds_the_config_of_the_run() -> None:
    seen: list[Any] = []

    def look(_: Any, config: TheirConfig) -> None:
        seen.append(config)

    def node(state: MessagesState) -> None:
        RunnableLambda(look).invoke("x")

    given = {"configurable": {"user": "ada"}, "run_name": "mine", "recursion_limit": 7, "metadata": {"m": 1}}
    await one(node, metadata={"n": 2}).ainvoke(EMPTY, given)
    (config,) = seen
    assert (config["configurable"]["user"], config["recursion_limit"]) == ("ada", 7)
    assert config["metadata"].items() >= {**get_place(config), "m": 1, "n": 2}.items()
    assert "run_name" not in config


def get_place(config: Any) -> dict[str, Any]:
    keys = ("step", "node", "triggers", "path", "checkpoint_ns")
    return {f"langgraph_{key}": config["metadata"][f"langgraph_{key}"] for key in keys}


async def test_a_run_s_own_id_is_not_that_of_the_calls_in_it() -> None:
    watcher = Watcher()

    def node(state: MessagesState, config: TheirConfig) -> None:
        for _ in range(2):
            scripted("a").invoke("x", config)

    given = {"callbacks": [watcher], "run_id": "0197a0a0-0000-7000-8000-000000000000", "run_name": "mine"}
    assert await tokens(one(node), config=given) == ["a", "a"]
    first, second = (details["run_id"] for details in watcher.of("model"))
    assert first != second


async def test_tools_have_the_writer() -> None:
    @tool
    def work(x: str) -> str:
        """Work."""
        get_stream_writer()(f"working on {x}")
        assert get_config()["metadata"]["langgraph_node"] == "node"
        return x

    def node(state: MessagesState) -> None:
        work.invoke({"x": "it"})

    assert [c async for c in one(node).astream(EMPTY, stream_mode="custom")] == ["working on it"]


# ---------------------------------------------------------------- messages of both kinds


async def test_models_and_prompts_take_either_kind_of_message() -> None:
    prompt = ChatPromptTemplate([("system", "Be brief."), MessagesPlaceholder("messages")])
    seen: list[Any] = []

    def node(state: MessagesState) -> Any:
        seen.append(prompt.invoke({"messages": state["messages"]}).to_messages())
        return {"messages": [scripted("a").invoke(state["messages"]), ours.AIMessage("b")]}

    given = [("user", "x"), TheirHumanMessage("y"), {"role": "assistant", "content": "z"}]
    result = await one(node).ainvoke({"messages": given})
    assert [m.content for m in result["messages"]] == ["x", "y", "z", "a", "b"]
    assert [type(m).__name__ for m in seen[0]] == ["SystemMessage", "HumanMessage", "HumanMessage", "AIMessage"]
    assert {type(m).__module__.partition(".")[0] for m in seen[0]} == {"langchain_core"}


USAGE: Any = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
CALL: Any = {"name": "f", "args": {"x": 1}, "id": "c", "type": "tool_call"}
CALL_CHUNK: Any = {"name": "f", "args": '{"x":', "id": "c", "index": 0, "type": "tool_call_chunk"}


@pytest.mark.parametrize(
    "message",
    [
        ours.HumanMessage("x", id="1", name="ada"),
        ours.HumanMessage([{"type": "text", "text": "x"}]),
        ours.SystemMessage("x", additional_kwargs={"k": 1}),
        ours.AIMessage("x", tool_calls=[CALL], usage_metadata=USAGE, response_metadata={"m": "n"}),
        ours.ToolMessage("x", tool_call_id="c", status="error", artifact=[1]),
        ours.AIMessageChunk("x", tool_call_chunks=[CALL_CHUNK], id="1"),
        ours.AIMessageChunk("", chunk_position="last"),
        ours.RemoveMessage(id="1"),
    ],
    ids=lambda m: type(m).__name__,
)
def test_a_message_keeps_what_it_holds(message: Any) -> None:
    theirs = to_langchain(message)
    assert type(theirs).__name__ == type(message).__name__
    names = ("id", "name", "additional_kwargs", "response_metadata", "tool_calls", "tool_call_chunks")
    for name in (*names, "content", "usage_metadata", "tool_call_id", "status", "artifact", "chunk_position", "type"):
        assert getattr(theirs, name, None) == getattr(message, name, None), name


def test_a_class_of_one_s_own_becomes_the_nearest_one() -> None:
    class Shout(ours.HumanMessage):
        pass

    assert type(to_langchain(Shout("x"))) is TheirHumanMessage
    with pytest.raises(MessageError, match="no message like"):
        to_langchain(ours.BaseMessage("x"))


# ---------------------------------------------------------------- being there or not


def test_importing_penstock_does_not_import_langchain() -> None:
    code = (
        "import sys, penstock.graph, penstock.integrations.langchain\n"
        "from penstock.graph import START, MessagesState, StateGraph\n"
        "graph = StateGraph(MessagesState).add_node('n', lambda s: None).add_edge(START, 'n').compile()\n"
        "graph.invoke({'messages': []})\n"
        "assert not [name for name in sys.modules if name.startswith('langchain')]\n"
        "assert 'penstock.integrations.langchain._context' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_node_may_import_langchain_itself_after_activate() -> None:
    code = (
        "from penstock.graph import START, MessagesState, StateGraph\n"
        "from penstock.integrations.langchain import activate\n"
        "activate()\n"
        "def n(state):\n"
        "    from langchain_core.language_models import GenericFakeChatModel\n"
        "    GenericFakeChatModel(messages=iter(['Hello there'])).invoke('x')\n"
        "graph = StateGraph(MessagesState).add_node('n', n).add_edge(START, 'n').compile()\n"
        "chunks = list(graph.stream({'messages': []}, stream_mode='messages'))\n"
        "assert ''.join(c.content for c, _ in chunks) == 'Hello there', chunks\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_langchain_the_text_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_context", "_messages", "_handler"):
        monkeypatch.delitem(sys.modules, f"penstock.integrations.langchain.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "langchain_core.callbacks", None)
    monkeypatch.setitem(sys.modules, "langchain_core.messages", None)
    for call in (activate, lambda: to_langchain(ours.HumanMessage("x"))):
        with pytest.raises(MissingExtraError, match=r"pip install penstock\[langchain\]"):
            call()


def test_activate_may_be_called_again_from_anywhere() -> None:
    threads = [threading.Thread(target=activate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stream = one(_node(scripted("a", "b"))).stream(EMPTY, stream_mode="messages")
    assert [chunk.content for chunk, _ in stream] == ["a", "b", ""]
