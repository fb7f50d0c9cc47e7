"""What LangChain runs inside of penstock's work, as events; and penstock's work, as LangChain's handlers hear of it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import UUID

import anyio
import anyio.to_thread
import pytest

pytest.importorskip("langchain_core")

from langchain_core.callbacks import BaseCallbackHandler, adispatch_custom_event, dispatch_custom_event
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.llms import LLM
from langchain_core.messages import AIMessage as TheirAIMessage
from langchain_core.messages import AIMessageChunk as TheirAIMessageChunk
from langchain_core.messages import HumanMessage as TheirHumanMessage
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import (
    RunnableConfig,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.tools import tool as their_tool

import penstock.runnables as ours
from penstock.errors import WrongBackendError
from penstock.graph import START, MessagesState, StateGraph
from penstock.integrations.langchain._observer import LangChainSpan
from penstock.messages import AIMessage, AIMessageChunk
from penstock.models import stream_tokens
from penstock.prebuilt import ToolNode
from penstock.runtime import Observer, current_span, observe
from penstock.runtime import adispatch_custom_event as our_adispatch
from penstock.testing import FakeOpenAIServer
from penstock.testing import ScriptedChatModel as OurModel
from penstock.tools import tool
from tests.golden import cases, models
from tests.golden.cases import _events, events_inside, events_tools
from tests.golden.harness import EVENTS, Outcome, events, perform
from tests.golden.normalise import as_line, renumber
from tests.golden.test_events import compared, difference, is_error_event

from ._langchain import one, scripted

assert cases  # registers them

EMPTY: dict[str, Any] = {"messages": []}

on_asyncio = pytest.mark.backends("asyncio", "asyncio+eager", "asyncio+uvloop")


def chain_of(*pieces: Any, **settings: Any) -> Any:
    """prompt | model | parser."""
    return ChatPromptTemplate.from_template("say {x}") | scripted(*pieces or ("a", "b"), **settings) | StrOutputParser()


CHAIN = ["RunnableSequence", "ChatPromptTemplate", "ScriptedChatModel", "StrOutputParser"]


def under(path: str, *names: str) -> list[str]:
    """The paths of a chain's run, and of those directly below it."""
    first, *others = names or CHAIN
    return [f"{path}/{first}", *(f"{path}/{first}/{name}" for name in others)]


async def collect(stream: Any) -> list[Any]:
    return [event async for event in stream]


def paths(events: list[Any]) -> list[str]:
    """The runs in the order of their starts, as paths of names; each has all its parents, and one end."""
    seen: dict[str, str] = {}
    ends: list[str] = []
    for event in events:
        kind = event["event"].rpartition("_")[2]
        if kind == "start":
            assert event["run_id"] not in seen
            names = [*(seen[ident].rpartition("/")[2] for ident in event["parent_ids"]), event["name"]]
            seen[event["run_id"]] = "/".join(names).replace("LangGraph", "graph")
        elif kind in ("end", "error"):
            ends.append(event["run_id"])
    assert sorted(ends) == sorted(seen)
    return list(seen.values())


def of(events: list[Any], kind: str) -> list[Any]:
    return [event for event in events if event["event"] == kind]


# ---------------------------------------------------------------- the recordings


def summarization_tool(model: Any, *, by_hand: bool) -> Any:
    """The tool of the guide, of LangChain's objects."""
    prompt = ChatPromptTemplate.from_template(
        "You are an expert writer. Summarize the following text in 10 words or less:\n\n{long_text}"
    )

    def reverse(x: str) -> str:
        return x[::-1]

    chain = prompt | model | StrOutputParser() | reverse

    @tool
    async def special_summarization_tool(long_text: str) -> str:
        """A tool that summarizes input text using advanced techniques."""
        return str(await chain.ainvoke({"long_text": long_text}))

    @tool
    async def special_summarization_tool_with_config(long_text: str, config: RunnableConfig) -> str:
        """A tool that summarizes input text using advanced techniques."""
        return str(await chain.ainvoke({"long_text": long_text}, config=config))

    return special_summarization_tool_with_config if by_hand else special_summarization_tool


GUIDE = EVENTS["s004_tool_events"]


async def check_guide(name: str, model: Any, *, by_hand: bool) -> None:
    kinds = {"chat_model_end": "on_chat_model_end", "chat_model_stream": "on_chat_model_stream"}
    kind = next((kind for suffix, kind in kinds.items() if name.endswith(suffix)), None)
    only = None if kind is None else lambda event: event["event"] == kind
    subject = summarization_tool(model, by_hand=by_hand)
    got, _ = await perform(events(subject, {"long_text": events_tools.LONG_TEXT}, only=only, name=name))
    assert difference(GUIDE, name, got, GUIDE.recorded()) == ""


@on_asyncio
@pytest.mark.parametrize(
    "name",
    [
        *("naive_chat_model_end", "naive_all_events"),
        *("with_config_chat_model_end", "with_config_chat_model_stream", "with_config_all_events"),
    ],
)
async def test_the_guide_s_tool_gives_the_recorded_events(name: str) -> None:
    await check_guide(name, scripted(*events_tools.SUMMARY), by_hand=name.startswith("with_config"))


@pytest.mark.backends("asyncio", "asyncio+uvloop")
async def test_the_guide_s_tool_with_chat_openai_gives_the_recorded_events() -> None:
    chat_openai = pytest.importorskip("langchain_openai").ChatOpenAI
    if not hasattr(BaseChatModel, "_get_ls_params_with_defaults"):
        pytest.skip("the first versions of langchain-core 1 do not mark the last chunk of a provider that does not")
    with FakeOpenAIServer([events_tools.SUMMARY]) as server:
        model = chat_openai(model="gpt-4o-mini", api_key="not-needed", base_url=server.base_url, stream_usage=False)
        await check_guide("openai_loopback_all_events", model, by_hand=True)


