"""Graphs inside graphs: as nodes, and called from nodes."""

import operator
from collections.abc import Iterator
from typing import Annotated, Any

import anyio
from typing_extensions import TypedDict

from ..harness import Run, ainvoke, astream, case, spectrum, stream
from ..library import (
    END,
    START,
    Graph,
    RunnableConfig,
    Send,
    StateGraph,
    StreamWriter,
    get_stream_writer,
)
from ._shared import EMPTY, MAIN, XL, L, S, logger, plain_logger, step


def inner_graph(name: str = "i", delay: float = 0.0) -> Graph:
    """One node that writes where it is and extends `x`."""

    async def node(state: XL, writer: StreamWriter) -> Any:
        writer(f"{name} sees {state['x']}")
        await anyio.sleep(delay)
        return {"x": state["x"] + name}

    return StateGraph(XL).add_node(name, node).add_edge(START, name).compile()


def slow_step(name: str, text: str) -> Any:
    """A node that writes, waits, and extends `x`."""

    async def node(state: XL, writer: StreamWriter) -> Any:
        writer({"at": name})
        await anyio.sleep(0.01)
        return {"x": state["x"] + text}

    return node


@case("two subgraph nodes in parallel: their chunks interleave, each under its own namespace", timed=True, loose=True)
def sub_parallel() -> Iterator[Run]:
    def ticking(name: str, delay: float) -> Graph:
        async def tick(state: L, writer: StreamWriter) -> Any:
            for i in range(3):
                await anyio.sleep(delay)
                writer(f"{name}{i}")
            return {"log": [name]}

        return StateGraph(L).add_node("tick", tick).add_edge(START, "tick").compile()

    builder = StateGraph(L).add_node("s1", ticking("a", 0.035)).add_node("s2", ticking("b", 0.02))
    graph = builder.add_edge(START, "s1").add_edge(START, "s2").compile()
    yield from spectrum(graph, {"log": []})
    for mode in ("values", "updates", "custom", "tasks"):
        yield astream(graph, {"log": []}, stream_mode=mode, subgraphs=True, name=mode)


@case(
    "Send to a subgraph: one namespace per task, the parent's update is the subgraph's whole output",
    timed=True,
    loose=True,
)
def sub_send() -> Iterator[Run]:
    class Item(TypedDict):
        n: int
        log: Annotated[list, operator.add]

    async def work(state: Item, writer: StreamWriter) -> Any:
        writer(f"start {state['n']}")
        await anyio.sleep(0.01 * state["n"])
        return {"log": [f"work {state['n']}"]}

    async def finish(state: Item) -> Any:
        return {"log": [f"finish {state['n']}"]}

    inner = (
        StateGraph(Item).add_node(work).add_node(finish).add_edge(START, "work").add_edge("work", "finish").compile()
    )

    def fan(state: L) -> Any:
        return [Send("sub", {"n": n}) for n in (3, 1, 2)]

    graph = StateGraph(L).add_node("sub", inner).add_conditional_edges(START, fan, ["sub"]).compile()
    yield from spectrum(graph, {"log": ["in"]})
    for mode in ("values", "updates", "custom", "tasks"):
        yield astream(graph, {"log": []}, stream_mode=mode, subgraphs=True, name=mode)


@case("a graph called inside a node: once, with and without its config, sync and async; its chunks")
def sub_called() -> Iterator[Run]:
    inner = inner_graph()

    async def bare(state: XL) -> Any:
        return {"x": (await inner.ainvoke(state))["x"] + "!"}

    async def with_config(state: XL, config: RunnableConfig) -> Any:
        return {"x": (await inner.ainvoke(state, config))["x"] + "!"}

    for node in (bare, with_config):
        graph = StateGraph(XL).add_node("outer", node).add_edge(START, "outer").compile()
        yield from spectrum(graph, EMPTY, name=node.__name__)

    sync_inner = StateGraph(XL).add_node("i", step("i", "i", False)).add_edge(START, "i").compile()

    def plain(state: XL) -> Any:
        return {"x": sync_inner.invoke(state)["x"] + "!"}

    graph = StateGraph(XL).add_node("outer", plain).add_edge(START, "outer").compile()
    yield stream(graph, EMPTY, stream_mode=MAIN, subgraphs=True, name="sync")
    yield astream(graph, EMPTY, stream_mode=MAIN, subgraphs=True, name="sync_node_under_astream")


