"""Tokens of chat models in ``messages`` mode: the model is called in a node, its tokens reach the consumer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from ..chat import script
from ..graph_api import GraphApi
from ..measure import Meter
from ..model import Program, Size, Workload
from ..raw import Engine
from ..tempo import Tempo

QUESTION = {"messages": [("user", "Go on")]}


def expected(size: Size) -> list[tuple[str, str]]:
    """Each token with the node it comes from, then the empty chunk that marks the end of an answer."""
    return [(token, "ask") for token in (*script.tokens(size["tokens"]), "")]


def read(chunk: tuple[Any, dict[str, Any]]) -> tuple[str, str]:
    message, metadata = chunk
    return message.content, metadata["langgraph_node"]


def asking(api: GraphApi, model: Any) -> Any:
    async def ask(state: Any) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    return one_node(api, ask)


def asking_in_thread(api: GraphApi, model: Any) -> Any:
    def ask(state: Any) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    return one_node(api, ask)


def one_node(api: GraphApi, ask: Any) -> Any:
    builder = api.StateGraph(api.MessagesState)
    builder.add_node("ask", ask)
    builder.add_edge(api.START, "ask")
    builder.add_edge("ask", api.END)
    return builder.compile()


def own_model(api: GraphApi, size: Size, tempo: Tempo) -> Program:
    return stream(asking(api, api.chat.speaker(size["tokens"], tempo, api.backend.turn)))


def langchain_model(api: GraphApi, size: Size) -> Program:
    """LangChain's async API needs asyncio: on trio the model is called as penstock's guide says, in a thread."""
    node = asking_in_thread if api.backend.name == "trio" else asking
    return stream(node(api, api.langchain.speaker(size["tokens"], "paced", api.backend.turn)))


def stream(app: Any) -> Program:
    async def run(meter: Meter) -> None:
        take = meter.take
        async for chunk in app.astream(QUESTION, stream_mode="messages"):
            take(chunk)

    return Program(run, read)


def raw(engine: Engine, size: Size, tempo: Tempo) -> Program:
    """(chunk, metadata) tuples whose chunks are plain text."""

    def items() -> Iterable[Any]:
        return ((token, {"langgraph_node": node, "langgraph_step": 1}) for token, node in expected(size))

    def plain(chunk: Any) -> tuple[str, str]:
        return chunk[0], chunk[1]["langgraph_node"]

    return Program(lambda meter: engine.pour([items()], tempo, meter.take), plain)


def _workload(name: str, title: str, tempo: Tempo, graph: Any, **more: Any) -> Workload:
    return Workload(
        name=name,
        title=title,
        unit="token",
        sizes=({"tokens": 100}, {"tokens": 1_000}, {"tokens": 10_000}),
        quick={"tokens": 120},
        units=lambda size: size["tokens"],
        expected=expected,
        graph=graph,
        raw=partial(raw, tempo=tempo),
        needs=("pour",),
        **more,
    )


MODEL_TOKENS = _workload(
    "model-tokens",
    "tokens of its own scripted model, a suspension before each, messages",
    "paced",
    partial(own_model, tempo="paced"),
)
MODEL_BURST = _workload(
    "model-burst",
    "tokens of its own model, in bursts, messages",
    "burst",
    partial(own_model, tempo="burst"),
)
LANGCHAIN_TOKENS = _workload(
    "langchain-tokens",
    "tokens of a LangChain model, a suspension before each (on trio in a thread), messages",
    "paced",
    langchain_model,
    alone=True,
)
MODELS = (MODEL_TOKENS, MODEL_BURST, LANGCHAIN_TOKENS)