STEPS = {
    step.__name__: step
    for step in (ChatPromptTemplate, JsonOutputParser, StrOutputParser, RunnableLambda, RunnableParallel)
}


@pytest.fixture
def their_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the graphs of the recorded cases call LangChain's models and chains."""
    for module in (_events, events_inside):
        for name, step in STEPS.items():
            monkeypatch.setattr(module, name, step, raising=False)
        monkeypatch.setattr(module, "adispatch_custom_event", adispatch_custom_event, raising=False)
        monkeypatch.setattr(module, "dispatch_custom_event", dispatch_custom_event, raising=False)
    monkeypatch.setattr(models, "ROOT", "langgraph")
    monkeypatch.setattr(models, "AIMessageChunk", TheirAIMessageChunk)


@on_asyncio
@pytest.mark.usefixtures("their_steps")
@pytest.mark.parametrize("case", ["ev_graph_models", "ev_graph_chains", "ev_graph_custom"])
async def test_what_nodes_call_gives_the_recorded_events(case: str) -> None:
    recorded = EVENTS[case].recorded()
    for run in EVENTS[case].runs().values():
        got, _ = await perform(run)
        assert difference(EVENTS[case], run.name, got, recorded) == "", run.name


# ---------------------------------------------------------------- the same as LangChain's own events


async def exclaim(text: str) -> str:
    await adispatch_custom_event("exclaiming", {"text": text})
    return f"{text}!"


