"""Stream modes: every shape, and what `output_keys` and `version` do to them."""

from collections.abc import Iterator
from typing import Any

import anyio

from ..harness import Run, ainvoke, astream, call, case, invoke, stream
from ..library import (
    END,
    START,
    RunnableConfig,
    Runtime,
    Send,
    StateGraph,
    StreamWriter,
    get_stream_writer,
)
from ._shared import EMPTY, EVERY, MAIN, S, nested


@case("every mode x single/list x subgraphs x sync/async on a graph nested two deep", own=False)
def modes_matrix() -> Iterator[Run]:
    for api, run, graph in (("astream", astream, nested(True)), ("stream", stream, nested(False))):
        for mode in EVERY:
            for shape in ("single", "list"):
                for sub in (False, True):
                    yield run(
                        graph,
                        EMPTY,
                        stream_mode=mode if shape == "single" else [mode],
                        subgraphs=sub,
                        name=f"{api}.{mode}.{shape}.{'subgraphs' if sub else 'nosubgraphs'}",
                    )


@case("all modes in one list, subgraphs on/off, without and with a checkpointer", own=False)
def modes_all_at_once() -> Iterator[Run]:
    for sub in (False, True):
        yield astream(nested(True), EMPTY, stream_mode=EVERY, subgraphs=sub, name=f"all.{sub}")


@case(
    "many writes in one burst without awaiting: all are delivered, in order, before the node's update",
    own=False,
)
def modes_burst() -> Iterator[Run]:
    async def a(state: S) -> Any:
        writer = get_stream_writer()
        for i in range(50):
            writer(i)
        return {"x": "A"}

    def b(state: S) -> Any:
        writer = get_stream_writer()
        for i in range(50):
            writer(i)
        return {"x": "A"}

    graph = StateGraph(S).add_node(a).add_edge(START, "a").compile()
    yield astream(graph, {"x": ""}, stream_mode=["custom", "updates"], name="async_node")
    graph = StateGraph(S).add_node(b).add_edge(START, "b").compile()
    yield astream(graph, {"x": ""}, stream_mode=["custom", "updates"], name="sync_node")
    yield stream(graph, {"x": ""}, stream_mode=["custom", "updates"], name="sync_api")


@case("output_keys: string, list, unknown key; effect on values, updates, invoke", own=False)
def modes_output_keys() -> Iterator[Run]:
    graph = nested(True)
    modes: tuple[Any, ...] = ("values", "updates", ["values", "updates"])
    for mode in modes:
        m = mode if isinstance(mode, str) else "+".join(mode)
        yield astream(graph, EMPTY, stream_mode=mode, output_keys="x", name=f"{m}.str_x")
        yield astream(graph, EMPTY, stream_mode=mode, output_keys="log", name=f"{m}.str_log")
        yield astream(graph, EMPTY, stream_mode=mode, output_keys=["log"], name=f"{m}.list_log")
        yield astream(graph, EMPTY, stream_mode=mode, output_keys=["x"], subgraphs=True, name=f"{m}.list_x_subgraphs")
    yield astream(graph, EMPTY, stream_mode="values", output_keys=["nope"], name="unknown")
    yield call("ainvoke_str", lambda: graph.ainvoke(EMPTY, output_keys="x"))
    yield call("ainvoke_list", lambda: graph.ainvoke(EMPTY, output_keys=["log"]))


@case("version='v2': every mode alone and all together; subgraphs on/off (ns always present)", own=False)
def v2_modes() -> Iterator[Run]:
    for mode in EVERY:
        yield astream(nested(True), EMPTY, stream_mode=mode, version="v2", name=mode)
    yield astream(nested(True), EMPTY, stream_mode=EVERY, version="v2", subgraphs=True, name="all.subgraphs")
    some = ["values", "updates", "custom", "messages"]
    yield stream(nested(False), EMPTY, stream_mode=some, version="v2", name="sync")


@case("collections of modes: one-element list, duplicates, tuple, set, misspelt")
def modes_collections() -> Iterator[Run]:
    graph = nested(True)
    yield astream(graph, EMPTY, stream_mode=["updates"], name="list_of_one")
    yield astream(graph, EMPTY, stream_mode=["updates", "updates", "values"], name="duplicates")
    yield astream(graph, EMPTY, stream_mode=["values", "updates"], name="order_1")
    yield astream(graph, EMPTY, stream_mode=["updates", "values"], name="order_2")
    yield astream(graph, EMPTY, stream_mode=("updates", "values"), name="tuple")
    yield astream(graph, EMPTY, stream_mode={"updates"}, name="set")
    yield astream(graph, EMPTY, stream_mode="valeus", name="misspelt")
    yield astream(graph, EMPTY, stream_mode=["updates", "valeus"], name="misspelt_in_list")


