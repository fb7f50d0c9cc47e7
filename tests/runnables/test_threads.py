"""Plain functions and the threads they run in."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import pytest

from penstock.graph import START, MessagesState, StateGraph
from penstock.runnables import RunnableLambda, StrOutputParser
from penstock.testing import ScriptedChatModel

from ._steps import Source, exclaim, upper


async def test_functions_that_call_chains_never_wait_for_their_own_threads() -> None:
    limiter = anyio.to_thread.current_default_thread_limiter()
    limiter.total_tokens = 2
    gate = threading.Barrier(2, timeout=5)
    inner = RunnableLambda(lambda n: n + 1) | (lambda n: n * 2)

    def outer(n: int) -> int:
        gate.wait()
        return inner.invoke(n)

    with anyio.fail_after(20):
        assert await RunnableLambda(outer).abatch([1, 2, 3, 4]) == [4, 6, 8, 10]


async def test_plain_generators_in_a_row_never_wait_for_their_own_threads() -> None:
    limiter = anyio.to_thread.current_default_thread_limiter()
    limiter.total_tokens = 1
    chain = Source(3).step | exclaim | exclaim | (lambda text: text + ".") | exclaim
    with anyio.fail_after(20):
        assert [piece async for piece in chain.astream(None)] == ["0!!1!!2!!.!"]


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_chain_called_in_a_sync_node_shows_its_tokens(streamed: bool) -> None:
    chain = ScriptedChatModel(["one two"]) | StrOutputParser() | upper

    def talk(state: MessagesState) -> Any:
        text = "".join(chain.stream("Hi")) if streamed else chain.invoke("Hi")
        return {"messages": [("ai", text)]}

    graph = StateGraph(MessagesState).add_node(talk).add_edge(START, "talk").compile()
    shown = [chunk.text async for chunk, _ in graph.astream({"messages": []}, stream_mode="messages")]
    assert shown == ["one", " two", ""]


async def test_a_sync_call_in_a_running_loop_works() -> None:
    assert (RunnableLambda(str.upper) | upper).invoke("a") == "A"
