"""Stream custom data from a node that asks for its writer by name, alone and together with the updates.

Run it: ``python examples/custom_and_multiple_modes.py``
"""

from __future__ import annotations

from typing import TypedDict

import anyio

from penstock.graph import START, StateGraph
from penstock.types import StreamWriter


class State(TypedDict, total=False):
    topic: str
    joke: str


def refine_topic(state: State) -> State:
    return {"topic": state["topic"] + " and cats"}


def generate_joke(state: State, writer: StreamWriter) -> State:
    writer({"custom_key": "Writing custom data while generating a joke"})
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
    print("custom, async")
    async for chunk in graph.astream({"topic": "ice cream"}, stream_mode="custom"):
        print(" ", chunk)
    print("updates and custom, async")
    async for mode, chunk in graph.astream({"topic": "ice cream"}, stream_mode=["updates", "custom"]):
        print(" ", mode, chunk)


def main() -> None:
    print("custom, sync")
    for chunk in graph.stream({"topic": "ice cream"}, stream_mode="custom"):
        print(" ", chunk)
    print("updates and custom, sync")
    for mode, chunk in graph.stream({"topic": "ice cream"}, stream_mode=["updates", "custom"]):
        print(" ", mode, chunk)
    print("updates alone: nobody asked for custom data, so writing it does nothing")
    for chunk in graph.stream({"topic": "ice cream"}, stream_mode="updates"):
        print(" ", chunk)
    anyio.run(stream_async)


if __name__ == "__main__":
    main()
