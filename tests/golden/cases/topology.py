"""Edges, joins, fan-out, loops: what runs when, and in which order it is reduced."""

import operator
from collections.abc import Iterator
from typing import Annotated, Any

import anyio
from typing_extensions import TypedDict

from ..harness import Run, astream, case, spectrum, stream, tape
from ..library import END, START, Graph, Send, StateGraph, StreamWriter, get_stream_writer
from ._shared import EMPTY, MAIN, XL, L, logger, plain_logger


@case(
    "three parallel nodes: updates come in completion order, state is reduced in node-path order",
    own=False,
    timed=True,
)
def graph_parallel_order() -> Iterator[Run]:
    # completion order: c, a, b     declaration order: b, c, a

    def sleeping(name: str, delay: float) -> Any:
        async def node(state: L, writer: StreamWriter) -> Any:
            await anyio.sleep(delay)
            writer(f"custom from {name}")
            return {"log": [name]}

        return node

    builder = StateGraph(L)
    for name, delay in (("b", 0.12), ("c", 0.02), ("a", 0.07)):
        builder.add_node(name, sleeping(name, delay)).add_edge(START, name)
    graph = builder.compile()
    for mode in ("updates", "values", "custom"):
        yield astream(graph, {"log": []}, stream_mode=mode, name=mode)
    yield astream(graph, {"log": []}, stream_mode=MAIN, name="list")

    def gated(name: str) -> Any:
        def node(state: L, writer: StreamWriter) -> Any:
            assert tape.gate(name).wait(30)
            writer(f"custom from {name}")
            return {"log": [name]}

        return node

    def open_next_gate(chunk: Any) -> None:
        """Where the recording slept, each thread waits until the consumer has seen the one before."""
        mode, payload = chunk
        if mode == "values":
            tape.gate("c").set()
        elif mode == "tasks" and "result" in payload:
            tape.gate({"c": "a", "a": "b", "b": ""}[payload["name"]]).set()

    builder = StateGraph(L)
    for name in ("b", "c", "a"):
        builder.add_node(name, gated(name)).add_edge(START, name)
    graph = builder.compile()
    for name, run in (("sync_api_sync_nodes", stream), ("async_api_sync_nodes", astream)):
        yield run(graph, {"log": []}, stream_mode=MAIN, on_chunk=open_next_gate, name=name)


@case(
    "Send fan-out (map-reduce): updates per task in completion order, reducer in Send order",
    own=False,
    timed=True,
)
def graph_send() -> Iterator[Run]:
    class Overall(TypedDict):
        subjects: list
        jokes: Annotated[list, operator.add]

    async def generate_joke(state: Any) -> Any:
        await anyio.sleep({"cats": 0.09, "dogs": 0.01, "owls": 0.05}[state["subject"]])
        get_stream_writer()(f"thinking of {state['subject']}")
        return {"jokes": [f"Joke about {state['subject']}"]}

    def best(state: Overall) -> Any:
        return {"subjects": [state["jokes"][0]]}

    def cont(state: Overall) -> Any:
        return [Send("generate_joke", {"subject": s}) for s in state["subjects"]]

    graph = (
        StateGraph(Overall)
        .add_node("generate_joke", generate_joke)
        .add_node(best)
        .add_conditional_edges(START, cont, ["generate_joke"])
        .add_edge("generate_joke", "best")
        .compile()
    )
    inputs = {"subjects": ["cats", "dogs", "owls"]}
    for mode in ("updates", "values", "custom", "tasks"):
        yield astream(graph, inputs, stream_mode=mode, name=mode)
    yield astream(graph, inputs, stream_mode=["updates", "values", "custom", "tasks"], name="list")
    yield astream(graph, inputs, {"max_concurrency": 1}, stream_mode=["updates", "custom"], name="max_concurrency_1")
    yield astream(graph, {"subjects": []}, stream_mode=["updates", "values", "tasks"], name="empty_send_list")