async def dotted(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    async for piece in pieces:
        yield f"{piece}."


@their_tool
async def asking(question: str) -> str:
    """Ask."""
    return str(await chain_of().ainvoke({"x": question}))


@their_tool
def failing(question: str) -> str:
    """Fail."""
    raise ValueError("tool boom")


async def tolerant(text: str) -> str:
    with pytest.raises(ValueError, match="boom"):
        await failing.ainvoke({"type": "tool_call", "name": "failing", "args": {"question": "x"}, "id": "c1"})
    return text


class Echo(LLM):
    """A model that completes text."""

    @property
    def _llm_type(self) -> str:
        return "echo"

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        return prompt.upper()


class Shelf(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Any]:
        return []


CHAINS: dict[str, Callable[[], Any]] = {
    "function": lambda: chain_of() | exclaim,
    "generator": lambda: chain_of() | RunnableGenerator(dotted),
    "parallel": lambda: RunnableParallel(a=chain_of()) | (lambda d: d["a"]),
    "assign": lambda: RunnablePassthrough.assign(y=RunnableLambda(lambda d: "q")) | RunnableLambda(lambda d: d["y"]),
    "tool": lambda: RunnableLambda(lambda _: {"question": "u"}) | asking,
    "tool error": lambda: RunnableLambda(lambda _: "s") | tolerant,
    "chain made by a function": lambda: RunnableLambda(lambda _: chain_of()),
    "labels": lambda: chain_of(tags=["mt"], metadata={"mm": 1}).with_config(
        run_name="named", tags=["wt"], metadata={"wm": 1}
    ),
    "fallbacks": lambda: chain_of("a", ValueError("x")).with_fallbacks([chain_of("b", "c")]) | str.upper,
    "json": lambda: (
        ChatPromptTemplate.from_template("{x}") | scripted('{"a":', " [1", "2,3]}") | JsonOutputParser() | str
    ),
    "no streaming": lambda: chain_of(disable_streaming=True),
    "completion": lambda: ChatPromptTemplate.from_template("{x}") | Echo() | StrOutputParser(),
    "retriever": lambda: RunnableLambda(lambda _: "query") | Shelf() | str,
    "error": lambda: chain_of("a", KeyError("k"), "b"),
}


async def called(chain: Any, config: Any) -> str:
    return str(await chain.ainvoke({"x": "1"}, config))


async def streamed(chain: Any, config: Any) -> str:
    return "".join([str(piece) async for piece in chain.astream({"x": "1"}, config)])


async def called_in_thread(chain: Any, config: Any) -> str:
    return str(await asyncio.to_thread(chain.invoke, {"x": "1"}, config))


async def called_inline(chain: Any, config: Any) -> str:
    return str(chain.invoke({"x": "1"}, config))


async def streamed_inline(chain: Any, config: Any) -> str:
    return "".join(str(piece) for piece in chain.stream({"x": "1"}, config))


WAYS = {way.__name__: way for way in (called, streamed, called_in_thread, called_inline, streamed_inline)}
# Not to be called from plain code, or in threads that race there.
ASYNC_ONLY = {"assign", "function", "generator", "tool", "tool error"}


def by_config(make: Any, chain: Any, way: Any) -> Any:
    async def work(x: str, config: RunnableConfig) -> str:
        """Work."""
        return str(await way(chain, config))

    return make(work)


def by_context(make: Any, chain: Any, way: Any) -> Any:
    async def work(x: str) -> str:
        """Work."""
        return str(await way(chain, None))

    return make(work)


def lines(outcome: Outcome) -> list[str]:
    told = renumber([event for event in outcome["chunks"] if not is_error_event(event)])
    for event in told:
        if event["event"] == "on_tool_error" and event["data"].get("tool_call_id") is None:
            event["data"].pop("tool_call_id", None)  # the first versions of langchain-core 1 do not say it
    return [*map(as_line, told), str(outcome["error"])]


@pytest.mark.backends("asyncio", "asyncio+uvloop")
@pytest.mark.parametrize("wrap", [by_context, by_config])
@pytest.mark.parametrize(
    ("chain", "way"),
    [(c, w) for c in CHAINS for w in WAYS if not (c in ASYNC_ONLY and w not in ("called", "streamed"))],
)
async def test_events_are_those_of_a_tool_of_langchain_s(chain: str, way: str, wrap: Any) -> None:
    config = {"tags": ["ct"], "metadata": {"cm": 1}}
    told = [
        lines((await perform(events(wrap(make, CHAINS[chain](), WAYS[way]), {"x": "1"}, config, name="run")))[0])
        for make in (their_tool, tool)
    ]
    assert compared(*told) == ""


@on_asyncio
@pytest.mark.parametrize(
    "filters",
    [
        {"include_types": ["chat_model"]},
        {"include_types": ["llm", "parser"]},
        {"include_names": ["exclaim", "exclaiming"]},
        {"include_tags": ["seq:step:2"]},
        {"exclude_types": ["chat_model", "prompt"]},
        {"exclude_tags": ["seq:step:1"], "exclude_names": ["exclaiming"]},
    ],
    ids=str,
)
async def test_filters_are_applied_to_them(filters: Any) -> None:
    subject = by_context(tool, chain_of() | exclaim, called)
    every = [e for e in await collect(subject.astream_events({"x": "1"}, version="v2")) if wanted(e, filters)]
    some = await collect(subject.astream_events({"x": "1"}, version="v2", **filters))
    assert every
    assert [(e["event"], e["name"]) for e in some] == [(e["event"], e["name"]) for e in every]


def wanted(event: Any, filters: Any) -> bool:
    kind = event["name"] if event["event"] == "on_custom_event" else event["event"][3:].rpartition("_")[0]
    facts = {"types": {kind}, "names": {event["name"]}, "tags": set(event["tags"])}
    matches = {key: bool(facts[key.partition("_")[2]] & set(values)) for key, values in filters.items()}
    excluded = any(hit for key, hit in matches.items() if key.startswith("exclude"))
    included = [hit for key, hit in matches.items() if key.startswith("include")]
    return not excluded and (any(included) if included else True)


@on_asyncio
async def test_a_model_streams_only_if_its_chunks_are_wanted() -> None:
    for filters, made in (({"include_types": ["parser"]}, ["generate", "a", "b"]), ({}, ["a", "b"])):
        model = scripted("a", "b")
        chain = ChatPromptTemplate.from_template("{x}") | model | StrOutputParser()
        subject = by_context(tool, chain, called)
        assert await collect(subject.astream_events({"x": "1"}, version="v2", **filters))
        assert model.log == made


# ---------------------------------------------------------------- (a) in a node


async def async_node(state: MessagesState) -> Any:
    return {"messages": [TheirAIMessage(await chain_of().ainvoke({"x": "1"}))]}


async def async_node_by_hand(state: MessagesState, config: RunnableConfig) -> Any:
    return {"messages": [TheirAIMessage(await chain_of().ainvoke({"x": "1"}, config))]}


def sync_node(state: MessagesState) -> Any:
    return {"messages": [TheirAIMessage(chain_of().invoke({"x": "1"}))]}


def sync_node_by_hand(state: MessagesState, config: RunnableConfig) -> Any:
    return {"messages": [TheirAIMessage(chain_of().invoke({"x": "1"}, config))]}


async def inline_node(state: MessagesState) -> Any:
    return sync_node(state)


EVERYWHERE = [sync_node, sync_node_by_hand, inline_node]


async def check_in_node(node: Any) -> None:
    told = await collect(one(node).astream_events(EMPTY, {"tags": ["t"], "metadata": {"m": 1}}, version="v2"))
    assert paths(told) == ["graph", "graph/node", *under("graph/node")]
    assert [e["data"]["chunk"].content for e in of(told, "on_chat_model_stream")] == ["a", "b", ""]
    (chain,) = [e for e in of(told, "on_chain_start") if e["name"] == "RunnableSequence"]
    (model,) = of(told, "on_chat_model_start")
    assert (chain["tags"], model["tags"]) == (["seq:step:1", "t"], ["seq:step:2", "t"])
    assert model["metadata"].items() >= {"m": 1, "langgraph_node": "node", "ls_provider": "fake"}.items()


@pytest.mark.parametrize("node", EVERYWHERE)
async def test_in_a_node(node: Any) -> None:
    await check_in_node(node)


@on_asyncio
@pytest.mark.parametrize("node", [async_node, async_node_by_hand])
async def test_in_an_async_node(node: Any) -> None:
    await check_in_node(node)


async def test_in_a_node_of_a_subgraph() -> None:
    told = await collect(one(one(sync_node)).astream_events(EMPTY, version="v2"))
    inner = "graph/node/graph/node"
    assert paths(told) == ["graph", "graph/node", "graph/node/graph", inner, *under(inner)]


async def test_in_a_router() -> None:
    def router(state: MessagesState) -> str:
        return "end" if chain_of("x").invoke({"x": "1"}) == "x" else "other"

    builder = StateGraph(MessagesState).add_node("start", lambda _: None).add_node("end", lambda _: None)
    builder.add_edge(START, "start").add_conditional_edges("start", router, ["end"])
    told = await collect(builder.compile().astream_events(EMPTY, version="v2"))
    assert paths(told) == [
        *("graph", "graph/start", "graph/start/router"),
        *under("graph/start/router"),
        "graph/end",
    ]


async def test_nodes_at_once_keep_to_their_own() -> None:
    builder = StateGraph(MessagesState)
    for name in ("x", "y"):
        builder.add_node(name, sync_node).add_edge(START, name)
    told = await collect(builder.compile().astream_events(EMPTY, version="v2"))
    assert sorted(paths(told)) == sorted(["graph", "graph/x", *under("graph/x"), "graph/y", *under("graph/y")])


async def test_messages_and_events_of_one_call_at_once() -> None:
    inner = one(sync_node)
    shown: list[str] = []

    async def node(state: MessagesState) -> None:
        shown.extend([c.content async for c, _ in inner.astream(EMPTY, stream_mode="messages")])

    told = await collect(one(node).astream_events(EMPTY, version="v2"))
    assert shown == ["a", "b", "", "ab"]  # the message that the node returns is another one
    assert [e["data"]["chunk"].content for e in of(told, "on_chat_model_stream")] == ["a", "b", ""]


@pytest.mark.backends("trio")
async def test_the_async_api_says_on_trio_that_it_cannot_run() -> None:
    async def node(state: MessagesState) -> None:
        await chain_of().ainvoke({"x": "1"})

    told: list[Any] = []
    with pytest.raises(WrongBackendError, match="asyncio only"):
        async for event in one(node).astream_events(EMPTY, version="v2"):
            told.append(event)
    assert paths(told) == ["graph", "graph/node", "graph/node/RunnableSequence"]


# ---------------------------------------------------------------- (b) in a tool of ours


@tool
def plain_tool(x: str) -> str:
    """Run a chain in a thread."""
    return str(chain_of().invoke({"x": x}))


@tool
def plain_tool_by_hand(x: str, config: RunnableConfig) -> str:
    """Run a chain in a thread that is given the config."""
    return str(chain_of().invoke({"x": x}, config))


async def test_in_a_plain_tool() -> None:
    assert paths(await collect(plain_tool.astream_events({"x": "1"}, version="v2"))) == [
        "plain_tool",
        *under("plain_tool"),
    ]
    told = paths(await collect(plain_tool_by_hand.astream_events({"x": "1"}, version="v2")))
    assert told == ["plain_tool_by_hand", *(path.removeprefix("/") for path in under(""))]


def calling(name: str) -> dict[str, Any]:
    call = {"name": name, "args": {"x": "1"}, "id": "c1", "type": "tool_call"}
    return {"messages": [AIMessage("", tool_calls=[call])]}


def tools_graph(*tools: Any) -> Any:
    return StateGraph(MessagesState).add_node("tools", ToolNode([*tools])).add_edge(START, "tools").compile()


async def test_in_a_tool_of_a_graph() -> None:
    told = await collect(tools_graph(plain_tool).astream_events(calling("plain_tool"), version="v2"))
    assert paths(told) == [
        *("graph", "graph/tools", "graph/tools/plain_tool"),
        *under("graph/tools/plain_tool"),
    ]
    told = await collect(tools_graph(plain_tool_by_hand).astream_events(calling("plain_tool_by_hand"), version="v2"))
    assert paths(told) == ["graph", "graph/tools", "graph/tools/plain_tool_by_hand", *under("graph/tools")]


# ---------------------------------------------------------------- (c) as a step of a chain of ours


@on_asyncio
@pytest.mark.parametrize("inner", [None, "node"])
async def test_as_a_step_of_our_chain(inner: str | None) -> None:
    chain = ours.ChatPromptTemplate.from_template("say {x}") | scripted("a", "b") | StrOutputParser() | str.upper

    async def node(state: MessagesState) -> None:
        assert await chain.ainvoke({"x": "1"}) == "AB"

    steps = ["RunnableSequence", "ChatPromptTemplate", "ScriptedChatModel", "StrOutputParser", "upper"]
    if inner is None:
        told = await collect(chain.astream_events({"x": "1"}, version="v2"))
        assert paths(told) == [p.removeprefix("/") for p in under("", *steps)]
    else:
        told = await collect(one(node).astream_events(EMPTY, version="v2"))
        assert paths(told) == ["graph", "graph/node", *under("graph/node", *steps)]
    (model,) = of(told, "on_chat_model_start")
    assert model["tags"] == ["seq:step:2"]
    assert [e["data"]["chunk"].content for e in of(told, "on_chat_model_stream")] == ["a", "b", ""]


# ---------------------------------------------------------------- (d) objects of ours inside of LangChain's


@tool
def our_tool(x: str) -> str:
    """Ask our model."""
    return str(OurModel(["c d"]).invoke(x).content)


def our_graph() -> Any:
    return (
        StateGraph(MessagesState)
        .add_node("inner", lambda _: our_tool.invoke("1") and None)
        .add_edge(START, "inner")
        .compile(name="ours")
    )


OURS: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "model": (lambda config: OurModel(["c d"]).invoke("1", config), ["ScriptedChatModel"]),
    "tool": (lambda config: our_tool.invoke({"x": "1"}, config), ["our_tool", "our_tool/ScriptedChatModel"]),
    "chain": (
        lambda config: (ours.RunnableLambda(str.upper) | our_tool).invoke("1", config),
        [
            *("RunnableSequence", "RunnableSequence/upper", "RunnableSequence/our_tool"),
            "RunnableSequence/our_tool/ScriptedChatModel",
        ],
    ),
    "graph": (
        lambda config: our_graph().invoke(EMPTY, config),
        ["ours", "ours/inner", "ours/inner/our_tool", "ours/inner/our_tool/ScriptedChatModel"],
    ),
    "LangChain's again": (
        lambda config: plain_tool.invoke({"x": "1"}, config),
        ["plain_tool", *under("plain_tool")],
    ),
}


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("what", OURS)
async def test_ours_inside_of_langchain_s(what: str, by_hand: bool) -> None:
    call, expected = OURS[what]

    def step(x: Any, config: RunnableConfig) -> Any:
        return call(config if by_hand else None)

    def node(state: MessagesState) -> None:
        (RunnableLambda(lambda _: "1") | RunnableLambda(step)).invoke("x", {"tags": ["ct"], "metadata": {"cm": 1}})

    told = await collect(one(node).astream_events(EMPTY, version="v2"))
    above = "graph/node/RunnableSequence"
    assert paths(told) == [
        *("graph", "graph/node", above, f"{above}/RunnableLambda", f"{above}/step"),
        *(f"{above}/step/{path}" for path in expected),
    ]
    inner = [e for e in told if e["event"].endswith("_start") and len(e["parent_ids"]) == 4][0]
    assert "ct" in inner["tags"]
    assert inner["metadata"].items() >= {"cm": 1, "langgraph_node": "node"}.items() or what == "graph"


