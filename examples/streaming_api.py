"""Use the streaming API: sync and async, with one mode and with a list of modes.

One mode gives bare chunks; a list of modes gives ``(mode, chunk)``.

Run it: ``python examples/streaming_api.py``
"""

from __future__ import annotations

from typing import TypedDict

import anyio

from penstock.graph import START, StateGraph


class State(TypedDict, total=False):
    topic: str
    joke: str


def refine_topic(state: State) -> State:
    return {"topic": state["topic"] + " and cats"}


def generate_joke(state: State) -> State:
    return {"joke": f"This is a joke about {state['topic']}"}


graph = (
    StateGraph(State)
    .add_node(refine_topic)
    .add_node(generate_joke)
    .add_edge(START, "refine_topic")
    .add_edge("refine_topic", "generate_joke")
    .compile()
)


async def stream_async() -> None:
    print("async, one mode")
    async for chunk in graph.astream({"topic": "ice cream"}, stream_mode="updates"):
        print(" ", chunk)
    print("async, a list of modes")
    async for mode, chunk in graph.astream({"topic": "ice cream"}, stream_mode=["updates", "custom"]):
        print(" ", mode, chunk)


def main() -> None:
    print("sync, one mode")
    for chunk in graph.stream({"topic": "ice cream"}, stream_mode="updates"):
        print(" ", chunk)
    print("sync, a list of modes")
    for mode, chunk in graph.stream({"topic": "ice cream"}, stream_mode=["updates", "custom"]):
        print(" ", mode, chunk)
    anyio.run(stream_async)


if __name__ == "__main__":
    main()
