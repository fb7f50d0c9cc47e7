"""The real SDKs against the servers on loopback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from anyio import to_thread

from penstock.errors import (
    MissingExtraError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelOutputError,
    ModelRateLimitError,
    ModelRequestError,
    ModelServerError,
    ModelSetupError,
    ModelTimeoutError,
)
from penstock.graph import START, MessagesState, StateGraph
from penstock.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from penstock.models import ChatModel, init_chat_model
from penstock.testing import FakeAnthropicServer, FakeOpenAIServer, FakeServer, HangUp, HTTPFailure

from ._real_time import anyio_backend  # noqa: F401 - replaces the one in virtual time

# On trio the SDKs leave generators of their own to the garbage collector when a stream has ended.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator '(openai|anthropic|httpx|httpcore)")

CALL = {"name": "find", "args": {"what": "something long enough to be cut"}, "id": "call_7"}


@dataclass(frozen=True)
class Provider:
    """A provider's server and how to open its model."""

    name: str
    server: Callable[..., FakeServer]

    def model(self, server: Any, **options: Any) -> ChatModel:
        options.setdefault("max_retries", 0)
        return init_chat_model(f"{self.name}:some-model", base_url=server.base_url, **options)


@pytest.fixture(params=["openai", "anthropic"])
def provider(request: pytest.FixtureRequest) -> Provider:
    pytest.importorskip(request.param)
    return Provider(request.param, {"openai": FakeOpenAIServer, "anthropic": FakeAnthropicServer}[request.param])


def asking(model: ChatModel) -> Any:
    async def node(state: Any) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    return StateGraph(MessagesState).add_node(node).add_edge(START, "node").compile()


async def shown(graph: Any) -> list[Any]:
    return [part async for part in graph.astream({"messages": "hi"}, stream_mode="messages")]


async def test_tokens_usage_and_why_it_ended(provider: Provider) -> None:
    with provider.server(["Hello there you"]) as server:
        parts = await shown(asking(provider.model(server, temperature=0.5)))
    whole = sum(chunk for chunk, _ in parts)
    assert [chunk.text for chunk, _ in parts if chunk.text] == ["Hello", " there", " you"]
    assert whole.usage_metadata == {"input_tokens": 1, "output_tokens": 3, "total_tokens": 4}
    reason = {"openai": ("finish_reason", "stop"), "anthropic": ("stop_reason", "end_turn")}[provider.name]
    assert whole.response_metadata[reason[0]] == reason[1]
    assert whole.response_metadata["model_name"] == "some-model"
    assert len({chunk.id for chunk, _ in parts}) == 1 and whole.id.startswith("run-")
    metadata = parts[0][1]
    assert (metadata["ls_provider"], metadata["ls_model_name"], metadata["ls_temperature"]) == (
        provider.name,
        "some-model",
        0.5,
    )


async def test_tool_calls_arrive_in_fragments(provider: Provider) -> None:
    with provider.server([{"content": "Let me see", "tool_calls": [CALL, {**CALL, "id": "call_8"}]}]) as server:
        parts = await shown(asking(provider.model(server).bind_tools([{"name": "find", "parameters": {}}])))
        request = server.requests[0].body
    assert len([chunk for chunk, _ in parts if chunk.tool_call_chunks]) > 4
    assert [(call["name"], call["args"], call["id"]) for call in sum(chunk for chunk, _ in parts).tool_calls] == [
        ("find", CALL["args"], "call_7"),
        ("find", CALL["args"], "call_8"),
    ]
    assert len(request["tools"]) == 1


@pytest.mark.backends("asyncio", "trio")
async def test_without_streaming(provider: Provider) -> None:
    with provider.server([{"content": "ok", "tool_calls": [CALL]}, "hi"]) as server:
        model = provider.model(server, disable_streaming=True)
        answer = await model.ainvoke("hi")
        parts = await shown(asking(model))
        assert "stream" not in server.requests[0].body
    assert answer.text == "ok" and answer.tool_calls[0]["args"] == CALL["args"]
    assert answer.usage_metadata is not None
    assert [(type(chunk), chunk.text) for chunk, _ in parts] == [(AIMessage, "hi")]


async def test_cancelling_hangs_up(provider: Provider) -> None:
    with provider.server([["a", "b", 60.0, "c"]]) as server:
        async with asking(provider.model(server)).astream({"messages": "hi"}, stream_mode="messages") as run:
            async for chunk, _ in run:
                if chunk.text == "b":
                    break
        assert await to_thread.run_sync(server.wait_for_disconnect)
        assert server.chunks_sent < 10


