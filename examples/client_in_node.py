"""Stream what a provider's own client streams: no model object, only OpenAI's SDK and a node that uses it.

Two ways: the node writes `custom` chunks of its own making, or it wraps the client's stream in `stream_tokens`, and
its tokens appear in `messages` mode like those of any model.

Run it: ``python -m examples.client_in_node``
"""

from __future__ import annotations

from typing import Any, TypedDict

import anyio

from examples._model import choose_client
from penstock.config import RunnableConfig
from penstock.graph import START, StateGraph
from penstock.models import stream_tokens
from penstock.types import StreamWriter

MODEL = "gpt-4o-mini"
SCRIPT = ["Why did the cat sit on the computer?", "Soft paws at night."]


class State(TypedDict, total=False):
    topic: str
    joke: str
    poem: str


def build(client: Any) -> Any:
    """The node writes each token with metadata as it likes them."""

    async def call_model(state: State, config: RunnableConfig, writer: StreamWriter) -> State:
        written = {"joke": "", "poem": ""}
        for kind in written:
            messages = [{"role": "user", "content": f"Write a short {kind} about {state['topic']}"}]
            metadata = {**config["metadata"], "tags": [kind]}
            role = None
            async for chunk in await client.chat.completions.create(model=MODEL, messages=messages, stream=True):
                delta = chunk.choices[0].delta
                role = delta.role or role
                if delta.content:
                    written[kind] += delta.content
                    await writer(({"role": role, "content": delta.content}, metadata))
        return {"joke": written["joke"], "poem": written["poem"]}

    return StateGraph(State).add_node(call_model).add_edge(START, "call_model").compile()


def build_with_stream_tokens(client: Any) -> Any:
    """The node streams as it would without a graph; one call makes its tokens visible."""

    async def call_model(state: State) -> State:
        written = {"joke": "", "poem": ""}
        for kind in written:
            messages = [{"role": "user", "content": f"Write a short {kind} about {state['topic']}"}]
            answer = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
            async for chunk in stream_tokens(answer, tags=[kind]):
                written[kind] += chunk.choices[0].delta.content or ""
        return {"joke": written["joke"], "poem": written["poem"]}

    return StateGraph(State).add_node(call_model).add_edge(START, "call_model").compile()


async def stream_async() -> None:
    async with choose_client(SCRIPT) as client:
        print("custom chunks")
        async for message, _metadata in build(client).astream({"topic": "cats"}, stream_mode="custom"):
            print(message["content"], end="|", flush=True)
    async with choose_client(SCRIPT) as client:
        print("\ncustom chunks, those of the poem")
        async for message, metadata in build(client).astream({"topic": "cats"}, stream_mode="custom"):
            if "poem" in metadata["tags"]:
                print(message["content"], end="|", flush=True)
    async with choose_client(SCRIPT) as client:
        print("\nmessages, those of the poem")
        graph = build_with_stream_tokens(client)
        async for token, metadata in graph.astream({"topic": "cats"}, stream_mode="messages"):
            if token.text and "poem" in metadata["tags"]:
                print(token.text, end="|", flush=True)
    print()


def main() -> None:
    anyio.run(stream_async)


if __name__ == "__main__":
    main()