@case(
    "aliasing: are streamed objects the live state? consumer mutates a chunk / node mutates its input",
    own=False,
)
def graph_aliasing() -> Iterator[Run]:
    def a(state: XL) -> Any:
        return {"log": ["a"]}

    def b(state: XL) -> Any:
        state["log"].append("mutated-by-b-in-place")
        return {"x": "b"}

    def c(state: XL) -> Any:
        return {"log": ["c"]}

    def evil(chunk: Any) -> None:
        chunk[1]["log"].append("mutated-by-consumer")

    def fresh(then: Any) -> Graph:
        return StateGraph(XL).add_sequence([a, then]).add_edge(START, "a").compile()

    # inputs of their own, because they get changed
    own = {"x": "", "log": []}
    yield astream(fresh(b), own, stream_mode=["values"], name="node_mutates_input_list_in_place")
    own = {"x": "", "log": []}
    yield astream(fresh(c), own, stream_mode=["values"], on_chunk=evil, name="consumer_mutates_values_chunk")


@case(
    "joins: add_edge([a, b], c) waits for all, with branches of different length; the trigger names both",
    timed=True,
)
def graph_join() -> Iterator[Run]:
    builder = StateGraph(XL)
    for name, delay in (("a", 0.01), ("b1", 0.02), ("b2", 0.01), ("c", 0.0)):
        builder.add_node(name, logger(name, delay))
    builder.add_edge(START, "a").add_edge(START, "b1").add_edge("b1", "b2").add_edge(["a", "b2"], "c")
    yield from spectrum(builder.compile(), EMPTY)

    builder = StateGraph(XL)
    for name, delay in (("a", 0.01), ("b1", 0.02), ("b2", 0.01), ("c", 0.0)):
        builder.add_node(name, logger(name, delay))
    builder.add_edge(START, "a").add_edge(START, "b1").add_edge("b1", "b2").add_edge("a", "c").add_edge("b2", "c")
    yield from spectrum(builder.compile(), EMPTY, name="plain_edges_run_it_twice")

    builder = StateGraph(XL)
    for name, delay in (("a", 0.01), ("b", 0.02), ("c", 0.0)):
        builder.add_node(name, logger(name, delay))
    builder.add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b"], "c").add_edge("a", "c")
    yield from spectrum(builder.compile(), EMPTY, name="join_and_edge")

    def again(state: XL) -> Any:
        return ["a", "b"] if state["log"].count("c") < 2 else END

    builder = StateGraph(XL)
    for name, delay in (("a", 0.01), ("b", 0.02), ("c", 0.0)):
        builder.add_node(name, logger(name, delay))
    builder.add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b"], "c")
    builder.add_conditional_edges("c", again, ["a", "b", END])
    yield from spectrum(builder.compile(), EMPTY, name="in_a_loop")

    builder = StateGraph(XL)
    for name, delay in (("b", 0.01), ("a", 0.02), ("d", 0.01), ("c", 0.02)):
        builder.add_node(name, logger(name, delay))
    builder.add_edge(START, "a").add_edge(START, "b").add_edge(["b", "a"], "c").add_edge(["a", "b"], "d")
    builder.add_edge(["c", "d"], END)
    yield from spectrum(builder.compile(), EMPTY, name="two_joins_and_end")


@case("defer=True: a node runs when everything else is done, once", timed=True)
def graph_defer() -> Iterator[Run]:
    builder = StateGraph(XL)
    for name, delay in (("a", 0.01), ("b1", 0.02), ("b2", 0.01)):
        builder.add_node(name, logger(name, delay))
    builder.add_node("last", logger("last"), defer=True)
    builder.add_edge(START, "a").add_edge(START, "b1").add_edge("b1", "b2").add_edge("a", "last").add_edge("b2", "last")
    yield from spectrum(builder.compile(), EMPTY)

    builder = StateGraph(XL)
    for name, delay in (("a", 0.01), ("b1", 0.02), ("b2", 0.01), ("after", 0.0)):
        builder.add_node(name, logger(name, delay))
    builder.add_node("late", logger("late", 0.01), defer=True).add_node("later", logger("later", 0.02), defer=True)
    builder.add_edge(START, "a").add_edge(START, "b1").add_edge("b1", "b2").add_edge("a", "late")
    builder.add_edge("b2", "later").add_edge("late", "after")
    yield from spectrum(builder.compile(), EMPTY, name="two")

    builder = StateGraph(XL)
    for name, delay in (("a", 0.01), ("b1", 0.02), ("b2", 0.01)):
        builder.add_node(name, logger(name, delay))
    builder.add_node("last", logger("last"), defer=True)
    builder.add_edge(START, "a").add_edge(START, "b1").add_edge("b1", "b2").add_edge(["a", "b1"], "last")
    yield from spectrum(builder.compile(), EMPTY, name="join")


