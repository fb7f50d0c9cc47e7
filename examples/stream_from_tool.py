"""Stream data from inside a tool: a plain function, called from a node, that looks up the stream itself.

Run it: ``python examples/stream_from_tool.py``
"""

from __future__ import annotations

from collections.abc import Iterator

import anyio

from penstock.config import get_stream_writer
from penstock.graph import START, MessagesState, StateGraph


def custom_data_stream() -> Iterator[str]:
    yield from ("one", "two", "three")


def tool(tool_arg: str) -> str:
    """Knows nothing of the graph it runs in, and streams all the same."""
    writer = get_stream_writer()
    for chunk in custom_data_stream():
        writer(chunk)
    return tool_arg


def call_tools(state: MessagesState) -> None:
    tool("x")


graph = StateGraph(MessagesState).add_node(call_tools).add_edge(START, "call_tools").compile()


async def stream_async() -> None:
    async for chunk in graph.astream({"messages": []}, stream_mode="custom"):
        print("  async:", chunk)


def main() -> None:
    for chunk in graph.stream({"messages": []}, stream_mode="custom"):
        print("  sync: ", chunk)
    anyio.run(stream_async)


if __name__ == "__main__":
    main()
