"""Showing what an SDK client streams, without touching the code that calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from inspect import isawaitable
from typing import Any

from penstock.models import stream_tokens


@contextmanager
def instrument_openai(client: Any) -> Iterator[Any]:
    """Show in `messages` mode what a client of OpenAI's SDK streams inside nodes.

    Streamed chat completions and responses of this client are shown as if each were given to
    :func:`penstock.models.stream_tokens`; a slow reader of the run slows them down. Calls that do not stream, and calls
    outside of nodes, are left alone. Calls through `with_raw_response` are not shown.

    Args:
        client: an `AsyncOpenAI` or `OpenAI`.

    Returns:
        The client, which is as before when the block ends.

    Raises:
        TypeError: this is no such client.

    Example:
        ```python
        from typing import TypedDict

        import pytest

        openai = pytest.importorskip("openai")

        from penstock.graph import START, StateGraph
        from penstock.integrations.openai import instrument_openai
        from penstock.testing import FakeOpenAIServer

        class State(TypedDict):
            text: str

        def work(state: State):
            ask = [{"role": "user", "content": "Hi"}]
            stream = client.chat.completions.create(model="m", messages=ask, stream=True)
            return {"text": "".join(chunk.choices[0].delta.content or "" for chunk in stream)}

        graph = StateGraph(State).add_node(work).add_edge(START, "work").compile()
        with FakeOpenAIServer(["Hello there"]) as server:
            with openai.OpenAI(base_url=server.base_url, api_key="none") as client, instrument_openai(client):
                shown = [chunk.text for chunk, _ in graph.stream({"text": ""}, stream_mode="messages")]
        assert "".join(shown) == "Hello there"
        ```
    """
    resources = [getattr(getattr(client, "chat", None), "completions", None), getattr(client, "responses", None)]
    with _instrumented(client, resources, "openai", "an AsyncOpenAI or OpenAI"):
        yield client


@contextmanager
def instrument_anthropic(client: Any) -> Iterator[Any]:
    """Show in `messages` mode what a client of Anthropic's SDK streams inside nodes.

    As :func:`penstock.integrations.openai.instrument_openai` does, for `messages.create(stream=True)` and
    `messages.stream()`.

    Args:
        client: an `AsyncAnthropic` or `Anthropic`.

    Returns:
        The client, which is as before when the block ends.

    Raises:
        TypeError: this is no such client.
    """
    with _instrumented(client, [getattr(client, "messages", None)], "anthropic", "an AsyncAnthropic or Anthropic"):
        yield client


@contextmanager
def _instrumented(client: Any, resources: list[Any], provider: str, expected: str) -> Iterator[None]:
    found = [resource for resource in resources if hasattr(resource, "_post")]
    if not found:
        raise TypeError(f"expected {expected}, got {client!r} ({type(client).__name__})")
    with ExitStack() as stack:
        for resource in found:
            original = resource._post
            resource._post = _showing(original, provider)
            stack.callback(setattr, resource, "_post", original)
        yield


def _showing(post: Callable[..., Any], provider: str) -> Callable[..., Any]:
    """What all of a resource's requests go through, with an eye on those that stream."""

    def shown(path: str, **request: Any) -> Any:
        answer = post(path, **request)
        if not request.get("stream"):
            return answer
        body = request.get("body")
        metadata = {"ls_provider": provider}
        if isinstance(body, Mapping) and isinstance(body.get("model"), str):
            metadata["ls_model_name"] = body["model"]
        return _shown_later(answer, metadata) if isawaitable(answer) else _show(answer, metadata)

    return shown


async def _shown_later(answer: Any, metadata: Mapping[str, Any]) -> Any:
    return _show(await answer, metadata)


def _show(stream: Any, metadata: Mapping[str, Any]) -> Any:
    # The stream stays what it is, for those who ask for its type, its response or its helpers.
    if hasattr(stream, "_iterator"):
        stream._iterator = stream_tokens(stream._iterator, metadata=metadata)
    return stream