async def test_leaving_a_stream_hangs_up(provider: Provider) -> None:
    with provider.server([["a", "b", 60.0, "c"]]) as server:
        async with provider.model(server).astream("hi") as chunks:
            async for chunk in chunks:
                if chunk.text:
                    break
        assert await to_thread.run_sync(server.wait_for_disconnect)


async def test_a_reader_that_stops_stops_the_server(provider: Provider) -> None:
    def endless(request: Any) -> Any:
        while True:
            yield "x" * 1000

    with provider.server([endless]) as server:
        graph = asking(provider.model(server))
        async with graph.astream({"messages": "hi"}, stream_mode="messages", high_water_mark=8) as run:
            async for _ in run:
                break
            before = -1
            while server.bytes_sent != before:  # until the buffers of both sides are full
                before = server.bytes_sent
                await anyio.sleep(0.15)
            assert before < 30_000_000
        assert await to_thread.run_sync(server.wait_for_disconnect)


REFUSALS: dict[int, Any] = {
    400: ModelRequestError,
    401: ModelAuthenticationError,
    403: ModelAuthenticationError,
    404: ModelRequestError,
    429: ModelRateLimitError,
    500: ModelServerError,
    529: ModelServerError,
}


@pytest.mark.backends("asyncio", "trio")
async def test_refusals(provider: Provider) -> None:
    with provider.server([HTTPFailure(status, "not like this") for status in REFUSALS]) as server:
        model = provider.model(server)
        for status, expected in REFUSALS.items():
            with pytest.raises(expected, match=f"status {status}: not like this") as caught:
                await model.ainvoke("hi")
            assert caught.value.status == status
            assert type(caught.value.__cause__).__module__.startswith(provider.name)


@pytest.mark.parametrize(
    ("failure", "expected"), [(HTTPFailure(500, "boom"), ModelServerError), (HangUp(), ModelConnectionError)]
)
async def test_failures_in_the_middle_of_an_answer(provider: Provider, failure: Any, expected: Any) -> None:
    seen = []
    with provider.server([["a", "b", failure]]) as server:
        with pytest.raises(expected, match="in the middle|connection"):
            async for chunk, _ in asking(provider.model(server)).astream({"messages": "hi"}, stream_mode="messages"):
                seen.append(chunk.text)
    assert "".join(seen) == "ab"


@pytest.mark.backends("asyncio", "trio")
async def test_no_answer_in_time(provider: Provider) -> None:
    with provider.server([[0.0, 30.0, "late"]]) as server:
        with pytest.raises((ModelTimeoutError, TimeoutError)):
            await provider.model(server, timeout=0.2).ainvoke("hi")


@pytest.mark.backends("asyncio", "trio")
async def test_a_call_whose_tokens_nobody_wants_is_not_streamed(provider: Provider) -> None:
    with provider.server(["one two", "one two", "one two"]) as server:
        graph = asking(provider.model(server).with_config(tags=["poem"]))
        for only in (None, {"tags": ["joke"]}):
            chunks = [c async for c in graph.astream({"messages": "hi"}, stream_mode="messages", only=only)]
            assert bool(chunks) == (only is None)
        state = await graph.ainvoke({"messages": "hi"})
        assert state["messages"][-1].text == "one two"
        assert state["messages"][-1].id.startswith("run-")
        assert [bool(request.body.get("stream")) for request in server.requests] == [True, False, False]


@pytest.mark.backends("asyncio", "trio")
async def test_the_sdk_tries_again_before_an_answer_has_begun(provider: Provider) -> None:
    with provider.server([HTTPFailure(500), "fine"]) as server:
        assert (await provider.model(server, max_retries=1).ainvoke("hi")).text == "fine"
        assert len(server.requests) == 2


@pytest.mark.backends("asyncio", "trio")
async def test_nobody_there(provider: Provider) -> None:
    with provider.server([]) as server:
        model = provider.model(server)
    with pytest.raises(ModelConnectionError):
        await model.ainvoke("hi")


@dataclass
class City:
    """A city."""

    name: str
    size: int


@pytest.mark.backends("asyncio", "trio")
async def test_structured_output(provider: Provider) -> None:
    right = {"name": "Rome", "size": 3}
    answer: Any = {"tool_calls": [{"name": "City", "args": right}]}
    wrong: Any = {"tool_calls": [{"name": "City", "args": {"name": "Rome"}}]}
    if provider.name == "openai":
        answer, wrong = '{"name": "Rome", "size": 3}', '{"name": "Rome"}'
    with provider.server([answer, wrong, wrong]) as server:
        model = provider.model(server).with_structured_output(City)
        assert await model.ainvoke("hi") == City("Rome", 3)
        with pytest.raises(ModelOutputError, match="size: missing"):
            await model.ainvoke("hi")
        raw = await provider.model(server).with_structured_output(City, include_raw=True).ainvoke("hi")
        assert raw["parsed"] is None and isinstance(raw["parsing_error"], ModelOutputError)
        asked = server.requests[0].body
    if provider.name == "openai":
        assert asked["response_format"]["json_schema"]["schema"]["required"] == ["name", "size"]
    else:
        assert asked["tool_choice"] == {"type": "tool", "name": "City"}


