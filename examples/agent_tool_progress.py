"""A tool of an agent streams data while it runs, and the reader sees it beside the agent's steps and tokens.

Run it: ``python -m examples.agent_tool_progress``
"""

from __future__ import annotations

from typing import Any

import anyio

from examples._model import choose_model
from penstock.config import get_stream_writer
from penstock.models import ChatModel
from penstock.prebuilt import create_react_agent
from penstock.tools import tool

SCRIPT = [
    {"tool_calls": [{"name": "get_items", "args": {"place": "office"}}]},
    "Books, pencils and pictures.",
]
INPUT = {"messages": [{"role": "user", "content": "what items are in the office?"}]}


@tool
async def get_items(place: str) -> str:
    """Use this tool to list items one might find in a place you're asked about."""
    writer = get_stream_writer()
    items = ["books", "penciles", "pictures"]
    for item in items:
        # Awaited, it waits for a reader who is behind; without `await` it does so at the next await.
        await writer({"custom_tool_data": item})
    return ", ".join(items)


def build(model: ChatModel) -> Any:
    """Its nodes are `agent`, which asks the model, and `tools`, which calls the tools."""
    return create_react_agent(model, [get_items])


async def stream_async() -> None:
    print("what the tool says")
    async for chunk in build(choose_model(SCRIPT)).astream(INPUT, stream_mode="custom"):
        print(" ", chunk)
    print("and the steps around it")
    async for mode, chunk in build(choose_model(SCRIPT)).astream(INPUT, stream_mode=["updates", "custom"]):
        print(" ", mode, list(chunk))


def main() -> None:
    anyio.run(stream_async)


if __name__ == "__main__":
    main()
