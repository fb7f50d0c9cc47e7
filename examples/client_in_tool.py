"""A tool streams what OpenAI's own client streams, in a graph with messages as plain dicts: no models, no agent.

Run it: ``python -m examples.client_in_tool``
"""

from __future__ import annotations

import json
import operator
from typing import Annotated, Any, TypedDict

import anyio

from examples._model import choose_client
from penstock.config import get_stream_writer
from penstock.graph import START, StateGraph

MODEL = "gpt-4o-mini"
SCRIPT = ["A bed, a lamp and a desk."]


class State(TypedDict):
    messages: Annotated[list[dict[str, Any]], operator.add]


def build(client: Any) -> Any:
    async def get_items(place: str) -> str:
        """List items one might find in a place."""
        writer = get_stream_writer()
        question = f"What might I find in the following place: '{place}'? Name at least 3 things."
        answer = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": question}], stream=True
        )
        role, response = None, ""
        async for chunk in answer:
            delta = chunk.choices[0].delta
            role = delta.role or role
            if delta.content:
                response += delta.content
                await writer({"role": role, "content": delta.content})
        return response

    async def call_tool(state: State) -> State:
        call = state["messages"][-1]["tool_calls"][-1]
        if call["function"]["name"] != "get_items":
            raise ValueError(f"there is no tool named {call['function']['name']!r}")
        response = await get_items(**json.loads(call["function"]["arguments"]))
        return {
            "messages": [{"tool_call_id": call["id"], "role": "tool", "name": "get_items", "content": response}],
        }

    return StateGraph(State).add_node(call_tool).add_edge(START, "call_tool").compile()


CALL = {"id": "1", "function": {"arguments": '{"place":"bedroom"}', "name": "get_items"}, "type": "function"}
INPUT = {"messages": [{"content": None, "role": "assistant", "tool_calls": [CALL]}]}


async def stream_async() -> None:
    async with choose_client(SCRIPT) as client:
        async for chunk in build(client).astream(INPUT, stream_mode="custom"):
            print(chunk["content"], end="|", flush=True)
    print()


def main() -> None:
    anyio.run(stream_async)


if __name__ == "__main__":
    main()
