"""`messages` mode: chunks of model calls with their metadata, and whole messages that nodes return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest
from typing_extensions import TypedDict

from penstock.graph import START, CompiledStateGraph, MessagesState, StateGraph
from penstock.messages import AIMessage, AIMessageChunk, HumanMessage, RemoveMessage
from penstock.runtime import ModelCall, emitter
from penstock.types import Command, Only, StreamWriter
from tests.support import collect

Graph = CompiledStateGraph[Any, Any, Any, Any]
INPUT: dict[str, Any] = {"messages": [HumanMessage("in", id="h1")]}


def graph_of(name: str, node: Any, schema: Any = MessagesState, **options: Any) -> Graph:
    return StateGraph(schema).add_node(name, node, **options).add_edge(START, name).compile()


def model(*tokens: str, id: str = "run-1", tags: tuple[str, ...] = (), keep: bool = True) -> Callable[..., Any]:
    """A node that calls a model, shows its tokens and returns its answer."""

    async def node(state: MessagesState) -> Any:
        call = ModelCall.open(tags=tags, metadata={"ls_provider": "test"})
        for token in tokens:
            await call.emit(AIMessageChunk(token, id=id))
        answer = AIMessage("".join(tokens), id=id)
        call.finished(answer)
        return {"messages": [answer if keep else AIMessage("something else", id="other")]}

    return node


def texts(chunks: list[Any]) -> list[str]:
    return [message.text for message, _ in chunks]


# -------------------------------------------------------------------- tokens


async def test_tokens_come_with_everything_about_their_origin() -> None:
    graph = graph_of("poet", model("a", "b", tags=("model",)), metadata={"node": "x"})
    config = {"tags": ["user"], "metadata": {"who": "me"}, "configurable": {"thread_id": "t", "secret": 1}}
    chunks = await collect(graph.astream(INPUT, config, stream_mode="messages"))
    assert texts(chunks) == ["a", "b"]
    metadata = chunks[0][1]
    namespace = metadata.pop("langgraph_checkpoint_ns")
    assert namespace.startswith("poet:")
    assert metadata == {
        "who": "me",
        "thread_id": "t",
        "node": "x",
        "langgraph_step": 1,
        "langgraph_node": "poet",
        "langgraph_triggers": ("branch:to:poet",),
        "langgraph_path": ("__pregel_pull", "poet"),
        "checkpoint_ns": namespace,
        "ls_provider": "test",
        "tags": ["user", "model"],
    }


async def test_shapes() -> None:
    outer = graph_of("sub", graph_of("poet", model("a")))
    (ns, mode, (chunk, _)), *_ = await collect(
        outer.astream(INPUT, stream_mode=["messages"], subgraphs=True),
    )
    assert (ns[0][:4], mode, chunk.text) == ("sub:", "messages", "a")
    part, *_ = await collect(outer.astream(INPUT, stream_mode="messages", subgraphs=True, version="v2"))
    assert (part["type"], part["ns"][0][:4], part["data"][0].text) == ("messages", "sub:", "a")


async def test_tokens_of_a_subgraph_are_shown_if_subgraphs_are() -> None:
    outer = graph_of("sub", graph_of("poet", model("a", "b")))
    assert texts(await collect(outer.astream(INPUT, stream_mode="messages"))) == ["ab"]
    chunks = await collect(outer.astream(INPUT, stream_mode="messages", subgraphs=True))
    assert [(ns[0].split(":")[0], message.text) for ns, (message, _) in chunks] == [("sub", "a"), ("sub", "b")]
    metadata = chunks[0][1][1]
    assert metadata["langgraph_checkpoint_ns"].count("|") == 1
    assert metadata["checkpoint_ns"] == metadata["langgraph_checkpoint_ns"].split("|")[0] == chunks[0][0][0]


async def test_tokens_precede_the_nodes_update_and_keep_their_place_among_custom_chunks() -> None:
    async def node(state: MessagesState, writer: StreamWriter) -> Any:
        call = ModelCall.open()
        for i in range(20):
            writer(i)
            await call.emit(AIMessageChunk(str(i), id="1"))

    modes = ["updates", "custom", "messages"]
    chunks = await collect(graph_of("node", node).astream(INPUT, stream_mode=modes, high_water_mark=1))
    assert [mode for mode, _ in chunks] == ["custom", "messages"] * 20 + ["updates"]


async def test_two_streams_see_the_same_tokens() -> None:
    inner = graph_of("poet", model("a", "b"))

    async def reads(state: MessagesState, writer: StreamWriter) -> Any:
        async for message, metadata in inner.astream(state, stream_mode="messages"):
            writer((message.text, metadata["langgraph_node"]))

    chunks = await collect(graph_of("reads", reads).astream(INPUT, stream_mode=["custom", "messages"], subgraphs=True))
    custom = [data for _, mode, data in chunks if mode == "custom"]
    assert custom == [("a", "poet"), ("b", "poet")]
    assert [data[0].text for _, mode, data in chunks if mode == "messages"] == ["a", "b"]


async def test_nobody_asks_nobody_streams() -> None:
    wanted: list[bool] = []

    async def node(state: MessagesState) -> None:
        call = ModelCall.open()
        wanted.append(call.wanted)
        await call.emit(AIMessageChunk("x", id="1"))
        assert emitter("tools") is None
        assert call.metadata == {} or call.wanted

    graph = graph_of("node", node)
    assert await collect(graph.astream(INPUT, stream_mode="custom")) == []
    await graph.ainvoke(INPUT)
    assert await collect(graph_of("sub", graph).astream(INPUT, stream_mode="messages")) == []
    assert wanted == [False, False, False]
    assert not ModelCall.open().wanted


async def test_retried_attempts_say_which_they_are() -> None:
    attempts: list[int] = []

    async def node(state: MessagesState) -> None:
        attempts.append(1)
        await ModelCall.open().emit(AIMessageChunk(str(len(attempts)), id="1"))
        if len(attempts) < 2:
            raise ConnectionError

    from penstock.types import RetryPolicy

    graph = graph_of("node", node, retry_policy=RetryPolicy(initial_interval=0, jitter=False))
    chunks = await collect(graph.astream(INPUT, stream_mode="messages"))
    assert [metadata.get("langgraph_attempt") for _, metadata in chunks] == [None, 2]


async def test_printing(capsys: pytest.CaptureFixture[str]) -> None:
    chunks = await collect(graph_of("poet", model("a")).astream(INPUT, stream_mode="updates", print_mode="messages"))
    assert len(chunks) == 1
    assert capsys.readouterr().out.startswith("[messages] (AIMessageChunk(content='a'")


# -------------------------------------------------------------------- whole messages


RETURNED: dict[str, tuple[Any, list[str]]] = {
    "message": (AIMessage("x", id="a1"), ["x"]),
    "list": ([AIMessage("x", id="a1"), HumanMessage("y", id="h2")], ["x", "y"]),
    "input": ([HumanMessage("in", id="h1")], []),
    "edited": ([HumanMessage("edited", id="h1")], []),
    "dict": ([{"role": "assistant", "content": "d"}], []),
    "tuple": ([("ai", "t")], []),
    "text": ("text", []),
    "removal": ([RemoveMessage(id="h1")], []),
    "chunk": ([AIMessageChunk("c", id="a1")], ["c"]),
    "twice": ([AIMessage("x", id="a1"), AIMessage("x2", id="a1")], ["x"]),
}


@pytest.mark.parametrize("name", RETURNED)
@pytest.mark.parametrize("command", [False, True])
async def test_returned_messages_come_whole_and_once(name: str, command: bool) -> None:
    value, expected = RETURNED[name]
    update = {"messages": value}
    graph = graph_of("node", lambda state: Command(update=update) if command else update)
    assert texts(await collect(graph.astream(INPUT, stream_mode="messages"))) == expected


async def test_under_any_key_but_not_deeper() -> None:
    class Drafts(TypedDict):
        draft: Any
        nested: Any

    def node(state: Drafts) -> Any:
        return {"draft": AIMessage("d", id="1"), "nested": {"k": AIMessage("hidden", id="2")}}

    graph = graph_of("node", node, Drafts)
    assert texts(await collect(graph.astream({"draft": None, "nested": None}, stream_mode="messages"))) == ["d"]


async def test_a_message_without_an_id_has_one_in_the_stream_and_the_same_in_the_state() -> None:
    message = AIMessage("x")
    graph = graph_of("node", lambda state: {"messages": [message]})
    run = graph.astream(INPUT, stream_mode=["messages", "updates"])
    (_, (shown, _)), (_, update) = await collect(run)
    assert message.id is None, "the node's own object is left alone"
    state = await run.result()
    assert shown.id == update["node"]["messages"][0].id == state["messages"][-1].id is not None


async def test_a_streamed_answer_is_not_shown_again() -> None:
    assert texts(await collect(graph_of("n", model("a", "b")).astream(INPUT, stream_mode="messages"))) == ["a", "b"]
    chunks = await collect(graph_of("n", model("a", keep=False)).astream(INPUT, stream_mode="messages"))
    assert texts(chunks) == ["a", "something else"]


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("subgraphs", [False, True])
async def test_nostream_hides_the_tokens_and_the_message(nested: bool, subgraphs: bool) -> None:
    graph = graph_of("n", model("a", tags=("nostream",)))
    if nested:
        graph = graph_of("sub", graph)
    chunks = await collect(graph.astream(INPUT, stream_mode=["messages", "updates"], subgraphs=subgraphs))
    assert {chunk[-2] for chunk in chunks} == {"updates"}


async def test_a_generator_node_shows_each_message_as_it_yields_it() -> None:
    async def node(state: MessagesState) -> Any:
        yield {"messages": [AIMessage("1", id="1")]}
        yield {"messages": [AIMessage("2", id="2")]}

    chunks = await collect(graph_of("node", node).astream(INPUT, stream_mode=["messages", "updates"]))
    assert [mode for mode, _ in chunks] == ["messages", "updates"] * 2


# -------------------------------------------------------------------- at the source


async def test_only_some_nodes_or_tags() -> None:
    builder = StateGraph(MessagesState)
    for name, tags in (("poet", ("joke",)), ("critic", ())):
        builder.add_node(name, model(name, id=name, tags=tags)).add_edge(START, name)
    graph = builder.compile()
    for only in ("poet", Only(tags=["joke"])):
        assert texts(await collect(graph.astream(INPUT, stream_mode="messages", only=only))) == ["poet"]


async def test_a_call_that_is_not_selected_is_not_even_asked_to_stream() -> None:
    wanted: list[bool] = []

    async def node(state: MessagesState) -> None:
        wanted.extend(ModelCall.open(tags=tags).wanted for tags in (["joke"], ["poem"]))

    await collect(graph_of("node", node).astream(INPUT, stream_mode="messages", only={"tags": ["joke"]}))
    assert wanted == [True, False]


# -------------------------------------------------------------------- backpressure

TOKENS = 60
MARK = 4


async def awaited(state: MessagesState) -> None:
    call = ModelCall.open()
    for i in range(TOKENS):
        await call.emit(AIMessageChunk(str(i), id="1"))


async def plain(state: MessagesState) -> None:
    call = ModelCall.open()
    for i in range(TOKENS):
        call.emit(AIMessageChunk(str(i), id="1"))
        await anyio.lowlevel.checkpoint()


def sync(state: MessagesState) -> None:
    call = ModelCall.open()
    for i in range(TOKENS):
        call.emit(AIMessageChunk(str(i), id="1"))


async def in_a_thread(state: MessagesState) -> None:
    await anyio.to_thread.run_sync(sync, state)


@pytest.mark.virtual_time
@pytest.mark.parametrize("node", [awaited, plain, sync, in_a_thread])
async def test_a_reader_that_stops_stops_the_model(node: Any) -> None:
    graph = graph_of("outer", graph_of("model", node))
    async with graph.astream(INPUT, stream_mode="messages", subgraphs=True, high_water_mark=MARK) as run:
        async for _ in run:
            break
        await anyio.sleep(10_000)
        assert run.statistics().peak <= MARK
    chunks = await collect(graph.astream(INPUT, stream_mode="messages", subgraphs=True, high_water_mark=MARK))
    assert [message.text for _, (message, _) in chunks] == [str(i) for i in range(TOKENS)]


async def test_a_policy_of_its_own() -> None:
    async def node(state: MessagesState, writer: StreamWriter) -> None:
        call = ModelCall.open()
        for i in range(20):
            call.emit(AIMessageChunk(str(i), id="1"))
            writer(i)

    graph = graph_of("node", node)
    options: dict[str, Any] = {"high_water_mark": 2, "overflow": {"messages": "drop_newest"}}
    chunks = await collect(graph.astream(INPUT, stream_mode=["messages", "custom"], **options))
    assert [data for mode, data in chunks if mode == "custom"] == list(range(20))
    assert [data[0].text for mode, data in chunks if mode == "messages"] == ["0", "1"]
