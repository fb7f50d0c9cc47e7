"""Events of what runs inside nodes: subgraphs, models, chains, custom events, writer data."""

from collections.abc import Iterator
from typing import Any

import anyio

from ..harness import Run, event_case, events
from ..library import (
    START,
    ChatPromptTemplate,
    Command,
    Graph,
    MessagesState,
    RunnableConfig,
    RunnableLambda,
    StateGraph,
    StreamWriter,
    StrOutputParser,
    adispatch_custom_event,
    dispatch_custom_event,
)
from ..models import chat_model
from ._events import LABELLED, adding, chain_of, of_the_root, one
from ._shared import EMPTY, XL, S


def child(name: str | None = None) -> Graph:
    return chain_of(("s1", adding("1")), ("s2", adding("2")), name=name)


@event_case("subgraphs as nodes and called in nodes")
def ev_graph_subgraphs() -> Iterator[Run]:
    graph = child()

    async def called(state: XL) -> Any:
        return {"log": (await graph.ainvoke({"x": state["x"], "log": []}))["log"]}

    async def with_config(state: XL, config: RunnableConfig) -> Any:
        return {"log": (await graph.ainvoke({"x": state["x"], "log": []}, config))["log"]}

    async def own_config(state: XL) -> Any:
        config: Any = {"run_name": "sub", "tags": ["st"], "metadata": {"sm": 1}}
        return {"log": (await graph.ainvoke({"x": state["x"], "log": []}, config))["log"]}

    async def streamed(state: XL) -> Any:
        async for _ in graph.astream({"x": state["x"], "log": []}):
            pass

    async def streamed_modes(state: XL) -> Any:
        async for _ in graph.astream(EMPTY, stream_mode=["values", "updates"], subgraphs=True):
            pass

    def plain(state: XL) -> Any:
        return {"log": [graph_of_plain.invoke(EMPTY)["x"]]}

    def to_parent(state: XL) -> Any:
        return Command(graph=Command.PARENT, goto="after", update={"x": "up"})

    graph_of_plain = one(lambda state: {"x": "k"})
    yield events(chain_of(("p", adding("p")), ("ch", child())), EMPTY, LABELLED, name="node")
    yield events(one(child("kid")), EMPTY, name="named")
    for node in (called, with_config, own_config, streamed, streamed_modes, plain):
        yield events(one(node), EMPTY, LABELLED, name=node.__name__)
    middle = chain_of(("c", adding("c")), ("gc", one(adding("g"))))
    yield events(chain_of(("p", adding("p")), ("ch", middle)), EMPTY, LABELLED, name="three_deep")
    escaping = StateGraph(XL).add_node("ch", chain_of(("c", to_parent)), destinations=("after",))
    yield events(escaping.add_node("after", adding("z")).add_edge(START, "ch").compile(), EMPTY, name="parent_command")


@event_case("chunks of subgraphs among the chunks of the root", loose=True)
def ev_graph_subgraph_chunks() -> Iterator[Run]:
    yield events(one(child()), EMPTY, subgraphs=True, name="updates")
    yield events(one(child()), EMPTY, stream_mode=["values", "updates"], subgraphs=True, name="list")


@event_case("models in nodes: called, streamed, configured, silent")
def ev_graph_models() -> Iterator[Run]:
    async def called(state: XL) -> Any:
        return {"x": (await chat_model().ainvoke("hi")).content}

    def plain(state: XL) -> Any:
        return {"x": chat_model().invoke("hi").content}

    async def streamed(state: XL) -> Any:
        return {"log": [chunk.content async for chunk in chat_model().astream("hi")]}

    async def whole(state: XL) -> Any:
        return {"x": (await chat_model(streaming=False).ainvoke("hi")).content}

    async def whole_streamed(state: XL) -> Any:
        return {"log": [chunk.content async for chunk in chat_model(streaming=False).astream("hi")]}

    async def configured(state: XL) -> Any:
        model = chat_model().with_config(run_name="named", tags=["mt"], metadata={"mm": 1})
        await model.ainvoke([("system", "be kind"), ("human", "hi")], {"tags": ["ct"], "metadata": {"cm": 1}})

    async def hidden(state: XL) -> Any:
        await chat_model().with_config(tags=["nostream"]).ainvoke("hi")

    async def answering(state: MessagesState) -> Any:
        return {"messages": [await chat_model().ainvoke(state["messages"])]}

    for node in (called, plain, streamed, whole, whole_streamed, configured, hidden):
        yield events(one(node), EMPTY, LABELLED, name=node.__name__)
    graph = chain_of(("answering", answering), state=MessagesState)
    yield events(graph, {"messages": [("human", "hi")]}, name="answering")


