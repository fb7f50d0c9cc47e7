"""A conversation: the node returns the model's answer as a message, which is streamed once, as tokens.

Run it: ``python -m examples.tokens_of_message``
"""

from __future__ import annotations

from typing import Any

import anyio

from examples._model import choose_model
from penstock.graph import START, MessagesState, StateGraph
from penstock.models import ChatModel

SCRIPT = ["Hello! How can I help?"]


def build(model: ChatModel) -> Any:
    def call_model(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    return StateGraph(MessagesState).add_node(call_model).add_edge(START, "call_model").compile()


async def stream_async() -> None:
    async for token, metadata in build(choose_model(SCRIPT)).astream({"messages": "hi"}, stream_mode="messages"):
        if token.text:
            print(f"{metadata['langgraph_node']}: {token.text!r}")


def main() -> None:
    for token, _metadata in build(choose_model(SCRIPT)).stream({"messages": "hi"}, stream_mode="messages"):
        if token.text:
            print(token.text, end="|", flush=True)
    print()
    anyio.run(stream_async)


if __name__ == "__main__":
    main()