@on_asyncio
async def test_ours_inside_of_langchain_s_tool_and_async_function() -> None:
    if not hasattr(asyncio, "Runner"):
        pytest.skip("LangChain does not carry its context into async functions on Python 3.10")

    @their_tool
    async def theirs(x: str) -> str:
        """Ask our model."""
        return str((await OurModel(["c d"]).ainvoke(x)).content)

    async def step(x: str) -> Any:
        return await theirs.ainvoke({"x": x})

    async def node(state: MessagesState) -> None:
        await RunnableLambda(step).ainvoke("x")

    told = await collect(one(node).astream_events(EMPTY, version="v2"))
    assert paths(told)[2:] == [
        *("graph/node/step", "graph/node/step/theirs", "graph/node/step/theirs/ScriptedChatModel")
    ]


async def test_the_current_span_is_the_run_of_langchain_s() -> None:
    seen: list[Any] = []

    def step(x: Any) -> None:
        seen.append(current_span())

    class Log(Observer):
        pass

    def call() -> None:
        RunnableLambda(step).invoke("x")

    with observe(Log()):
        call()
        RunnableLambda(lambda _: seen.append(current_span()), name="again").invoke("x")
    assert [(span.kind, span.name) for span in seen] == [("chain", "step"), ("chain", "again")]


