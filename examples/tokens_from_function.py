"""Stream the tokens of a model deep in the code: the node calls a function, which asks the model.

Run it: ``python -m examples.tokens_from_function``
"""

from __future__ import annotations

from typing import Any

from examples._model import choose_model
from penstock.graph import START, MessagesState, StateGraph
from penstock.models import ChatModel

SCRIPT = ["A lamp, a desk and a bed."]


def build(model: ChatModel) -> Any:
    def tool(tool_arg: str) -> str:
        """Knows nothing of the graph it runs in, and its model's tokens are streamed all the same."""
        return model.invoke(tool_arg).text

    def call_tools(state: MessagesState) -> dict[str, Any]:
        tool("What might I find in a bedroom?")
        return {"messages": []}

    return StateGraph(MessagesState).add_node(call_tools).add_edge(START, "call_tools").compile()


def main() -> None:
    for token, _metadata in build(choose_model(SCRIPT)).stream({"messages": []}, stream_mode="messages"):
        if token.text:
            print(token.text, end="|", flush=True)
    print()


if __name__ == "__main__":
    main()
