"""The kit for users' tests."""

from __future__ import annotations

from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from anyio import to_thread

from penstock.config import get_config, get_stream_writer
from penstock.errors import ModelError, ModelSetupError, OutsideRunError
from penstock.messages import AIMessageChunk
from penstock.models import init_chat_model
from penstock.runtime import get_runtime
from penstock.testing import FakeOpenAIServer, HTTPFailure, ScriptedChatModel, capture_writer

from ._graphs import asking, shown


def test_a_script_that_has_come_to_its_end() -> None:
    model = ScriptedChatModel(["one"])
    model.invoke("hi")
    with pytest.raises(ModelError, match="has 1 answers, and this is request 2"):
        model.invoke("hi")
    cycling = ScriptedChatModel(["one", "two"], cycle=True)
    assert [cycling.invoke("hi").text for _ in range(3)] == ["one", "two", "one"]


def test_answers_may_be_functions_of_the_conversation() -> None:
    model = ScriptedChatModel([lambda messages: f"You said {messages[-1].text}"])
    assert model.invoke("hi").text == "You said hi"


def test_a_script_is_not_used_up_by_those_who_read_it() -> None:
    piece = AIMessageChunk("a")
    model = ScriptedChatModel([[piece]], cycle=True)
    first, second = (next(iter(model.stream("hi"))) for _ in range(2))
    assert first.id != second.id and piece.id is None


def test_what_is_no_script() -> None:
    with pytest.raises(TypeError, match="expects a list of answers, got 'one'"):
        ScriptedChatModel("one")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cannot read 7"):
        ScriptedChatModel([7]).invoke("hi")  # type: ignore[list-item]


async def test_capture_writer() -> None:
    def tool() -> None:
        get_stream_writer()(1)

    with capture_writer({"configurable": {"user": "ada"}}, context="ctx") as written:
        tool()
        await get_stream_writer()(2)
        await to_thread.run_sync(tool)
        get_runtime().stream_writer(3)
        assert get_config()["configurable"] == {"user": "ada"}
        assert get_runtime().context == "ctx"
        await ScriptedChatModel(["fine"]).ainvoke("hi")
    assert written == [1, 2, 1, 3]
    with pytest.raises(OutsideRunError):
        tool()


def ask(server: Any) -> Any:
    with urlopen(Request(f"{server.base_url}/chat/completions", b'{"messages": []}')) as answer:
        return answer.read()


def test_a_fake_server_refuses_what_is_not_in_its_script() -> None:
    with FakeOpenAIServer([HTTPFailure(429, "slowly"), "fine"]) as server:
        for status in (429, 200, 500):
            try:
                ask(server)
                assert status == 200
            except HTTPError as error:
                with error:
                    assert error.code == status
    assert len(server.requests) == 3
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.url


def test_a_mistake_in_a_servers_script_is_raised_when_it_ends() -> None:
    with pytest.raises(TypeError, match="cannot read 7"), FakeOpenAIServer([7]) as server:  # type: ignore[list-item]
        with pytest.raises(OSError):
            ask(server)


def test_unknown_providers() -> None:
    with pytest.raises(ModelSetupError, match="did you mean 'anthropic'"):
        init_chat_model("antropic:claude")
    with pytest.raises(ModelSetupError, match="cannot tell the provider of 'llama'"):
        init_chat_model("llama")
    with pytest.raises(ModelSetupError, match="expected the name of a model"):
        init_chat_model("")


class Entry:
    """What a package registers that has models of its own."""

    name = "acme"

    def load(self) -> Any:
        return lambda name, delay=0: ScriptedChatModel([name], model_name=name, delay=delay)


def test_providers_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.models._init.entry_points", lambda group: [Entry()])
    assert init_chat_model("acme:m-1", delay=0).model_name == "m-1"
    assert init_chat_model("m:1", model_provider="acme").invoke("hi").text == "m:1"


async def test_labels_for_the_models_of_any_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.models._init.entry_points", lambda group: [Entry()])
    model = init_chat_model("acme:m-1", tags=["joke"], metadata={"k": 1})
    metadata = (await shown(asking(model)))[0][1]
    assert (metadata["tags"], metadata["k"]) == (["joke"], 1)
