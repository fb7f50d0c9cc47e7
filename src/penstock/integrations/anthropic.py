"""Models of Anthropic: `penstock[anthropic]`.

:func:`penstock.models.init_chat_model` makes them by name. Importing this module does not import the SDK.

Example:
    ```python
    import pytest

    pytest.importorskip("anthropic")

    from penstock.models import init_chat_model
    from penstock.testing import FakeAnthropicServer

    with FakeAnthropicServer(["Hello from a server"]) as server:
        model = init_chat_model("anthropic:some-model", base_url=server.base_url)
        assert model.invoke("Hi").text == "Hello from a server"
    ```
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

from penstock.errors import ModelSetupError
from penstock.messages import AIMessage, AIMessageChunk, BaseMessage
from penstock.models import ChatModel
from penstock.models._deltas import read_anthropic, read_anthropic_whole

from ._anthropic_messages import to_anthropic, to_anthropic_tool
from ._instrument import instrument_anthropic
from ._sdk import Clients, find_key, fit_request, import_sdk, stream_items, translate_error

__all__ = ["AnthropicChatModel", "instrument_anthropic"]

_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


# Tokens above which the SDK refuses to wait for an answer that it does not stream.
_LONG = 20_000


class AnthropicChatModel(ChatModel):
    """A model behind Anthropic's messages, through the official SDK.

    Args:
        model: name of the model.
        api_key: by default the environment variable `ANTHROPIC_API_KEY`.
        base_url: address of another server with the same API; by default the environment variable
            `ANTHROPIC_BASE_URL`, or Anthropic.
        temperature: how freely the model chooses.
        max_tokens: how long the answer may get; the API wants to be told.
        stop: texts that end an answer.
        timeout: seconds to wait for a connection, or for the next piece of an answer.
        max_retries: how often the SDK tries again before an answer has begun; by default 2.
        default_headers: sent with each request.
        disable_streaming: ask for the answer as a whole.
        client: an `anthropic.AsyncAnthropic` of your own, instead of all that is about the connection. It belongs to
            one event loop, and so does the model then.
        request_options: more arguments for each request, such as `{"thinking": {...}}`.

    Raises:
        MissingExtraError: the package `anthropic` is not installed.
        ModelSetupError: there is no key.

    Example:
        ```python
        import pytest

        pytest.importorskip("anthropic")

        from penstock.integrations.anthropic import AnthropicChatModel
        from penstock.testing import FakeAnthropicServer

        with FakeAnthropicServer(["Bonjour"]) as server:
            model = AnthropicChatModel("some-model", base_url=server.base_url, max_tokens=100)
            assert model.invoke([("system", "Speak French."), "Hi"]).text == "Bonjour"
        assert server.requests[0].body["system"] == "Speak French."
        ```
    """

    provider: str | None = "anthropic"

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        temperature: float | None = None,
        max_tokens: int = 4096,
        stop: Sequence[str] | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        default_headers: Mapping[str, str] | None = None,
        disable_streaming: bool = False,
        client: Any = None,
        request_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._sdk = import_sdk("anthropic")
        self.model_name: str | None = model
        self.temperature = temperature
        self._streaming = not disable_streaming
        defaults = {"temperature": temperature, "max_tokens": max_tokens, "stop": list(stop) if stop else None}
        self._defaults = {
            **{key: value for key, value in defaults.items() if value is not None},
            **(request_options or {}),
        }
        if client is not None:
            self._clients = Clients(lambda: client)
            return
        server = base_url or os.environ.get("ANTHROPIC_BASE_URL")
        settings: dict[str, Any] = {
            "api_key": find_key(api_key, ("ANTHROPIC_API_KEY",), server, "Anthropic"),
            "base_url": server,
            "timeout": timeout,
            "max_retries": max_retries,
            "default_headers": default_headers,
        }
        known = {key: value for key, value in settings.items() if value is not None}
        self._clients = Clients(lambda: self._sdk.AsyncAnthropic(**known))

    async def answer(self, messages: list[BaseMessage], **options: Any) -> AsyncIterator[AIMessageChunk | AIMessage]:
        """Answer a conversation. `options` go into the request, besides those that all models know."""
        whole = None if self._streaming else await self.answer_whole(messages, **options)
        if whole is not None:
            yield whole
            return
        with self._errors():
            request = self._request(messages, options)
            stream = await self._create(stream=True, **fit_request(self._create, request))
            async with aclosing(stream_items(stream)) as events:
                async for event in events:
                    piece = read_anthropic(event)
                    if piece is not None:
                        yield piece  # noqa: ASYNC119 - closed by the base class

    async def answer_whole(self, messages: list[BaseMessage], **options: Any) -> AIMessage | None:
        """The answer in one piece, for a call whose tokens nobody wants to see; None for one that may be long."""
        with self._errors():
            request = self._request(messages, options)
            if request.get("max_tokens", 0) > _LONG:
                return None
            return read_anthropic_whole(await self._create(**fit_request(self._create, request)))

    @property
    def _create(self) -> Any:
        return self._clients.get().messages.create

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            translated = translate_error(error, self._sdk, "Anthropic")
            if translated is error:
                raise
            raise translated from error

    async def aclose(self) -> None:
        """Close the connections that this model, and those made of it, keep open on the running event loop."""
        await self._clients.aclose()

    def _request(self, messages: list[BaseMessage], options: Mapping[str, Any]) -> dict[str, Any]:
        system, conversation = to_anthropic(messages)
        request = {"model": self.model_name, **self._defaults, **options, "messages": conversation}
        if system:
            request["system"] = system
        if "stop" in request:
            request["stop_sequences"] = list(request.pop("stop"))
        tools = request.pop("tools", None)
        choice = request.pop("tool_choice", None)
        one_at_a_time = request.pop("parallel_tool_calls", None) is False
        if tools:
            request["tools"] = [to_anthropic_tool(tool) for tool in tools]
            if isinstance(choice, str):
                kind = _CHOICES.get(choice)
                choice = {"type": "tool", "name": choice} if kind is None else {"type": kind}
            if one_at_a_time:  # what OpenAI has an argument of its own for
                choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
            if choice is not None:
                request["tool_choice"] = choice
        if "response_format" in request:
            raise ModelSetupError(
                "Anthropic's API has no response_format; ask for structured output with method='function_calling'"
            )
        return request
