"""A tool that is a plain function tells what it is doing, in an agent, for plain code and for async code.

Run it: ``python -m examples.agent_custom``
"""

from __future__ import annotations

from typing import Any

import anyio

from examples._model import choose_model
from examples.agent_updates import INPUT, SCRIPT
from penstock.config import get_stream_writer
from penstock.models import ChatModel
from penstock.prebuilt import create_react_agent


def get_weather(city: str) -> str:
    """Get weather for a given city."""
    writer = get_stream_writer()
    writer(f"Looking up data for city: {city}")
    return f"It's always sunny in {city}!"


def build(model: ChatModel) -> Any:
    return create_react_agent(model, [get_weather])


async def stream_async() -> None:
    async for chunk in build(choose_model(SCRIPT)).astream(INPUT, stream_mode="custom"):
        print("  async:", chunk)


def main() -> None:
    for chunk in build(choose_model(SCRIPT)).stream(INPUT, stream_mode="custom"):
        print("  sync: ", chunk)
    anyio.run(stream_async)


if __name__ == "__main__":
    main()