@case("a loop with a counter, and a diamond inside it", timed=True)
def graph_loop() -> Iterator[Run]:
    class Counted(TypedDict):
        n: int
        log: Annotated[list, operator.add]

    def count(state: Counted) -> Any:
        return {"n": state["n"] + 1, "log": [f"count {state['n']}"]}

    def enough(state: Counted) -> str:
        return END if state["n"] >= 3 else "count"

    graph = (
        StateGraph(Counted).add_node(count).add_edge(START, "count").add_conditional_edges("count", enough).compile()
    )
    yield from spectrum(graph, {"n": 0, "log": []}, sync=True)

    builder = StateGraph(XL)
    for name, delay in (("top", 0.0), ("left", 0.01), ("right", 0.02), ("bottom", 0.0)):
        builder.add_node(name, logger(name, delay))
    builder.add_edge(START, "top").add_edge("top", "left").add_edge("top", "right")
    builder.add_edge("left", "bottom").add_edge("right", "bottom")
    builder.add_conditional_edges("bottom", lambda s: "top" if s["log"].count("bottom") < 2 else END, ["top", END])
    yield from spectrum(builder.compile(), EMPTY, name="diamond")


@case("entry and finish points, conditional entry, sequences", timed=True)
def graph_points() -> Iterator[Run]:
    builder = StateGraph(XL).add_node("a", plain_logger("a")).add_node("b", plain_logger("b"))
    builder.set_entry_point("a").set_finish_point("b").add_edge("a", "b")
    yield from spectrum(builder.compile(), EMPTY, name="points", sync=True)

    builder = StateGraph(XL).add_node("a", plain_logger("a")).add_node("b", plain_logger("b"))
    builder.set_conditional_entry_point(lambda s: s["x"] or "a", ["a", "b"])
    yield from spectrum(builder.compile(), EMPTY, name="conditional_default", sync=True)
    yield from spectrum(builder.compile(), {"x": "b", "log": []}, name="conditional", sync=True)

    builder = StateGraph(XL).add_sequence([plain_logger("a"), ("named", plain_logger("b")), plain_logger("c")])
    yield from spectrum(builder.add_edge(START, "a").compile(), EMPTY, name="sequence", sync=True)

    builder = StateGraph(XL)
    for name, delay in (("a", 0.01), ("b", 0.02)):
        builder.add_node(name, logger(name, delay)).set_entry_point(name).set_finish_point(name)
    yield from spectrum(builder.compile(), EMPTY, name="two_entries")


@case(
    "Send and edges in one superstep: sent tasks are started first, and reduced after the nodes",
    timed=True,
)
def graph_push_and_pull() -> Iterator[Run]:
    async def work(state: Any) -> Any:
        await anyio.sleep(state["delay"])
        return {"log": [f"pushed {state['name']}"]}

    def route(state: XL) -> Any:
        return [
            Send("work", {"name": "1", "delay": 0.03}),
            "b",
            Send("work", {"name": "2", "delay": 0.01}),
            "a",
        ]

    builder = StateGraph(XL).add_node("start", plain_logger("start")).add_node("work", work)
    builder.add_node("a", logger("a", 0.04)).add_node("b", logger("b", 0.02)).add_node("c", logger("c", 0.05))
    builder.add_edge(START, "start").add_edge("start", "c").add_conditional_edges("start", route, ["work", "a", "b"])
    yield from spectrum(builder.compile(), EMPTY)