@event_case("chains in nodes: called and streamed")
def ev_graph_chains() -> Iterator[Run]:
    def shout(text: str) -> str:
        return text.upper()

    def chain() -> Any:
        return ChatPromptTemplate.from_template("say {x}") | chat_model() | StrOutputParser() | shout

    async def called(state: XL) -> Any:
        return {"x": await chain().ainvoke({"x": "1"})}

    async def streamed(state: XL) -> Any:
        return {"log": [piece async for piece in chain().astream({"x": "1"})]}

    async def own_config(state: XL) -> Any:
        return {"x": await chain().ainvoke({"x": "1"}, {"run_name": "chain", "tags": ["ct"], "metadata": {"cm": 1}})}

    async def with_config(state: XL, config: RunnableConfig) -> Any:
        return {"x": await RunnableLambda(shout).ainvoke("a", config)}

    async def changed_config(state: XL, config: RunnableConfig) -> Any:
        changed: Any = {**config, "tags": ["ct"], "metadata": {"cm": 1}, "run_name": "changed"}
        return {"x": await RunnableLambda(shout).ainvoke("a", changed)}

    def plain(state: XL) -> Any:
        return {"x": chain().invoke({"x": "1"})}

    for node in (called, streamed, own_config, with_config, changed_config, plain):
        yield events(one(node), EMPTY, LABELLED, name=node.__name__)


@event_case("custom events and writer data of nodes")
def ev_graph_custom() -> Iterator[Run]:
    async def dispatching(state: XL) -> Any:
        await adispatch_custom_event("progress", {"percent": 50})
        await adispatch_custom_event("text", "half")
        await adispatch_custom_event("nothing", None)

    def plain(state: XL) -> Any:
        dispatch_custom_event("progress", [1])

    async def with_config(state: XL, config: RunnableConfig) -> Any:
        await adispatch_custom_event("progress", 1, config=config)

    async def in_a_step(state: XL) -> Any:
        await RunnableLambda(dispatching).with_config(tags=["st"], metadata={"sm": 1}).ainvoke(state)

    async def writing(state: XL, writer: StreamWriter) -> Any:
        writer({"percent": 50})
        writer("half")

    for node in (dispatching, plain, with_config, in_a_step):
        yield events(one(node), EMPTY, LABELLED, name=node.__name__)
    yield events(one(one(dispatching)), EMPTY, LABELLED, name="subgraph")
    yield events(one(writing), EMPTY, name="writer")
    yield events(one(writing), EMPTY, stream_mode=["custom"], only=of_the_root, name="writer.custom")
    yield events(one(one(writing)), EMPTY, name="writer.subgraph")


@event_case("models at once in one node", loose=True)
def ev_graph_models_at_once() -> Iterator[Run]:
    async def both(state: XL) -> Any:
        async def ask(question: str) -> None:
            await chat_model([question, "!"]).ainvoke(question)

        async with anyio.create_task_group() as group:
            group.start_soon(ask, "one")
            group.start_soon(ask, "two")

    async def batch(state: XL) -> Any:
        return {"log": [answer.content for answer in await chat_model(["a"]).abatch(["one", "two"])]}

    for node in (both, batch):
        yield events(one(node), EMPTY, name=node.__name__)


@event_case("a chunk of stream_mode='messages' is a chunk of the root")
def ev_graph_messages() -> Iterator[Run]:
    async def called(state: S) -> Any:
        return {"x": (await chat_model().ainvoke("hi")).content}

    yield events(chain_of(("n", called), state=S), {"x": ""}, stream_mode="messages", only=of_the_root, name="messages")