@case("graphs called several times in one task: the second and third get a numbered namespace segment")
def sub_called_twice() -> Iterator[Run]:
    inner, other = inner_graph("i"), inner_graph("o")

    async def outer(state: XL) -> Any:
        state = await inner.ainvoke(state)
        state = await other.ainvoke(state)
        return await inner.ainvoke(state)

    graph = StateGraph(XL).add_node(outer).add_node("again", inner).add_edge(START, "outer").add_edge("outer", "again")
    yield from spectrum(graph.compile(), EMPTY)

    async def calling(state: XL) -> Any:
        return await two.ainvoke(await two.ainvoke(state))

    two = StateGraph(XL).add_node("mid", outer).add_edge(START, "mid").compile()
    graph = StateGraph(XL).add_node("top", calling).add_edge(START, "top")
    yield from spectrum(graph.compile(), EMPTY, name="deep")


@case("graphs called at the same time in one task", timed=True)
def sub_called_concurrently() -> Iterator[Run]:
    first, second = inner_graph("a", 0.02), inner_graph("b", 0.02)

    async def outer(state: XL) -> Any:
        found = {}

        async def call(graph: Graph, x: str, delay: float) -> None:
            await anyio.sleep(delay)
            found[x] = (await graph.ainvoke({"x": x}))["x"]

        async with anyio.create_task_group() as group:
            group.start_soon(call, first, "1", 0.01)
            group.start_soon(call, second, "2", 0.02)
        return {"log": [found["1"], found["2"]]}

    graph = StateGraph(XL).add_node(outer).add_edge(START, "outer").compile()
    yield astream(graph, EMPTY, stream_mode=["custom", "updates"], subgraphs=True, name="astream")
    yield ainvoke(graph, EMPTY, name="ainvoke")


@case("another schema inside: the node translates; only shared keys go in and out of a subgraph node")
def sub_schemas() -> Iterator[Run]:
    class Inside(TypedDict):
        word: str
        count: int

    class Shared(TypedDict):
        x: str
        own: str

    def work(state: Inside) -> Any:
        return {"count": len(state["word"])}

    inside = StateGraph(Inside).add_node(work).add_edge(START, "work").compile()

    async def translate(state: S) -> Any:
        result = await inside.ainvoke({"word": state["x"]})
        return {"x": f"{state['x']}:{result['count']}"}

    graph = StateGraph(S).add_node(translate).add_edge(START, "translate").compile()
    yield from spectrum(graph, {"x": "word"}, name="translated")

    def own(state: Shared) -> Any:
        return {"own": f"{sorted(state)}", "x": state["x"] + "!"}

    shared = StateGraph(Shared).add_node("own_node", own).add_edge(START, "own_node").compile()
    graph = StateGraph(XL).add_node("sub", shared).add_edge(START, "sub").compile()
    yield from spectrum(graph, {"x": "word", "log": ["l"]}, name="shared")

    class Out(TypedDict):
        x: str

    narrow = StateGraph(Shared, output_schema=Out).add_node("own_node", own).add_edge(START, "own_node").compile()
    graph = StateGraph(XL).add_node("sub", narrow).add_edge(START, "sub").compile()
    yield from spectrum(graph, {"x": "word", "log": ["l"]}, name="output_schema")
    disjoint = StateGraph(L).add_node("sub", inside).add_edge(START, "sub").compile()
    yield astream(disjoint, {"log": ["l"]}, stream_mode=MAIN, subgraphs=True, name="disjoint")


