"""What the modes show of one and the same run: ``values``, ``updates`` and ``debug``.

Run it: ``python examples/values_updates_debug.py``
"""

from __future__ import annotations

from typing import TypedDict

import anyio

from penstock.graph import START, StateGraph
from penstock.types import StreamMode


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

MODES: tuple[StreamMode, ...] = ("values", "updates", "debug")


async def stream_async() -> None:
    for mode in MODES:
        print(f"{mode}, async")
        async for chunk in graph.astream({"topic": "ice cream"}, stream_mode=mode):
            print(" ", chunk)
    print("the default mode is updates")
    async for chunk in graph.astream({"topic": "ice cream"}):
        print(" ", chunk)


def main() -> None:
    for mode in MODES:
        print(f"{mode}, sync")
        for chunk in graph.stream({"topic": "ice cream"}, stream_mode=mode):
            print(" ", chunk)
    anyio.run(stream_async)


if __name__ == "__main__":
    main()