@on_asyncio
async def test_custom_events_from_either_side() -> None:
    async def step(x: Any, config: RunnableConfig) -> None:
        await adispatch_custom_event("theirs", 1, config=config)
        await our_adispatch("ours", 2, config=config)

    async def node(state: MessagesState, config: RunnableConfig) -> None:
        await adispatch_custom_event("node", 0)
        await adispatch_custom_event("node", 0, config=config)
        await RunnableLambda(step).ainvoke("x")

    told = await collect(one(node).astream_events(EMPTY, version="v2"))
    ids = {event["run_id"]: event["name"] for event in told if event["event"].endswith("_start")}
    assert [(e["name"], e["data"], ids[e["run_id"]], e["tags"]) for e in of(told, "on_custom_event")] == [
        ("node", 0, "node", ["seq:step:1"]),
        ("node", 0, "node", ["seq:step:1"]),
        ("theirs", 1, "step", []),
        ("ours", 2, "step", []),
    ]


# ---------------------------------------------------------------- (e) LangChain's tools in our node


@their_tool
def their_plain(x: str) -> str:
    """Run a chain."""
    return str(chain_of().invoke({"x": x}))


@their_tool
def their_failure(x: str) -> str:
    """Fail."""
    raise ValueError("tool boom")


async def test_a_tool_of_langchain_s_in_the_tool_node() -> None:
    told = await collect(tools_graph(their_plain).astream_events(calling("their_plain"), {"tags": ["t"]}, version="v2"))
    assert paths(told) == [
        *("graph", "graph/tools", "graph/tools/their_plain"),
        *under("graph/tools/their_plain"),
    ]
    (started,), (ended,) = of(told, "on_tool_start"), of(told, "on_tool_end")
    assert (started["data"], started["tags"]) == ({"input": {"x": "1"}}, ["seq:step:1", "t"])
    assert (ended["data"]["output"].content, ended["data"]["output"].tool_call_id) == ("ab", "c1")


async def test_a_tool_of_langchain_s_that_fails() -> None:
    told: list[Any] = []
    with pytest.raises(ValueError, match="tool boom"):
        async for event in tools_graph(their_failure).astream_events(calling("their_failure"), version="v2"):
            told.append(event)
    (failed,) = of(told, "on_tool_error")
    assert (str(failed["data"]["error"]), failed["data"]["input"]) == ("tool boom", {"x": "1"})
    assert [event["name"] for event in told if event["event"].endswith("_error")] == [
        "their_failure",
        "tools",
        "LangGraph",
    ]


# ---------------------------------------------------------------- errors, leaving, backpressure


async def test_each_run_that_fails_says_so() -> None:
    def node(state: MessagesState) -> None:
        chain_of("a", KeyError("down")).invoke({"x": "1"})

    told: list[Any] = []
    with pytest.raises(KeyError, match="down"):
        async for event in one(node).astream_events(EMPTY, version="v2"):
            told.append(event)
    failed = [event for event in told if event["event"].endswith("_error")]
    assert [event["name"] for event in failed] == ["ScriptedChatModel", "RunnableSequence", "node", "LangGraph"]
    assert {str(event["data"]["error"]) for event in failed} == {"'down'"}
    assert [event["name"] for event in told if event["event"].endswith("_end")] == ["ChatPromptTemplate"]