def test_sync(provider: Provider) -> None:
    with provider.server(["one two", "one two"]) as server:
        model = provider.model(server)
        assert model.invoke("hi").text == "one two"
        assert "".join(chunk.text for chunk in model.stream("hi")) == "one two"


CONVERSATION: list[Any] = [
    SystemMessage("Be brief."),
    HumanMessage(
        [{"type": "text", "text": "What is it?"}, {"type": "image", "base64": "AAAA", "mime_type": "image/png"}]
    ),
    AIMessage("", tool_calls=[CALL]),
    ToolMessage("nothing", tool_call_id="call_7", status="error"),
    HumanMessage("So?"),
]


@pytest.mark.backends("asyncio")
async def test_one_call_at_a_time_for_anthropic() -> None:
    pytest.importorskip("anthropic")
    with FakeAnthropicServer(["x"] * 3) as server:
        model = Provider("anthropic", FakeAnthropicServer).model(server)
        tools = [{"name": "find", "parameters": {}}]
        await model.bind_tools(tools, parallel_tool_calls=False).ainvoke("hi")
        await model.bind_tools(tools, tool_choice="find", parallel_tool_calls=False).ainvoke("hi")
        await model.bind_tools(tools, parallel_tool_calls=True).ainvoke("hi")
    assert [asked.body.get("tool_choice") for asked in server.requests] == [
        {"type": "auto", "disable_parallel_tool_use": True},
        {"type": "tool", "name": "find", "disable_parallel_tool_use": True},
        None,
    ]
    assert all("parallel_tool_calls" not in asked.body for asked in server.requests)


@pytest.mark.backends("asyncio")
async def test_a_slow_server_is_slow_with_whole_answers(provider: Provider) -> None:
    with provider.server(["one two"], delay=30) as server:
        with pytest.raises(ModelTimeoutError):
            await provider.model(server, timeout=0.2).ainvoke("hi")


@pytest.mark.backends("asyncio", "trio")
async def test_a_conversation_with_tools_and_images_for_openai() -> None:
    pytest.importorskip("openai")
    with FakeOpenAIServer(["x"]) as server:
        await Provider("openai", FakeOpenAIServer).model(server).ainvoke(CONVERSATION)
        sent = server.requests[0].body["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool", "user"]
    assert sent[1]["content"][1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert sent[3] == {"role": "tool", "content": "nothing", "tool_call_id": "call_7"}


@pytest.mark.backends("asyncio", "trio")
async def test_a_conversation_with_tools_and_images_for_anthropic() -> None:
    pytest.importorskip("anthropic")
    with FakeAnthropicServer(["x"]) as server:
        model = Provider("anthropic", FakeAnthropicServer).model(server)
        tool = {"name": "find", "description": "Finds.", "parameters": {"type": "object", "properties": {}}}
        await model.bind_tools([tool], tool_choice="any").ainvoke(CONVERSATION, stop=["."])
        sent = server.requests[0].body
    assert sent["system"] == "Be brief."
    assert sent["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            ],
        },
        {"role": "assistant", "content": [{"type": "tool_use", "id": "call_7", "name": "find", "input": CALL["args"]}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_7", "content": "nothing", "is_error": True},
                {"type": "text", "text": "So?"},
            ],
        },
    ]
    assert sent["tools"] == [
        {"name": "find", "description": "Finds.", "input_schema": {"type": "object", "properties": {}}}
    ]
    assert (sent["tool_choice"], sent["stop_sequences"]) == ({"type": "any"}, ["."])


def test_a_missing_key_is_named(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ModelSetupError, match=f"{provider.name.upper()}_API_KEY"):
        init_chat_model(f"{provider.name}:some-model")


def test_options_that_do_not_exist(provider: Provider) -> None:
    with pytest.raises(ModelSetupError, match="temperatur"):
        init_chat_model(f"{provider.name}:m", api_key="k", temperatur=1)


def test_a_missing_extra_says_what_to_install(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, provider.name, None)  # as if it were not there
    with pytest.raises(MissingExtraError, match=rf"pip install .?penstock\[{provider.name}\]"):
        init_chat_model(f"{provider.name}:m", api_key="k")
