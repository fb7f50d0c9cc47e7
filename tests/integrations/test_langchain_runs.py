"""Graphs and nodes as LangChain's callback handlers see them: a tree of runs."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import anyio.to_thread
import pytest

pytest.importorskip("langchain_core")

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.runnables import RunnableLambda

from penstock.graph import START, MessagesState, StateGraph

from ._langchain import one, scripted

EMPTY: dict[str, Any] = {"messages": []}


class Tree(BaseCallbackHandler):
    """Notes runs as paths of names, and how they end."""

    def __init__(self) -> None:
        self.paths: dict[UUID, str] = {}
        self.ended: dict[str, Any] = {}
        self.details: dict[str, Any] = {}

    def _start(self, run_id: UUID, parent_run_id: UUID | None, name: str, details: Any) -> None:
        above = f"{self.paths[parent_run_id]}/" if parent_run_id is not None else ""
        self.paths[run_id] = above + name
        self.details[above + name] = {"run_id": run_id, **details}

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: Any, parent_run_id: Any = None, **d: Any) -> None:
        self._start(run_id, parent_run_id, d["name"], {"inputs": inputs, **d})

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: Any, parent_run_id: Any = None, **d: Any
    ) -> None:
        self._start(run_id, parent_run_id, "model", d)

    def on_chain_end(self, outputs: Any, *, run_id: Any, **d: Any) -> None:
        self.ended[self.paths[run_id]] = outputs

    def on_llm_end(self, response: Any, *, run_id: Any, **d: Any) -> None:
        self.ended[self.paths[run_id]] = "answer"

    def on_chain_error(self, error: Any, *, run_id: Any, **d: Any) -> None:
        self.ended[self.paths[run_id]] = error


def ask(state: MessagesState) -> Any:
    return {"messages": [scripted("a").invoke("x")]}


async def run(graph: Any, tree: Tree, **config: Any) -> None:
    async for _ in graph.astream(EMPTY, {"callbacks": [tree], **config}, stream_mode="messages", subgraphs=True):
        pass


async def test_a_graph_and_its_nodes_are_runs_around_the_calls() -> None:
    tree = Tree()
    ident = UUID(int=7)
    await run(one(ask), tree, run_name="mine", run_id=ident, tags=["t"], metadata={"user": "ada"})
    assert [*tree.paths.values()] == ["mine", "mine/node", "mine/node/model"]
    assert set(tree.ended) == set(tree.paths.values())
    root, node, model = tree.details.values()
    assert (root["run_id"], root["inputs"], root["tags"]) == (ident, EMPTY, ["t"])
    assert node["inputs"] == EMPTY
    assert (node["metadata"]["langgraph_node"], node["metadata"]["user"]) == ("node", "ada")
    assert "t" in model["tags"]
    assert [m.content for m in tree.ended["mine/node"]["messages"]] == ["a"]
    assert [m.content for m in tree.ended["mine"]["messages"]] == ["a"]


async def test_nested_graphs_and_chains_nest_in_the_tree() -> None:
    tree = Tree()
    inner = one(ask)

    def calls(state: MessagesState) -> Any:
        return RunnableLambda(lambda _: inner.invoke(EMPTY), name="chain").invoke("x")

    graph = StateGraph(MessagesState).add_node("sub", inner).add_node(calls)
    await run(graph.add_edge(START, "sub").add_edge("sub", "calls").compile(name="outer"), tree)
    name = inner.name
    assert [*tree.paths.values()] == [
        "outer",
        "outer/sub",
        f"outer/sub/{name}",
        f"outer/sub/{name}/node",
        f"outer/sub/{name}/node/model",
        "outer/calls",
        "outer/calls/chain",
        f"outer/calls/chain/{name}",
        f"outer/calls/chain/{name}/node",
        f"outer/calls/chain/{name}/node/model",
    ]
    assert set(tree.ended) == set(tree.paths.values())


async def test_a_graph_inside_a_chain_is_a_run_of_that_chain() -> None:
    tree = Tree()
    chain = RunnableLambda(lambda _: one(ask).invoke(EMPTY), name="chain")
    await anyio.to_thread.run_sync(lambda: chain.invoke("x", {"callbacks": [tree]}))
    assert [path.count("/") for path in tree.paths.values()] == [0, 1, 2, 3]


async def test_failures_are_told_at_every_level() -> None:
    tree = Tree()
    error = ValueError("broken")

    async def fails(state: MessagesState) -> None:
        raise error

    with pytest.raises(ValueError, match="broken"):
        await one(fails).ainvoke(EMPTY, {"callbacks": [tree], "run_name": "mine"})
    assert tree.ended == {"mine/node": error, "mine": error}


async def test_who_leaves_early_fails_the_runs() -> None:
    tree = Tree()

    async def waits(state: MessagesState) -> None:
        await anyio.sleep_forever()

    with anyio.move_on_after(0.01):
        await one(waits).ainvoke(EMPTY, {"callbacks": [tree], "run_name": "mine"})
    assert set(tree.ended) == {"mine/node", "mine"}


async def test_a_handler_that_fails_disturbs_nobody() -> None:
    class Bad(BaseCallbackHandler):
        raise_error = True

        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            raise RuntimeError("bad handler")

        on_chain_end = on_chain_start

    result = await one(ask).ainvoke(EMPTY, {"callbacks": [Bad()]})
    assert result["messages"][0].content == "a"


@pytest.mark.backends("asyncio", "asyncio+uvloop")
async def test_async_handlers_hear_of_runs_too() -> None:
    seen: list[str] = []

    class Handler(AsyncCallbackHandler):
        async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            await asyncio.sleep(0)
            seen.append(kwargs["name"])

    await one(ask).ainvoke(EMPTY, {"callbacks": [Handler()], "run_name": "mine"})
    assert seen == ["mine", "node"]