@on_asyncio
@pytest.mark.parametrize("way", [called, streamed])
async def test_who_leaves_early_leaves_nothing_behind(way: Any) -> None:
    model = scripted(*["x"] * 1000)
    chain = ChatPromptTemplate.from_template("{x}") | model | StrOutputParser()
    async with by_context(tool, chain, way).astream_events({"x": "1"}, version="v2", high_water_mark=4) as run:
        async for event in run:
            if event["event"] == "on_chat_model_stream":
                break
    made = len(model.log)
    await anyio.sleep(0.01)
    assert len(model.log) == made < 100


async def test_who_leaves_a_thread_early_ends_it() -> None:
    model = scripted(*["x"] * 1000)

    def node(state: MessagesState) -> None:
        (ChatPromptTemplate.from_template("{x}") | model).invoke({"x": "1"})

    async with one(node).astream_events(EMPTY, version="v2", high_water_mark=4) as run:
        async for event in run:
            if event["event"] == "on_chat_model_stream":
                break
    assert len(model.log) < 100


@on_asyncio
@pytest.mark.parametrize("way", [called, streamed])
@pytest.mark.virtual_time
async def test_a_slow_reader_holds_the_model_back(way: Any) -> None:
    model = scripted(*["x"] * 200)
    chain = ChatPromptTemplate.from_template("{x}") | model | StrOutputParser()
    seen = 0
    async with by_context(tool, chain, way).astream_events({"x": "1"}, version="v2", high_water_mark=4) as run:
        async for event in run:
            seen += event["event"] == "on_chat_model_stream"
            await anyio.sleep(0.01)
            assert len(model.log) <= seen + 12
        assert seen == 201
        assert run.statistics().peak <= 16


async def test_a_slow_reader_holds_back_a_model_in_a_node_s_thread() -> None:
    model = scripted(*["x"] * 60)

    def node(state: MessagesState) -> None:
        model.invoke("x")

    seen = 0
    async with one(node).astream_events(EMPTY, version="v2", high_water_mark=4) as run:
        async for event in run:
            if event["event"] == "on_chat_model_stream":
                seen += 1
                if seen == 1:
                    await anyio.sleep(0.05)
                assert len(model.log) <= seen + 12
        assert run.statistics().peak <= 16
    assert seen == 61


def live_spans() -> list[Any]:
    gc.collect()
    return [found for found in gc.get_objects() if isinstance(found, LangChainSpan)]


@on_asyncio
async def test_nothing_is_kept_of_what_has_run() -> None:
    subject = by_context(tool, chain_of() | exclaim, streamed)
    assert await collect(subject.astream_events({"x": "1"}, version="v2"))
    assert live_spans() == []
    async with subject.astream_events({"x": "1"}, version="v2") as run:
        async for event in run:
            if event["event"] == "on_parser_stream":
                break
    del run, event
    await anyio.sleep(0.01)  # asyncio closes the generators that LangChain has left
    assert live_spans() == []


@on_asyncio
async def test_an_id_that_is_no_uuid_stays_the_root_s() -> None:
    subject = by_context(tool, chain_of(), called)
    handler = Runs()
    config: Any = {"run_id": "mine", "callbacks": [handler]}
    told = await collect(subject.astream_events({"x": "1"}, config, version="v2"))
    assert paths(told) == [*handler.paths.values()] == ["work", *under("work")]
    assert told[0]["run_id"] == told[1]["parent_ids"][0] == "mine"


