"""A tool that streams needs a graph around it: called alone, it gets an error that says so, and tests help themselves.

Run it: ``python examples/writer_outside_graph.py``
"""

from __future__ import annotations

from typing import TypedDict

from penstock.config import get_stream_writer
from penstock.graph import START, StateGraph
from penstock.testing import capture_writer
from penstock.tools import tool


class State(TypedDict):
    city: str
    weather: str


def get_weather(city: str) -> str:
    """Get weather for a given city."""
    writer = get_stream_writer()
    writer(f"Looking up data for city: {city}")
    return f"It's always sunny in {city}!"


def ask(state: State) -> dict[str, str]:
    return {"weather": get_weather(state["city"])}


graph = StateGraph(State).add_node(ask).add_edge(START, "ask").compile()
weather_tool = tool(get_weather)


def main() -> None:
    print("inside a graph")
    for mode, chunk in graph.stream({"city": "sf"}, stream_mode=["custom", "updates"]):
        print(" ", mode, chunk)
    print("outside")
    for call in (lambda: get_weather("sf"), lambda: weather_tool.invoke({"city": "sf"})):
        try:
            call()
        except RuntimeError as error:
            print("  RuntimeError:", error)
        else:
            raise AssertionError("the writer was found outside of a graph")
    print("in a test")
    with capture_writer() as written:
        print(" ", weather_tool.invoke({"city": "sf"}))
    print(" ", written)


if __name__ == "__main__":
    main()