@case("a graph streamed inside a node: custom goes to the inner consumer, who forwards it or not", timed=True)
def sub_streamed() -> Iterator[Run]:
    inner = StateGraph(XL).add_edge(START, "i0")
    for i, text in enumerate("pq"):
        inner = inner.add_node(f"i{i}", slow_step(f"i{i}", text))
    inner = inner.add_edge("i0", "i1").compile()

    def build(**kwargs: Any) -> Graph:
        async def outer(state: XL, writer: StreamWriter) -> Any:
            seen = 0
            async for chunk in inner.astream(state, **kwargs):
                writer({"forwarded": chunk})
                seen += 1
            return {"x": f"{seen} chunks"}

        return StateGraph(XL).add_node(outer).add_edge(START, "outer").compile()

    kinds: dict[str, dict[str, Any]] = {
        "custom": {"stream_mode": "custom"},
        "updates": {"stream_mode": "updates"},
        "values": {"stream_mode": "values"},
        "default": {},
        "subgraphs": {"stream_mode": ["custom", "updates"], "subgraphs": True},
        "list": {"stream_mode": ["custom", "updates"]},
    }
    for name, kwargs in kinds.items():
        graph = build(**kwargs)
        yield astream(graph, EMPTY, stream_mode=["custom", "updates"], name=name)
        yield astream(graph, EMPTY, stream_mode=["custom", "updates"], subgraphs=True, name=f"{name}.outer")


@case("one subgraph in two nodes, a subgraph with a loop, and steps in debug chunks of every level")
def sub_loops() -> Iterator[Run]:
    def again(state: XL) -> str:
        return END if len(state["log"]) % 3 == 0 else "i"

    builder = StateGraph(XL).add_node("i", plain_logger("i")).add_edge(START, "i")
    looping = builder.add_conditional_edges("i", again, ["i", END]).compile()
    builder = StateGraph(XL).add_node("one", looping).add_node("between", plain_logger("between"))
    graph = (
        builder.add_node("two", looping).add_edge(START, "one").add_edge("one", "between").add_edge("between", "two")
    )
    yield from spectrum(graph.compile(), {"x": "", "log": []}, sync=True)


@case("writers and tools at every depth, with custom and the others, subgraphs on and off", timed=True)
def sub_depth() -> Iterator[Run]:
    def tool() -> None:
        get_stream_writer()("tool")

    async def leaf(state: XL) -> Any:
        tool()
        await anyio.sleep(0.01)
        tool()
        return {"log": ["leaf"]}

    graph = StateGraph(XL).add_node("leaf", leaf).add_edge(START, "leaf").compile()
    for depth in range(3):
        name = f"level{depth}"
        graph = StateGraph(XL).add_node(name, graph).add_edge(START, name).compile(name=name)
    for sub in (False, True):
        for mode in ("custom", "updates", "values", "tasks"):
            yield astream(graph, EMPTY, stream_mode=mode, subgraphs=sub, name=f"{mode}.{sub}")
        yield astream(graph, EMPTY, stream_mode=["custom", "updates"], subgraphs=sub, version="v2", name=f"v2.{sub}")
    yield ainvoke(graph, EMPTY, name="ainvoke")


@case(
    "a subgraph beside plain nodes: the parent goes on when both are done; the subgraph takes more steps",
    timed=True,
)
def sub_beside_nodes() -> Iterator[Run]:
    inner = StateGraph(XL).add_node("i1", logger("i1", 0.02)).add_node("i2", logger("i2", 0.02))
    inner = inner.add_edge(START, "i1").add_edge("i1", "i2").compile()
    builder = (
        StateGraph(XL).add_node("sub", inner).add_node("plain", logger("plain", 0.03)).add_node("end", logger("end"))
    )
    builder.add_edge(START, "sub").add_edge(START, "plain").add_edge(["sub", "plain"], "end")
    yield from spectrum(builder.compile(), {"x": "", "log": ["in"]})
