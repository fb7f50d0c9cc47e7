"""Tokens of one node out of two: chosen by the reader, or at the source.

Run it: ``python -m examples.tokens_of_one_node``
"""

from __future__ import annotations

from typing import Any

from examples._model import choose_model
from penstock.graph import START, MessagesState, StateGraph
from penstock.models import ChatModel

SCRIPT = ["I am the first.", "And I come second."]


def build(model: ChatModel) -> Any:
    def node_a(state: MessagesState) -> None:
        model.invoke("Who are you?")

    def node_b(state: MessagesState) -> None:
        model.invoke("And you?")

    return StateGraph(MessagesState).add_sequence([node_a, node_b]).add_edge(START, "node_a").compile()


def main() -> None:
    print("chosen by the reader")
    for token, metadata in build(choose_model(SCRIPT)).stream({"messages": []}, stream_mode="messages"):
        if token.text and metadata["langgraph_node"] == "node_a":
            print(token.text, end="|", flush=True)
    print("\nchosen at the source: tokens of node_b never enter the stream")
    graph = build(choose_model(SCRIPT))
    for token, _metadata in graph.stream({"messages": []}, stream_mode="messages", only="node_a"):
        if token.text:
            print(token.text, end="|", flush=True)
    print()


if __name__ == "__main__":
    main()