class NoTruth:
    """Compares with nothing and is neither true nor false, as arrays are."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


async def test_values_are_neither_compared_nor_asked_for_their_truth() -> None:
    def node(state: MessagesState) -> None:
        for value in (NoTruth(), {"input": NoTruth()}):
            RunnableLambda(lambda x: x, name="array").invoke(value)

    told = await collect(one(node).astream_events(EMPTY, version="v2"))
    assert paths(told) == ["graph", "graph/node", "graph/node/array", "graph/node/array"]


# ---------------------------------------------------------------- LangChain's handlers


class Runs(BaseCallbackHandler):
    """Notes runs as paths of names; each has a parent that it was told of before, and one end."""

    def __init__(self) -> None:
        self.paths: dict[UUID, str] = {}
        self.ended: dict[str, Any] = {}
        self.started: dict[str, Any] = {}
        self.custom: list[Any] = []

    def _start(self, run_id: UUID, parent_run_id: UUID | None, name: str, **told: Any) -> None:
        assert run_id not in self.paths
        above = "" if parent_run_id is None else f"{self.paths[parent_run_id]}/"
        self.paths[run_id] = path = (above + name).replace("LangGraph", "graph")
        self.started[path] = told

    def _end(self, run_id: UUID, outcome: Any) -> None:
        assert self.paths[run_id] not in self.ended
        self.ended[self.paths[run_id]] = outcome

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: Any, parent_run_id: Any = None, **t: Any) -> None:
        self._start(run_id, parent_run_id, t.pop("name"), inputs=inputs, **t)

    def on_tool_start(
        self, serialized: Any, input_str: Any, *, run_id: Any, parent_run_id: Any = None, **t: Any
    ) -> None:
        self._start(run_id, parent_run_id, t.pop("name", None) or serialized["name"], input_str=input_str, **t)

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: Any, parent_run_id: Any = None, **t: Any
    ) -> None:
        self._start(run_id, parent_run_id, t.pop("name", None) or serialized["id"][-1], messages=messages, **t)

    def on_chain_end(self, outputs: Any, *, run_id: Any, **told: Any) -> None:
        self._end(run_id, outputs)

    on_tool_end = on_llm_end = on_chain_end

    def on_chain_error(self, error: Any, *, run_id: Any, **told: Any) -> None:
        self._end(run_id, error)

    on_tool_error = on_llm_error = on_chain_error

    def on_custom_event(self, name: str, data: Any, *, run_id: Any, **told: Any) -> None:
        self.custom.append((name, data, self.paths[run_id]))


class Tokens(Runs):
    def __init__(self) -> None:
        super().__init__()
        self.tokens: list[tuple[str, str]] = []

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: Any, **told: Any) -> None:
        assert chunk.message.content == token
        self.tokens.append((self.paths[run_id], token))


USAGE: Any = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}


def our_model() -> Any:
    chunks = [AIMessageChunk("c"), AIMessageChunk(" d", usage_metadata=USAGE)]
    return OurModel([chunks], cycle=True, provider="fake", model_name="fake-model")


def our_chain() -> Any:
    return ours.ChatPromptTemplate.from_template("{x}") | our_model() | ours.StrOutputParser() | str.upper


def whole_graph() -> Any:
    async def chains(state: MessagesState) -> Any:
        assert await our_chain().ainvoke({"x": "1"}) == "C D"
        await our_adispatch("progress", 50)
        return calling("our_tool")

    async def last(state: MessagesState) -> Any:
        RunnableLambda(lambda _: our_tool.invoke("1"), name="theirs").invoke("x")

    builder = StateGraph(MessagesState).add_node(chains).add_node("tools", ToolNode([our_tool])).add_node(last)
    builder.add_edge(START, "chains").add_edge("chains", "tools").add_edge("tools", "last")
    return builder.compile(name="whole")


WHOLE = [
    *("whole", "whole/chains"),
    *under("whole/chains", "RunnableSequence", "ChatPromptTemplate", "ScriptedChatModel", "StrOutputParser", "upper"),
    *("whole/tools", "whole/tools/our_tool", "whole/tools/our_tool/ScriptedChatModel"),
    *("whole/last", "whole/last/theirs", "whole/last/theirs/our_tool", "whole/last/theirs/our_tool/ScriptedChatModel"),
]


async def test_a_handler_hears_of_the_whole_tree() -> None:
    handler = Runs()
    await whole_graph().ainvoke(EMPTY, {"callbacks": [handler], "tags": ["t"], "metadata": {"m": 1}})
    assert [*handler.paths.values()] == WHOLE
    assert set(handler.ended) == set(WHOLE)
    chain = "whole/chains/RunnableSequence"
    model = handler.started[f"{chain}/ScriptedChatModel"]
    assert model["messages"] == [[TheirHumanMessage("1")]]
    assert (model["tags"], model["metadata"]["ls_provider"], model["metadata"]["m"]) == (["seq:step:2", "t"], "fake", 1)
    answer = handler.ended[f"{chain}/ScriptedChatModel"].generations[0][0].message
    assert (type(answer), answer.content, answer.usage_metadata) == (TheirAIMessage, "c d", USAGE)
    assert handler.started[f"{chain}/ChatPromptTemplate"]["run_type"] == "prompt"
    assert handler.started[f"{chain}/StrOutputParser"]["run_type"] == "parser"
    assert (handler.started[chain]["inputs"], handler.ended[chain]) == ({"x": "1"}, "C D")
    called = handler.started["whole/tools/our_tool"]
    assert (called["inputs"], called["tool_call_id"]) == ({"x": "1"}, "c1")
    assert type(handler.ended["whole/tools/our_tool"]).__module__.startswith("langchain_core")
    assert handler.custom == [("progress", 50, "whole/chains")]


async def test_a_handler_and_a_reader_of_events_see_the_same_tree() -> None:
    handler = Runs()
    told = await collect(whole_graph().astream_events(EMPTY, {"callbacks": [handler]}, version="v2"))
    assert paths(told) == [*handler.paths.values()] == WHOLE
    assert [str(ident) for ident in handler.paths] == [e["run_id"] for e in told if e["event"].endswith("_start")]


@on_asyncio
async def test_a_handler_that_was_given_twice_hears_of_everything_once() -> None:
    handler = Runs()

    async def node(state: MessagesState, config: RunnableConfig) -> None:
        await our_chain().ainvoke({"x": "1"}, config)
        await RunnableLambda(lambda _: None, name="theirs").ainvoke("x", config)

    await one(node).ainvoke(EMPTY, {"callbacks": [handler, handler]})
    steps = ["RunnableSequence", "ChatPromptTemplate", "ScriptedChatModel", "StrOutputParser", "upper"]
    assert [*handler.paths.values()] == ["graph", "graph/node", *under("graph/node", *steps), "graph/node/theirs"]


async def test_streamed_steps_tell_their_input_in_the_end() -> None:
    handler, inputs = Runs(), []
    handler.on_chain_end = lambda outputs, **told: inputs.append(told.get("inputs"))  # type: ignore[method-assign]
    assert [piece async for piece in our_chain().astream({"x": "1"}, {"callbacks": [handler]})] == ["C D"]
    assert handler.started["RunnableSequence/StrOutputParser"]["inputs"] == {"input": ""}
    assert [getattr(value, "content", value) for value in inputs] == [None, "c d", "c d", {"x": "1"}]


async def test_tokens_of_a_model_that_streams_anyway() -> None:
    handler = Tokens()
    assert [c.content async for c in our_model().astream("1", {"callbacks": [handler]})] == ["c", " d", ""]
    assert handler.tokens == [("ScriptedChatModel", token) for token in ("c", " d", "")]
    (answer,) = handler.ended.values()
    assert answer.generations[0][0].message.usage_metadata == USAGE


async def test_a_handler_of_tokens_makes_no_model_stream() -> None:
    handler = Tokens()
    model = OurModel(["c d"])
    await model.ainvoke("1", {"callbacks": [handler]})
    assert handler.tokens == []


@pytest.mark.parametrize("handler", [Runs, Tokens])
async def test_a_stream_of_a_client_is_a_model_call(handler: Any) -> None:
    async def answer() -> AsyncIterator[AIMessageChunk]:
        for text in ("c", " d"):
            yield AIMessageChunk(text)

    async def node(state: MessagesState) -> None:
        assert [chunk.content async for chunk in stream_tokens(answer())] == ["c", " d"]

    heard = handler()
    await one(node).ainvoke(EMPTY, {"callbacks": [heard]})
    assert heard.ended["graph/node/stream_tokens"].generations[0][0].text == "c d"
    assert [text for _, text in getattr(heard, "tokens", [])] == (["c", " d", ""] if handler is Tokens else [])


class Streaming(Tokens):
    """A handler for which LangChain's models stream even if they are called."""

    def tap_output_iter(self, run_id: UUID, output: Iterator[Any]) -> Iterator[Any]:
        for chunk in output:
            self.tokens.append((self.paths[run_id], chunk))
            yield chunk

    async def tap_output_aiter(self, run_id: UUID, output: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for chunk in output:
            self.tokens.append((self.paths[run_id], chunk))
            yield chunk


async def test_a_handler_for_which_langchain_streams() -> None:
    handler = Streaming()
    await our_model().ainvoke("1", {"callbacks": [handler]})
    assert handler.tokens == [("ScriptedChatModel", token) for token in ("c", " d", "")]
    handler.tokens.clear()
    assert [piece async for piece in our_chain().astream({"x": "1"}, {"callbacks": [handler]})] == ["C D"]
    assert [(path, piece) for path, piece in handler.tokens if not path.endswith("Model")] == [
        *[("RunnableSequence/StrOutputParser", piece) for piece in ("c", " d", "")],
        *[("RunnableSequence/upper", "C D"), ("RunnableSequence", "C D")],
    ]


@on_asyncio
async def test_langchain_s_own_events_show_ours() -> None:
    async def step(x: Any, config: RunnableConfig) -> Any:
        return await one(async_node_by_hand).ainvoke(EMPTY, config)

    told = await collect(RunnableLambda(step).astream_events("x", version="v2"))
    assert paths(told) == ["step", "step/graph", "step/graph/node", *under("step/graph/node")]
    (shown,) = [event for event in of(told, "on_chain_stream") if event["name"] == "node"]
    assert shown["data"]["chunk"]["messages"][0].content == "ab"
    assert [event["data"]["chunk"].content for event in of(told, "on_chat_model_stream")] == ["a", "b", ""]


@on_asyncio
async def test_langchain_s_own_events_and_ours_at_once() -> None:
    async def step(x: Any, config: RunnableConfig) -> Any:
        inner = one(async_node_by_hand).astream_events(EMPTY, config, version="v2")
        seen.extend(await collect(inner))

    seen: list[Any] = []
    told = await collect(RunnableLambda(step).astream_events("x", version="v2"))
    assert paths(told) == ["step", "step/graph", "step/graph/node", *under("step/graph/node")]
    assert paths(seen) == ["graph", "graph/node", *under("graph/node")]
    for every in (told, seen):
        chunks = [e["data"]["chunk"] for e in of(every, "on_parser_stream") + of(every, "on_chat_model_stream")]
        assert [chunk.content for chunk in chunks] == ["a", "b", ""]


@pytest.mark.parametrize("what", OURS)
@pytest.mark.parametrize("by_hand", [False, True])
async def test_a_chain_of_langchain_s_around_ours(what: str, by_hand: bool) -> None:
    call, expected = OURS[what]
    handler = Runs()

    def step(x: Any, config: RunnableConfig) -> Any:
        return call(config if by_hand else None)

    def run() -> None:
        RunnableLambda(step).invoke("x", {"callbacks": [handler], "tags": ["ct"], "metadata": {"cm": 1}})

    await anyio.to_thread.run_sync(run)
    assert [*handler.paths.values()] == ["step", *(f"step/{path}" for path in expected)]
    assert set(handler.ended) == set(handler.paths.values())
    inner = handler.started[f"step/{expected[0]}"]
    assert ("ct" in inner["tags"], inner["metadata"]["cm"]) == (True, 1)


@on_asyncio
async def test_handlers_of_an_inner_chain_hear_of_what_is_in_it() -> None:
    outer, inner = Runs(), Runs()

    async def node(state: MessagesState) -> None:
        await RunnableLambda(lambda _: our_tool.invoke("1"), name="theirs").ainvoke("x", {"callbacks": [inner]})

    told = await collect(one(node).astream_events(EMPTY, {"callbacks": [outer]}, version="v2"))
    assert [*inner.paths.values()] == ["theirs", "theirs/our_tool", "theirs/our_tool/ScriptedChatModel"]
    # LangChain's rule: callbacks that are given replace those around, for LangChain's own runs.
    assert paths(told)[2:] == ["graph/node/our_tool", "graph/node/our_tool/ScriptedChatModel"]


@pytest.mark.parametrize(
    "method", ["on_chain_start", "on_chat_model_start", "on_llm_end", "on_chain_end", "on_tool_start"]
)
async def test_a_handler_that_fails_disturbs_nobody(method: str) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("bad handler")

    bad = type("Bad", (BaseCallbackHandler,), {"raise_error": True, method: fail})()
    told = await collect(whole_graph().astream_events(EMPTY, {"callbacks": []}, version="v2"))
    if method.startswith("on_chain"):  # what LangChain itself runs hears of it, by LangChain's rules
        await our_chain().ainvoke({"x": "1"}, {"callbacks": [bad]})
    else:
        await whole_graph().ainvoke(EMPTY, {"callbacks": [bad]})
    assert told
