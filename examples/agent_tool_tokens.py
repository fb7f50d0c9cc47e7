"""A tool of an agent asks a model itself, and the reader sees those tokens only.

Run it: ``python -m examples.agent_tool_tokens``
"""

from __future__ import annotations

from typing import Any

import anyio

from examples._model import choose_model
from penstock.config import RunnableConfig
from penstock.messages import AIMessageChunk
from penstock.models import ChatModel
from penstock.prebuilt import create_react_agent
from penstock.tools import tool

SCRIPT = [
    {"tool_calls": [{"name": "get_items", "args": {"place": "bedroom"}}]},
    "A bed, a lamp and a desk.",  # asked by the tool
    "You might find a bed, a lamp and a desk.",
]
INPUT = {"messages": [{"role": "user", "content": "what items are in the bedroom?"}]}


def build(model: ChatModel) -> Any:
    @tool
    async def get_items(place: str, config: RunnableConfig) -> str:
        """Use this tool to list items one might find in a place you're asked about."""
        question = f"Can you tell me what kind of items I might find in the following place: '{place}'."
        answer = await model.ainvoke([{"role": "user", "content": question}], config)
        return answer.text

    return create_react_agent(model, [get_items])


async def stream_async() -> None:
    async for token, metadata in build(choose_model(SCRIPT)).astream(INPUT, stream_mode="messages"):
        if isinstance(token, AIMessageChunk) and token.text and metadata["langgraph_node"] == "tools":
            print(token.text, end="|", flush=True)
    print()


def main() -> None:
    anyio.run(stream_async)


if __name__ == "__main__":
    main()