@case("Sends to different nodes, from two parallel nodes, and from Sends again", timed=True)
def graph_send_order() -> Iterator[Run]:
    async def work(state: Any) -> Any:
        await anyio.sleep(state["delay"])
        return {"log": [f"work {state['name']}"]}

    async def other(state: Any) -> Any:
        await anyio.sleep(state["delay"])
        return {"log": [f"other {state['name']}"]}

    def job(node: str, name: str, delay: float) -> Any:
        return Send(node, {"name": name, "delay": delay})

    def both(state: XL) -> Any:
        return [
            job("work", "1", 0.04),
            job("other", "2", 0.01),
            job("work", "3", 0.03),
            job("other", "4", 0.02),
        ]

    builder = StateGraph(XL).add_node(work).add_node(other)
    builder.add_conditional_edges(START, both, ["work", "other"])
    yield from spectrum(builder.compile(), EMPTY, name="two_nodes")

    builder = StateGraph(XL).add_node(work)
    builder.add_node("p2", logger("p2", 0.01)).add_node("p1", logger("p1", 0.02))
    builder.add_edge(START, "p1").add_edge(START, "p2")
    builder.add_conditional_edges("p1", lambda s: [job("work", "p1", 0.01)], ["work"])
    builder.add_conditional_edges("p2", lambda s: [job("work", "p2", 0.02), job("work", "p2b", 0.03)], ["work"])
    yield from spectrum(builder.compile(), EMPTY, name="from_two_nodes")

    def deeper(state: Any) -> Any:
        depth = len(state["name"])
        return (
            [job("work", state["name"] + letter, 0.01 * (1 + i)) for i, letter in enumerate("ab")] if depth < 2 else []
        )

    builder = StateGraph(XL).add_node(work)
    builder.add_conditional_edges(START, lambda s: [job("work", "r", 0.01)], ["work"])
    builder.add_conditional_edges("work", deeper, ["work"])
    yield from spectrum(builder.compile(), {"x": "", "log": [], "name": ""}, name="router_gets_the_shared_state")


@case("node metadata and run metadata in tasks and debug chunks; config per node")
def graph_metadata() -> Iterator[Run]:
    builder = StateGraph(XL)
    builder.add_node("a", plain_logger("a"), metadata={"kind": "first", "n": 1})
    builder.add_node("b", plain_logger("b"), metadata={"tags": ["x"]})
    builder.add_node("c", plain_logger("c"))
    graph = builder.add_edge(START, "a").add_edge("a", "b").add_edge("b", "c").compile()
    yield from spectrum(graph, EMPTY, sync=True)
    yield from spectrum(graph, EMPTY, {"metadata": {"kind": "run", "m": 2}}, name="with_run_metadata")
    yield from spectrum(graph, EMPTY, {"tags": ["t"]}, name="with_tags")


@case("max_concurrency: parallel nodes and Sends run at most so many at a time, in order", timed=True)
def graph_max_concurrency() -> Iterator[Run]:
    async def work(state: Any) -> Any:
        get_stream_writer()(f"start {state['n']}")
        await anyio.sleep(0.01 * (1 + state["n"]))
        get_stream_writer()(f"end {state['n']}")
        return {"log": [state["n"]]}

    def fan(state: L) -> Any:
        return [Send("work", {"n": n}) for n in range(5)]

    graph = StateGraph(L).add_node(work).add_conditional_edges(START, fan, ["work"]).compile()
    for limit in (1, 2, 3):
        config = {"max_concurrency": limit}
        yield astream(graph, {"log": []}, config, stream_mode=["custom", "updates", "values"], name=f"sends.{limit}")

    builder = StateGraph(XL)
    for name, delay in (("a", 0.1), ("b", 0.06), ("c", 0.05), ("d", 0.02)):
        builder.add_node(name, logger(name, delay)).add_edge(START, name)
    graph = builder.compile()
    for limit in (1, 2):
        yield astream(graph, EMPTY, {"max_concurrency": limit}, stream_mode=MAIN, name=f"nodes.{limit}")


@case("supersteps in which only some branches go on; a node reached over two paths at two times", timed=True)
def graph_uneven() -> Iterator[Run]:
    builder = StateGraph(XL)
    for name, delay in (("a", 0.01), ("b", 0.02), ("a2", 0.01), ("b2", 0.02), ("a3", 0.01), ("end", 0.02)):
        builder.add_node(name, logger(name, delay))
    builder.add_edge(START, "a").add_edge(START, "b").add_edge("a", "a2").add_edge("b", "b2").add_edge("a2", "a3")
    builder.add_edge("b2", "end").add_edge("a3", "end")
    yield from spectrum(builder.compile(), EMPTY)
