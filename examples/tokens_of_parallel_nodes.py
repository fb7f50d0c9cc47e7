"""Two nodes ask a model at the same time: their tokens interleave, and the metadata tells them apart.

Run it: ``python -m examples.tokens_of_parallel_nodes``
"""

from __future__ import annotations

from typing import Any, TypedDict

import anyio

from examples._model import choose_model
from penstock.graph import START, StateGraph
from penstock.messages import BaseMessage
from penstock.models import ChatModel


def answer(messages: list[BaseMessage]) -> str:
    """What the scripted model says."""
    asked = messages[-1].text
    return "Soft paws at night, a dream of fish." if "poem" in asked else "Why did the cat sit on the computer?"


SCRIPT = [answer, answer]


class State(TypedDict, total=False):
    topic: str
    joke: str
    poem: str


def build(model: ChatModel) -> Any:
    def write_joke(state: State) -> State:
        response = model.invoke([{"role": "user", "content": f"Write a joke about {state['topic']}"}])
        return {"joke": response.text}

    def write_poem(state: State) -> State:
        response = model.invoke([{"role": "user", "content": f"Write a short poem about {state['topic']}"}])
        return {"poem": response.text}

    return (
        StateGraph(State)
        .add_node(write_joke)
        .add_node(write_poem)
        # Both begin at once.
        .add_edge(START, "write_joke")
        .add_edge(START, "write_poem")
        .compile()
    )


async def stream_async() -> None:
    said = {"write_joke": "", "write_poem": ""}
    async for token, metadata in build(choose_model(SCRIPT)).astream({"topic": "cats"}, stream_mode="messages"):
        said[metadata["langgraph_node"]] += token.text
    for node, text in said.items():
        print(f"{node}: {text}")


def main() -> None:
    for token, metadata in build(choose_model(SCRIPT)).stream({"topic": "cats"}, stream_mode="messages"):
        if token.text and metadata["langgraph_node"] == "write_poem":
            print(token.text, end="|", flush=True)
    print()
    anyio.run(stream_async)


if __name__ == "__main__":
    main()
