"""SDK clients used directly, shown in `messages` mode."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.graph import START, MessagesState, StateGraph
from penstock.integrations.anthropic import instrument_anthropic
from penstock.integrations.openai import instrument_openai
from penstock.testing import FakeAnthropicServer, FakeOpenAIServer

from ._real_time import anyio_backend  # noqa: F401 - replaces the one in virtual time

pytestmark = pytest.mark.filterwarnings("ignore:Async generator '(openai|anthropic|httpx|httpcore)")

ASK: Any = [{"role": "user", "content": "Hi"}]


def around(node: Any) -> Any:
    return StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile()


async def shown(graph: Any) -> list[Any]:
    return [part async for part in graph.astream({"messages": "hi"}, stream_mode="messages")]


async def test_openai_chat_completions() -> None:
    openai = pytest.importorskip("openai")
    with FakeOpenAIServer(["one two"], cycle=True) as server:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="none") as client:

            async def node(state: Any) -> Any:
                stream = await client.chat.completions.create(model="m", messages=ASK, stream=True)
                assert isinstance(stream, openai.AsyncStream)
                text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
                assert text == "one two"

            with instrument_openai(client):
                parts = await shown(around(node))
            assert await shown(around(node)) == []
    assert [chunk.text for chunk, _ in parts if chunk.text] == ["one", " two"]
    assert (parts[0][1]["ls_provider"], parts[0][1]["ls_model_name"]) == ("openai", "m")
    assert parts[-1][0].chunk_position == "last"


async def test_anthropic_messages() -> None:
    anthropic = pytest.importorskip("anthropic")
    with FakeAnthropicServer(["one two"], cycle=True) as server:
        async with anthropic.AsyncAnthropic(base_url=server.base_url, api_key="none") as client:

            async def create(state: Any) -> Any:
                async for _ in await client.messages.create(model="m", max_tokens=9, messages=ASK, stream=True):
                    pass

            async def stream(state: Any) -> Any:
                async with client.messages.stream(model="m", max_tokens=9, messages=ASK) as events:
                    assert "".join([text async for text in events.text_stream]) == "one two"

            with instrument_anthropic(client):
                parts = [await shown(around(create)), await shown(around(stream))]
    for seen in parts:
        assert [chunk.text for chunk, _ in seen if chunk.text] == ["one", " two"]
        assert seen[0][1]["ls_provider"] == "anthropic"


def test_sync_clients() -> None:
    openai, anthropic = pytest.importorskip("openai"), pytest.importorskip("anthropic")
    with FakeOpenAIServer(["one two"]) as one, FakeAnthropicServer(["three"]) as other:
        with (
            openai.OpenAI(base_url=one.base_url, api_key="none") as first,
            anthropic.Anthropic(base_url=other.base_url, api_key="none") as second,
            instrument_openai(first),
            instrument_anthropic(second),
        ):

            def node(state: Any) -> Any:
                list(first.chat.completions.create(model="m", messages=ASK, stream=True))
                list(second.messages.create(model="m", max_tokens=9, messages=ASK, stream=True))

            parts = list(around(node).stream({"messages": "hi"}, stream_mode="messages"))
    assert [chunk.text for chunk, _ in parts if chunk.text] == ["one", " two", "three"]


def test_what_is_no_client() -> None:
    with pytest.raises(TypeError, match="expected an AsyncOpenAI"):
        with instrument_openai(object()):
            pass
