"""Follow an agent step by step: `stream_mode="updates"`.

Run it: ``python -m examples.agent_updates``
"""

from __future__ import annotations

from typing import Any

import anyio

from examples._model import choose_model
from penstock.models import ChatModel
from penstock.prebuilt import create_react_agent

SCRIPT = [{"tool_calls": [{"name": "get_weather", "args": {"city": "sf"}}]}, "It's sunny in San Francisco."]
INPUT = {"messages": "what is the weather in sf"}


def get_weather(city: str) -> str:
    """Get weather for a given city."""
    return f"It's always sunny in {city}!"


def build(model: ChatModel) -> Any:
    """A function with a docstring is a tool; a model's name, such as "openai:gpt-4o-mini", would do for a model."""
    return create_react_agent(model, [get_weather])


def show(chunk: dict[str, Any]) -> None:
    for node, update in chunk.items():
        for message in update["messages"]:
            calls = [f"{call['name']}({call['args']})" for call in getattr(message, "tool_calls", ())]
            print(f"  {node}: {message.type} {message.text or ', '.join(calls)}")


async def stream_async() -> None:
    print("async")
    async for chunk in build(choose_model(SCRIPT)).astream(INPUT, stream_mode="updates"):
        show(chunk)


def main() -> None:
    print("sync")
    for chunk in build(choose_model(SCRIPT)).stream(INPUT, stream_mode="updates"):
        show(chunk)
    anyio.run(stream_async)


if __name__ == "__main__":
    main()
