"""LangChain's objects as steps of our chains."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.graph import START, MessagesState, StateGraph
from penstock.runnables import ChatPromptTemplate, RunnableLambda, RunnableSequence, StrOutputParser
from penstock.testing import ScriptedChatModel

pytest.importorskip("langchain_core")
pytestmark = pytest.mark.backends("asyncio")


def langchain_model() -> Any:
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage

    return GenericFakeChatModel(messages=iter([AIMessage("a b")] * 3))


async def test_langchains_models_parsers_and_prompts_are_steps() -> None:
    from langchain_core.output_parsers import StrOutputParser as TheirParser
    from langchain_core.prompts import ChatPromptTemplate as TheirPrompt

    chain = ChatPromptTemplate.from_template("About {x}") | langchain_model() | StrOutputParser()
    assert await chain.ainvoke("cats") == "a b"
    assert [piece async for piece in chain.astream("cats")] == ["a", " ", "b"]
    ours = RunnableSequence(
        TheirPrompt.from_template("About {x}"), ScriptedChatModel(["c d"]), TheirParser(), str.upper
    )
    assert await ours.ainvoke({"x": "cats"}) == "C D"


async def test_our_chains_are_steps_of_langchains() -> None:
    from langchain_core.runnables import RunnableLambda as TheirLambda

    chain = TheirLambda(lambda n: n + 1) | (RunnableLambda(lambda n: n * 2) | str)
    assert await chain.ainvoke(1) == "4"


async def test_tokens_of_langchains_model_in_a_chain_in_a_node() -> None:
    chain = ChatPromptTemplate.from_template("About {x}") | langchain_model()

    async def talk(state: MessagesState) -> Any:
        return {"messages": [await chain.ainvoke("cats", {"tags": ["mine"]})]}

    graph = StateGraph(MessagesState).add_node(talk).add_edge(START, "talk").compile()
    shown = [(c.content, m["tags"]) async for c, m in graph.astream({"messages": []}, stream_mode="messages")]
    assert "".join(text for text, _ in shown) == "a b"
    assert all(tags == ["mine"] for _, tags in shown)
