"""Stream the tokens of a model that a node asks: `stream_mode="messages"`.

Run it: ``python -m examples.tokens``
"""

from __future__ import annotations

from typing import Any, TypedDict

import anyio

from examples._model import choose_model
from penstock.graph import START, StateGraph
from penstock.models import ChatModel

SCRIPT = ["Why did the cat eat ice cream? To become a cool cat."]


class State(TypedDict, total=False):
    topic: str
    joke: str


def build(model: ChatModel) -> Any:
    def refine_topic(state: State) -> State:
        return {"topic": state["topic"] + " and cats"}

    def generate_joke(state: State) -> State:
        # Its tokens are streamed, although the node waits for the whole answer.
        answer = model.invoke([{"role": "user", "content": f"Tell me a joke about {state['topic']}"}])
        return {"joke": answer.text}

    return StateGraph(State).add_sequence([refine_topic, generate_joke]).add_edge(START, "refine_topic").compile()


async def stream_async() -> None:
    graph = build(choose_model(SCRIPT))
    async for token, metadata in graph.astream({"topic": "ice cream"}, stream_mode="messages"):
        if token.text:
            print(token.text, end="|", flush=True)
        if token.chunk_position == "last":
            print(f"\nfrom the node {metadata['langgraph_node']}, in superstep {metadata['langgraph_step']}")


def main() -> None:
    for token, _metadata in build(choose_model(SCRIPT)).stream({"topic": "ice cream"}, stream_mode="messages"):
        if token.text:
            print(token.text, end="|", flush=True)
    print()
    anyio.run(stream_async)


if __name__ == "__main__":
    main()
