"""Chat models: what nodes ask, and whose tokens a run can show while they arrive.

:class:`ChatModel` is the base of all models; one method makes one. :func:`init_chat_model` opens a provider's model by
name. :func:`stream_tokens` shows what any other client streams.

Example:
    ```python
    from typing import TypedDict

    from penstock.graph import START, StateGraph
    from penstock.testing import ScriptedChatModel

    model = ScriptedChatModel(["Why did the cat cross the road?"])

    class State(TypedDict):
        topic: str
        joke: str

    async def tell(state: State):
        answer = await model.ainvoke(f"Tell me a joke about {state['topic']}")
        return {"joke": answer.text}

    graph = StateGraph(State).add_node(tell).add_edge(START, "tell").compile()
    tokens = [chunk.text for chunk, metadata in graph.stream({"topic": "cats"}, stream_mode="messages")]
    assert tokens == ["Why", " did", " the", " cat", " cross", " the", " road?", ""]
    ```
"""

from __future__ import annotations

from ._chat_model import ChatModel, ChatStream
from ._init import init_chat_model
from ._stream_tokens import SyncTokenStream, TokenStream, stream_tokens
from ._structured import StructuredModel

__all__ = [
    "ChatModel",
    "ChatStream",
    "StructuredModel",
    "SyncTokenStream",
    "TokenStream",
    "init_chat_model",
    "stream_tokens",
]
