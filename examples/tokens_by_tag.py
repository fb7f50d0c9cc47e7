"""Two calls of a model in one node: tags tell their tokens apart.

Run it: ``python -m examples.tokens_by_tag``
"""

from __future__ import annotations

from typing import Any, TypedDict

import anyio

from examples._model import choose_model
from penstock.config import RunnableConfig
from penstock.graph import START, StateGraph
from penstock.models import ChatModel

JOKE = ["Why did the cat sit on the computer? To keep an eye on the mouse."]
POEM = ["Soft paws at night, a dream of fish."]


class State(TypedDict, total=False):
    topic: str
    joke: str
    poem: str


def build(joker: ChatModel, poet: ChatModel) -> Any:
    joke_model = joker.with_config(tags=["joke"])
    poem_model = poet.with_config(tags=["poem"])

    async def call_model(state: State, config: RunnableConfig) -> State:
        topic = state["topic"]
        # Passing the config on is allowed, and nowhere needed: Python 3.10 finds it, too.
        joke = await joke_model.ainvoke([{"role": "user", "content": f"Write a joke about {topic}"}], config)
        poem = await poem_model.ainvoke([{"role": "user", "content": f"Write a short poem about {topic}"}])
        return {"joke": joke.text, "poem": poem.text}

    return StateGraph(State).add_node(call_model).add_edge(START, "call_model").compile()


def graph() -> Any:
    return build(choose_model(JOKE), choose_model(POEM))


async def stream_async() -> None:
    print("both calls")
    async for token, _metadata in graph().astream({"topic": "cats"}, stream_mode="messages"):
        if token.text:
            print(token.text, end="|", flush=True)
    print("\nthe joke, chosen by the reader")
    async for token, metadata in graph().astream({"topic": "cats"}, stream_mode="messages"):
        if token.text and "joke" in metadata.get("tags", []):
            print(token.text, end="|", flush=True)
    print("\nthe joke, chosen at the source: tokens of the poem never enter the stream")
    only = {"tags": ["joke"]}
    async for token, _metadata in graph().astream({"topic": "cats"}, stream_mode="messages", only=only):
        if token.text:
            print(token.text, end="|", flush=True)
    print()


def main() -> None:
    anyio.run(stream_async)


if __name__ == "__main__":
    main()