@case("invoke and ainvoke: defaults, one mode, several modes, output_keys, v2")
def modes_invoke() -> Iterator[Run]:
    for api, run, graph in (("ainvoke", ainvoke, nested(True)), ("invoke", invoke, nested(False))):
        yield run(graph, EMPTY, name=api)
        for mode in ("values", "updates", "custom", "tasks"):
            yield run(graph, EMPTY, stream_mode=mode, name=f"{api}.{mode}")
        yield run(graph, EMPTY, stream_mode=["updates", "values"], name=f"{api}.updates+values")
        yield run(graph, EMPTY, stream_mode=["custom"], name=f"{api}.list_of_one")
        yield run(graph, EMPTY, stream_mode=MAIN, name=f"{api}.list")
        yield run(graph, EMPTY, version="v2", name=f"{api}.v2")
        yield run(graph, EMPTY, version="v2", stream_mode=["updates", "custom"], name=f"{api}.v2.list")
        yield run(graph, EMPTY, output_keys="x", name=f"{api}.output_keys.str")
        yield run(graph, EMPTY, output_keys=["x"], version="v2", name=f"{api}.output_keys.v2")
        yield run(graph, EMPTY, output_keys="x", stream_mode="updates", name=f"{api}.output_keys.updates")


@case("output_keys three levels deep, in every main mode and both versions")
def modes_output_keys_deep() -> Iterator[Run]:
    graph = nested(True)
    for keys in ("x", "log", ["x"], ["log", "x"], []):
        named = keys if isinstance(keys, str) else f"[{','.join(keys)}]"
        for mode in MAIN:
            yield astream(graph, EMPTY, stream_mode=mode, output_keys=keys, subgraphs=True, name=f"{named}.{mode}")
        yield astream(
            graph, EMPTY, stream_mode=MAIN, output_keys=keys, subgraphs=True, version="v2", name=f"{named}.v2"
        )


@case("custom chunks of any type, and the writer from everywhere: parameter, tool, router, runtime, child task")
def modes_custom_anything() -> Iterator[Run]:
    def tool() -> None:
        get_stream_writer()("tool")

    async def a(state: S, writer: StreamWriter) -> Any:
        for chunk in (None, 0, "", [], {}, (1, 2), {"k": [1]}, 1.5, True, ("updates", {})):
            writer(chunk)
        tool()
        async with anyio.create_task_group() as group:
            group.start_soon(child)
        await anyio.to_thread.run_sync(tool)
        return {"x": "A"}

    async def child() -> None:
        get_stream_writer()("child task")

    def b(state: S, runtime: Runtime) -> Any:
        runtime.stream_writer("runtime")
        return {"x": state["x"] + "B"}

    def router(state: S) -> str:
        get_stream_writer()(f"router saw {state['x']}")
        return END

    graph = StateGraph(S).add_node(a).add_node(b).add_edge(START, "a").add_edge("a", "b")
    graph = graph.add_conditional_edges("b", router, [END]).compile()
    modes: dict[str, Any] = {"custom": "custom", "list_of_one": ["custom"], "list": MAIN}
    for name, mode in modes.items():
        yield astream(graph, {"x": ""}, stream_mode=mode, name=name)
    yield astream(graph, {"x": ""}, stream_mode="custom", version="v2", name="v2")
    yield astream(graph, {"x": ""}, stream_mode="updates", name="writer_is_noop")
    yield ainvoke(graph, {"x": ""}, name="ainvoke")


@case("the keys of config['metadata'], and what a run's tags, metadata and configurable do")
def modes_config() -> Iterator[Run]:
    def show(config: RunnableConfig) -> dict[str, Any]:
        keys = ("user", "node_meta", "thread", "langgraph_step", "langgraph_node", "langgraph_triggers")
        keys += ("langgraph_path", "langgraph_checkpoint_ns")
        metadata = {k: config["metadata"][k] for k in keys if k in config["metadata"]}
        return {
            "metadata": metadata,
            "tags": sorted(t for t in config.get("tags") or [] if not t.startswith(("seq:", "graph:"))),
            "k": config["configurable"].get("k"),
            "recursion_limit": config.get("recursion_limit"),
        }

    async def a(state: S, config: RunnableConfig, writer: StreamWriter) -> Any:
        writer(show(config))
        return {"x": "A"}

    def fan(state: S) -> Any:
        return [Send("c", {"x": "sent"})]

    async def c(state: S, config: RunnableConfig, writer: StreamWriter) -> Any:
        writer(show(config))
        return {"x": "C"}

    inner = StateGraph(S).add_node("i", a).add_edge(START, "i").compile()
    graph = (
        StateGraph(S)
        .add_node("a", a, metadata={"node_meta": 1})
        .add_node("sub", inner)
        .add_node(c)
        .add_edge(START, "a")
        .add_edge("a", "sub")
        .add_conditional_edges("sub", fan, ["c"])
        .compile()
    )
    config = {
        "tags": ["t1", "t2"],
        "metadata": {"user": "me"},
        "configurable": {"k": "v"},
        "recursion_limit": 9,
        "run_name": "mine",
    }
    yield astream(graph, {"x": ""}, config, stream_mode="custom", subgraphs=True, name="configured")
    yield astream(graph, {"x": ""}, {"recursion_limit": 25}, stream_mode="custom", subgraphs=True, name="plain")
    yield astream(graph, {"x": ""}, config, stream_mode="tasks", subgraphs=True, name="tasks")
    yield astream(graph, {"x": ""}, config, stream_mode="debug", name="debug")
    threaded = {"configurable": {"thread_id": "one"}, "recursion_limit": 9}
    yield astream(graph, {"x": ""}, threaded, stream_mode="tasks", name="thread_id")
