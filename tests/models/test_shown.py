"""Models in nodes: what a reader of `messages` sees."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from penstock.graph import START, MessagesState, StateGraph
from penstock.messages import AIMessage, AIMessageChunk
from penstock.models import stream_tokens
from penstock.testing import ScriptedChatModel

from ._graphs import around, asking, shown, texts

HOW = pytest.mark.parametrize("how", ["ainvoke", "astream", "invoke", "stream"])


@HOW
async def test_tokens_are_shown_once_however_the_model_is_called(how: str) -> None:
    parts = await shown(asking(ScriptedChatModel(["one two"]), how))
    assert texts(parts) == ["one", " two", ""]
    assert len({chunk.id for chunk, _ in parts}) == 1
    assert parts[-1][0].chunk_position == "last"


@HOW
def test_tokens_in_a_sync_run(how: str) -> None:
    graph = asking(ScriptedChatModel(["one two"]), how)
    assert texts(list(graph.stream({"messages": "hi"}, stream_mode="messages"))) == ["one", " two", ""]


async def test_metadata() -> None:
    model = ScriptedChatModel(["x"], provider="acme", model_name="m-1", tags=["joke"], metadata={"k": 1})

    async def node(state: Any, config: Any) -> Any:
        await model.bind(temperature=0.5).ainvoke("hi", {**config, "tags": ["call"]})

    chunk, metadata = (await shown(around(node), config={"metadata": {"user": "ada"}, "tags": ["run"]}))[0]
    assert chunk.text == "x"
    assert metadata["tags"] == ["run", "joke", "call"]
    found = {key: metadata[key] for key in ("ls_provider", "ls_model_name", "ls_model_type", "ls_temperature")}
    assert found == {
        "ls_provider": "acme",
        "ls_model_name": "m-1",
        "ls_model_type": "chat",
        "ls_temperature": 0.5,
    }
    assert (metadata["k"], metadata["user"], metadata["langgraph_node"]) == (1, "ada", "node")


async def test_nostream_hides_tokens_and_message() -> None:
    silent = ScriptedChatModel(["one two"]).with_config(tags=["nostream"])
    assert await shown(asking(silent)) == []
    assert await shown(asking(ScriptedChatModel(["one"]).with_config(tags=["nostream"]), "astream")) == []


async def test_nostream_of_the_run_hides_all_its_calls() -> None:
    assert await shown(asking(ScriptedChatModel(["one two"])), config={"tags": ["nostream"]}) == []


async def test_nostream_hides_what_a_client_streams_and_its_message() -> None:
    async def client() -> Any:
        for token in ("one", " two"):
            yield token

    async def node(state: Any) -> Any:
        text = "".join([token async for token in stream_tokens(client(), tags=["nostream"], id="m1")])
        return {"messages": [AIMessage(text, id="m1")]}

    assert await shown(around(node)) == []


async def test_a_model_that_does_not_stream_is_shown_whole() -> None:
    parts = await shown(asking(ScriptedChatModel(["one two"], streaming=False)))
    assert [type(chunk) for chunk, _ in parts] == [AIMessage]
    assert texts(parts) == ["one two"]


async def test_tool_calls_arrive_in_fragments_that_add_up() -> None:
    call = {"name": "find", "args": {"what": "a very long thing", "n": 3}, "id": "call_1"}
    parts = await shown(asking(ScriptedChatModel([{"tool_calls": [call, {"name": "b", "args": {}}]}])))
    assert len(parts) > 4
    found = sum(chunk for chunk, _ in parts).tool_calls
    assert [(one["name"], one["args"], one["id"]) for one in found] == [
        ("find", {"what": "a very long thing", "n": 3}, "call_1"),
        ("b", {}, "call_2"),
    ]


async def test_a_model_that_fails_in_the_middle_shows_what_it_said() -> None:
    seen = []
    with pytest.raises(KeyError):
        async for chunk, _ in asking(ScriptedChatModel([["a", "b", KeyError("k")]])).astream(
            {"messages": "hi"}, stream_mode="messages"
        ):
            seen.append(chunk.text)
    assert seen == ["a", "b"]


async def test_only_at_the_source_spares_the_calls_that_nobody_selected() -> None:
    joke, poem = ScriptedChatModel(["ha ha"], tags=["joke"]), ScriptedChatModel(["oh oh"], tags=["poem"])

    async def node(state: Any) -> Any:
        await joke.ainvoke("hi")
        await poem.ainvoke("hi")

    from penstock.types import Only

    parts = await shown(around(node), only=Only(tags=["poem"]))
    assert texts(parts) == ["oh", " oh", ""]


@HOW
@pytest.mark.virtual_time
async def test_a_slow_reader_holds_the_model_back(how: str) -> None:
    said = 0

    def words(messages: Any) -> Any:
        nonlocal said
        for _ in range(2000):
            said += 1
            yield "w"

    graph = asking(ScriptedChatModel([words]), how)
    async with graph.astream({"messages": "hi"}, stream_mode="messages", high_water_mark=8) as run:
        async for _ in run:
            break
        await anyio.sleep(5)
        assert said < 100


async def test_cancelling_a_run_ends_the_sync_call_in_its_thread() -> None:
    closed = []

    def words(messages: Any) -> Any:
        try:
            while True:
                yield "w"
        finally:
            closed.append(True)

    async with asking(ScriptedChatModel([words]), "stream").astream({"messages": "hi"}, stream_mode="messages") as run:
        async for _ in run:
            break
    assert closed == [True]


# --- stream_tokens ---------------------------------------------------------------------------------------


async def _client(*items: Any) -> Any:
    for item in items:
        yield item


async def test_stream_tokens_passes_items_on_and_shows_them() -> None:
    passed: list[Any] = []

    async def node(state: Any) -> Any:
        async for item in stream_tokens(_client("a", {"role": "assistant", "content": "b"}), tags=["t"], id="m1"):
            passed.append(item)
        return {"messages": [AIMessage("ab", id="m1")]}

    parts = await shown(around(node))
    assert passed == ["a", {"role": "assistant", "content": "b"}]
    assert parts[0][0] == AIMessageChunk("a", id="m1")
    assert texts(parts) == ["a", "b", ""]
    assert parts[0][1]["tags"] == ["t"]


OPENAI = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": "Hel"}}]},
    {
        "choices": [
            {
                "index": 0,
                "delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}]},
            }
        ]
    },
    {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], "model": "gpt"},
    {
        "choices": [],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 2,
            "total_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 3},
        },
    },
]
ANTHROPIC = [
    {
        "type": "message_start",
        "message": {"id": "msg", "model": "claude", "usage": {"input_tokens": 2, "cache_read_input_tokens": 3}},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "tool_use", "id": "c", "name": "f", "input": {}},
    },
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]


@pytest.mark.parametrize("items", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
async def test_stream_tokens_reads_what_providers_stream(items: list[Any]) -> None:
    async def node(state: Any) -> Any:
        assert [item async for item in stream_tokens(_client(*items))] == items

    whole: Any = sum(chunk for chunk, _ in await shown(around(node)))
    assert whole.text == "Hel"
    assert whole.tool_calls == [{"name": "f", "args": {}, "id": "c", "type": "tool_call"}]
    assert whole.usage_metadata == {
        "input_tokens": 5,
        "output_tokens": 2,
        "total_tokens": 7,
        "input_token_details": {"cache_read": 3} if items is OPENAI else {"cache_creation": 0, "cache_read": 3},
    }
    assert whole.chunk_position == "last"


def test_stream_tokens_of_a_client_that_does_not_await() -> None:
    graph = around(lambda state: {"messages": [AIMessage("".join(stream_tokens(iter(["a", "b"]), id="x")), id="x")]})
    assert texts(list(graph.stream({"messages": "hi"}, stream_mode="messages"))) == ["a", "b", ""]


async def test_stream_tokens_outside_of_a_run_only_passes_on() -> None:
    assert [item async for item in stream_tokens(_client("a"))] == ["a"]


async def test_stream_tokens_names_what_it_cannot_read() -> None:
    with pytest.raises(TypeError, match="cannot read 7"):
        async with stream_tokens(_client(7)) as tokens:
            async for _ in tokens:
                pass
    with pytest.raises(TypeError, match="stream_tokens"):
        stream_tokens("text")


async def test_closing_stream_tokens_closes_the_client() -> None:
    closed = []

    async def client() -> Any:
        try:
            yield "a"
            yield "b"
        finally:
            closed.append(True)

    async with stream_tokens(client()) as tokens:
        async for _ in tokens:
            break
    assert closed == [True]


async def test_a_subgraphs_tokens_are_shown_with_its_namespace() -> None:
    inner = asking(ScriptedChatModel(["one two"]))
    outer = StateGraph(MessagesState).add_node("sub", inner).add_edge(START, "sub").compile()
    parts = [p async for p in outer.astream({"messages": "hi"}, stream_mode="messages", subgraphs=True)]
    assert [chunk.text for _, (chunk, _) in parts] == ["one", " two", ""]
    assert parts[0][0][0].startswith("sub:")
