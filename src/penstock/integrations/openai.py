"""Models of OpenAI, and of any server with its API (vLLM, Ollama, llama.cpp, ...): `penstock[openai]`.

:func:`penstock.models.init_chat_model` makes them by name. Importing this module does not import the SDK.

Example:
    ```python
    import pytest

    pytest.importorskip("openai")

    from penstock.models import init_chat_model
    from penstock.testing import FakeOpenAIServer

    with FakeOpenAIServer(["Hello from a server"]) as server:
        model = init_chat_model("openai:some-model", base_url=server.base_url)
        assert model.invoke("Hi").text == "Hello from a server"
    ```
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Any, ClassVar, Literal

from penstock.messages import AIMessage, AIMessageChunk, BaseMessage, messages_to_dicts
from penstock.models import ChatModel
from penstock.models._deltas import read_openai, read_openai_whole

from ._instrument import instrument_openai
from ._sdk import Clients, find_key, fit_request, import_sdk, stream_items, translate_error

__all__ = ["OpenAIChatModel", "instrument_openai"]

_ONLY_ELSEWHERE = ("thinking", "redacted_thinking")
"""Content blocks of other providers, that OpenAI's API refuses."""


class OpenAIChatModel(ChatModel):
    """A model behind OpenAI's chat completions, through the official SDK.

    Args:
        model: name of the model.
        api_key: by default the environment variable `OPENAI_API_KEY`; a server at `base_url` may need none.
        base_url: address of another server with the same API, such as `http://localhost:11434/v1`; by default the
            environment variable `OPENAI_BASE_URL`, or OpenAI.
        temperature: how freely the model chooses.
        max_tokens: how long the answer may get.
        stop: texts that end an answer.
        timeout: seconds to wait for a connection, or for the next piece of an answer.
        max_retries: how often the SDK tries again before an answer has begun; by default 2.
        default_headers: sent with each request.
        stream_usage: ask for the tokens used; a few servers do not know the question.
        disable_streaming: ask for the answer as a whole.
        client: an `openai.AsyncOpenAI` of your own, instead of all that is about the connection. It belongs to one
            event loop, and so does the model then.
        request_options: more arguments for each request, such as `{"seed": 1, "extra_body": {...}}`.

    Raises:
        MissingExtraError: the package `openai` is not installed.
        ModelSetupError: there is no key.

    Example:
        ```python
        import pytest

        pytest.importorskip("openai")

        from penstock.integrations.openai import OpenAIChatModel
        from penstock.testing import FakeOpenAIServer

        with FakeOpenAIServer([{"tool_calls": [{"name": "add", "args": {"a": 1}}]}]) as server:
            model = OpenAIChatModel("some-model", base_url=server.base_url, temperature=0)
            assert model.invoke("Hi").tool_calls[0]["name"] == "add"
        assert server.requests[0].body["temperature"] == 0
        ```
    """

    provider: str | None = "openai"
    structured_output_method: ClassVar[Literal["function_calling", "json_schema"]] = "json_schema"

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        default_headers: Mapping[str, str] | None = None,
        stream_usage: bool = True,
        disable_streaming: bool = False,
        client: Any = None,
        request_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._sdk = import_sdk("openai")
        self.model_name: str | None = model
        self.temperature = temperature
        self._streaming = not disable_streaming
        self._stream_usage = stream_usage
        server = base_url or os.environ.get("OPENAI_BASE_URL")
        limit = "max_tokens" if server else "max_completion_tokens"
        defaults = {"temperature": temperature, limit: max_tokens, "stop": list(stop) if stop else None}
        self._limit = limit
        self._defaults = {
            **{key: value for key, value in defaults.items() if value is not None},
            **(request_options or {}),
        }
        if client is not None:
            self._clients = Clients(lambda: client)
            return
        settings: dict[str, Any] = {
            "api_key": find_key(api_key, ("OPENAI_API_KEY",), server, "OpenAI"),
            "base_url": server,
            "timeout": timeout,
            "max_retries": max_retries,
            "default_headers": default_headers,
        }
        known = {key: value for key, value in settings.items() if value is not None}
        self._clients = Clients(lambda: self._sdk.AsyncOpenAI(**known))

    async def answer(self, messages: list[BaseMessage], **options: Any) -> AsyncIterator[AIMessageChunk | AIMessage]:
        """Answer a conversation. `options` go into the request, besides those that all models know."""
        whole = None if self._streaming else await self.answer_whole(messages, **options)
        if whole is not None:
            yield whole
            return
        with self._errors():
            request = self._request(messages, options)
            if self._stream_usage:
                request.setdefault("stream_options", {"include_usage": True})
            stream = await self._create(stream=True, **fit_request(self._create, request))
            async with aclosing(stream_items(stream)) as chunks:
                async for chunk in chunks:
                    piece = read_openai(chunk)
                    if piece is not None:
                        yield piece  # noqa: ASYNC119 - closed by the base class

    async def answer_whole(self, messages: list[BaseMessage], **options: Any) -> AIMessage | None:
        """The answer in one piece, for a call whose tokens nobody wants to see."""
        with self._errors():
            request = self._request(messages, options)
            return read_openai_whole(await self._create(**fit_request(self._create, request)))

    @property
    def _create(self) -> Any:
        return self._clients.get().chat.completions.create

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            translated = translate_error(error, self._sdk, "OpenAI")
            if translated is error:
                raise
            raise translated from error

    async def aclose(self) -> None:
        """Close the connections that this model, and those made of it, keep open on the running event loop."""
        await self._clients.aclose()

    def _request(self, messages: list[BaseMessage], options: Mapping[str, Any]) -> dict[str, Any]:
        request = {"model": self.model_name, **self._defaults, **options, "messages": _to_openai(messages)}
        if "max_tokens" in request and self._limit != "max_tokens":
            request[self._limit] = request.pop("max_tokens")
        choice = request.get("tool_choice")
        if isinstance(choice, str) and choice not in ("auto", "none", "required"):
            request["tool_choice"] = {"type": "function", "function": {"name": choice}}
        if not request.get("tools"):
            request.pop("tools", None)
            request.pop("tool_choice", None)
        return request


def _to_openai(messages: list[BaseMessage]) -> list[dict[str, Any]]:
    made = messages_to_dicts(messages)
    for message in made:
        if isinstance(message["content"], list):
            message["content"] = [b for b in message["content"] if b.get("type") not in _ONLY_ELSEWHERE] or ""
    return made
