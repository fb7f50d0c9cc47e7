"""What the consumer gets before an exception, and which exception."""

from collections.abc import Iterator
from typing import Annotated, Any

import anyio
from typing_extensions import TypedDict

from ..harness import Run, ainvoke, astream, call, case, spectrum, stream, tape
from ..library import (
    START,
    Command,
    NodeError,
    RetryPolicy,
    Send,
    StateGraph,
    StreamWriter,
    get_stream_writer,
)
from ._shared import EMPTY, MODESETS, XL, logger, plain_logger


@case("a node raises while a sibling is still streaming; the sibling is cancelled", own=False, timed=True)
def err_sibling() -> Iterator[Run]:
    async def streamer(state: XL, writer: StreamWriter) -> Any:
        tape.mark("streamer:start")
        try:
            for i in range(10):
                writer(i)
                await anyio.sleep(0.03)
            tape.mark("streamer:finished")
            return {"log": ["streamer"]}
        except anyio.get_cancelled_exc_class():
            tape.mark("streamer:cancelled")
            writer("written in except CancelledError")
            raise
        finally:
            tape.mark("streamer:finally")

    async def bad(state: XL) -> Any:
        await anyio.sleep(0.1)
        tape.mark("bad:raising")
        raise ValueError("boom")

    async def fast(state: XL) -> Any:
        await anyio.sleep(0.01)
        return {"log": ["fast"]}

    graph = (
        StateGraph(XL)
        .add_node(streamer)
        .add_node(bad)
        .add_node(fast)
        .add_edge(START, "streamer")
        .add_edge(START, "bad")
        .add_edge(START, "fast")
        .compile()
    )
    for mode in ("custom", "updates", "values", "list"):
        yield astream(graph, {"x": ""}, stream_mode=MODESETS[mode], name=mode)


@case("a single node raises after writing custom data; what the consumer got before the exception", own=False)
def err_single_node() -> Iterator[Run]:
    def ok(state: XL) -> Any:
        return {"log": ["ok"]}

    async def bad(state: XL, writer: StreamWriter) -> Any:
        writer("before")
        await anyio.sleep(0.02)
        writer("just before raise")
        raise ValueError("boom")

    def sbad(state: XL, writer: StreamWriter) -> Any:
        writer("before")
        raise ValueError("boom")

    graph = None
    for name, node in (("async", bad), ("sync", sbad)):
        graph = StateGraph(XL).add_sequence([("ok", ok), ("bad", node)]).add_edge(START, "ok").compile()
        for m, mode in MODESETS.items():
            yield astream(graph, {"x": ""}, stream_mode=mode, name=f"{name}.astream.{m}")
        if name == "sync":
            for m, mode in MODESETS.items():
                yield stream(graph, {"x": ""}, stream_mode=mode, name=f"{name}.stream.{m}")
    yield call("ainvoke", lambda: graph.ainvoke({"x": ""}))


@case("a router raises: its node's update is streamed, then the error; at the start there is no node")
def err_router() -> Iterator[Run]:
    def route(state: XL) -> str:
        get_stream_writer()("routing")
        raise ValueError("no way")

    async def aroute(state: XL) -> str:
        raise ValueError("no way")

    for name, router in (("sync", route), ("async", aroute)):
        builder = StateGraph(XL).add_node("a", plain_logger("a")).add_node("b", plain_logger("b")).add_edge(START, "a")
        graph = builder.add_conditional_edges("a", router, ["b"]).compile()
        yield from spectrum(graph, EMPTY, name=name, sync=name == "sync")
    graph = StateGraph(XL).add_node("a", plain_logger("a")).add_conditional_edges(START, route, ["a"]).compile()
    yield from spectrum(graph, EMPTY, name="at_start")


@case("two nodes write one key without a reducer: both updates, then InvalidUpdateError", timed=True)
def err_key_conflict() -> Iterator[Run]:
    def writing(value: str, delay: float) -> Any:
        async def node(state: XL) -> Any:
            await anyio.sleep(delay)
            return {"x": value, "log": [value]}

        return node

    builder = StateGraph(XL).add_node("a", writing("a", 0.01)).add_node("b", writing("b", 0.02))
    builder.add_node("c", plain_logger("c")).add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b"], "c")
    yield from spectrum(builder.compile(), EMPTY)

    same = StateGraph(XL).add_node("a", lambda s: [Command(update={"x": "1"}), Command(update={"x": "2"})])
    yield from spectrum(same.add_edge(START, "a").compile(), EMPTY, name="one_node_twice", sync=True)

    def fan(state: XL) -> Any:
        return [Send("w", {"x": str(i), "delay": 0.01 * (i + 1)}) for i in range(2)]

    async def w(state: Any) -> Any:
        await anyio.sleep(state["delay"])
        return {"x": state["x"]}

    graph = StateGraph(XL).add_node("w", w).add_conditional_edges(START, fan, ["w"]).compile()
    yield from spectrum(graph, EMPTY, name="sends")


@case("recursion limit: that many supersteps are streamed, then GraphRecursionError")
def err_recursion_limit() -> Iterator[Run]:
    graph = StateGraph(XL).add_node("a", plain_logger("a")).add_edge(START, "a").add_edge("a", "a").compile()
    for limit in (1, 2, 3):
        yield from spectrum(graph, EMPTY, {"recursion_limit": limit}, name=f"loop.{limit}", sync=limit == 2)

    graph = (
        StateGraph(XL).add_sequence([("a", plain_logger("a")), ("b", plain_logger("b"))]).add_edge(START, "a").compile()
    )
    for limit in (1, 2, 3):
        yield from spectrum(graph, EMPTY, {"recursion_limit": limit}, name=f"two_steps.{limit}")

    inner = StateGraph(XL).add_node("i", plain_logger("i")).add_edge(START, "i").add_edge("i", "i").compile()
    graph = StateGraph(XL).add_node("sub", inner).add_edge(START, "sub").compile()
    yield from spectrum(graph, EMPTY, {"recursion_limit": 3}, name="subgraph")
    for limit in (0, -1):
        yield astream(graph, EMPTY, {"recursion_limit": limit}, stream_mode="values", name=f"limit.{limit}")


@case("retry policy: chunks of failed attempts stay, then success or the last error")
def err_retry() -> Iterator[Run]:
    def build(fail: int, error: Any, **policy: Any) -> Any:
        async def flaky(state: XL, writer: StreamWriter) -> Any:
            attempt = tape.attempt("flaky")
            writer(f"attempt {attempt}")
            if attempt <= fail:
                raise error(f"failure {attempt}")
            return {"log": [f"done in {attempt}"]}

        retry = RetryPolicy(initial_interval=0.01, jitter=False, **policy)
        return StateGraph(XL).add_node("flaky", flaky, retry_policy=retry).add_edge(START, "flaky").compile()

    yield from spectrum(build(2, ConnectionError), EMPTY, name="recovers")
    yield from spectrum(build(5, ConnectionError), EMPTY, name="gives_up")
    yield from spectrum(build(1, ValueError), EMPTY, name="not_retried_by_default")
    yield from spectrum(build(1, ValueError, retry_on=ValueError), EMPTY, name="retry_on_class")
    yield from spectrum(build(1, ValueError, retry_on=(KeyError, ValueError)), EMPTY, name="retry_on_tuple")
    yield from spectrum(build(3, ValueError, retry_on=lambda e: "2" not in str(e)), EMPTY, name="retry_on_function")
    yield from spectrum(build(9, ConnectionError, max_attempts=1), EMPTY, name="one_attempt")

    def sync_flaky(state: XL, writer: StreamWriter) -> Any:
        attempt = tape.attempt("flaky")
        writer(f"attempt {attempt}")
        if attempt == 1:
            raise ConnectionError("once")
        return {"log": [f"done in {attempt}"]}

    policies = [
        RetryPolicy(initial_interval=0.01, jitter=False, retry_on=KeyError),
        RetryPolicy(initial_interval=0.01, jitter=False, retry_on=ConnectionError),
    ]
    graph = StateGraph(XL).add_node("flaky", sync_flaky, retry_policy=policies).add_edge(START, "flaky").compile()
    yield from spectrum(graph, EMPTY, name="two_policies", sync=True)


@case("retry of a subgraph: the chunks of each attempt, and where they come from")
def err_retry_subgraph() -> Iterator[Run]:
    async def flaky(state: XL, writer: StreamWriter) -> Any:
        attempt = tape.attempt("flaky")
        writer(f"attempt {attempt}")
        if attempt == 1:
            raise ConnectionError("once")
        return {"log": [f"done in {attempt}"]}

    inner = StateGraph(XL).add_sequence([("first", plain_logger("first")), ("flaky", flaky)]).add_edge(START, "first")
    retry = RetryPolicy(initial_interval=0.01, jitter=False)
    graph = StateGraph(XL).add_node("sub", inner.compile(), retry_policy=retry).add_edge(START, "sub").compile()
    yield from spectrum(graph, EMPTY)


@case(
    "an error two subgraphs deep: which tasks report it, at which namespaces, and with which notes",
    timed=True,
)
def err_subgraph() -> Iterator[Run]:
    async def bad(state: XL, writer: StreamWriter) -> Any:
        writer("before")
        await anyio.sleep(0.01)
        raise ValueError("deep")

    innermost = StateGraph(XL).add_node("bad", bad).add_edge(START, "bad").compile()
    middle = (
        StateGraph(XL).add_sequence([("ok", plain_logger("ok")), ("mid", innermost)]).add_edge(START, "ok").compile()
    )
    graph = StateGraph(XL).add_node("top", middle).add_edge(START, "top").compile()
    yield from spectrum(graph, EMPTY)

    async def calling(state: XL) -> Any:
        try:
            return await middle.ainvoke(state)
        except ValueError as error:
            return {"log": [f"caught {error}"]}

    graph = StateGraph(XL).add_node("top", calling).add_edge(START, "top").compile()
    yield from spectrum(graph, EMPTY, name="caught")


@case(
    "siblings of a failure: the finished ones are streamed, a later failure is not seen; one Send of three",
    timed=True,
)
def err_several() -> Iterator[Run]:
    def failing(name: str, delay: float) -> Any:
        async def node(state: XL, writer: StreamWriter) -> Any:
            await anyio.sleep(delay)
            writer(f"{name} fails")
            raise ValueError(name)

        return node

    builder = StateGraph(XL).add_node("a", failing("a", 0.02)).add_node("b", failing("b", 0.05))
    builder.add_node("c", logger("c", 0.01)).add_edge(START, "a").add_edge(START, "b").add_edge(START, "c")
    yield from spectrum(builder.compile(), EMPTY, name="two_failures")

    async def work(state: Any, writer: StreamWriter) -> Any:
        await anyio.sleep(0.01 * state["n"])
        writer(state["n"])
        if state["n"] == 2:
            raise ValueError("second")
        return {"log": [state["n"]]}

    def fan(state: XL) -> Any:
        return [Send("work", {"n": n}) for n in (3, 2, 1)]

    graph = StateGraph(XL).add_node("work", work).add_conditional_edges(START, fan, ["work"]).compile()
    yield from spectrum(graph, EMPTY, name="sends")


@case("a sibling's cleanup: its finally runs to its end before the consumer gets the error", timed=True)
def err_cleanup() -> Iterator[Run]:
    async def cleaning(state: XL, writer: StreamWriter) -> Any:
        try:
            await anyio.sleep(10)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.05)
            tape.mark("cleaned up")

    async def bad(state: XL) -> Any:
        await anyio.sleep(0.01)
        tape.mark("raising")
        raise ValueError("boom")

    builder = StateGraph(XL).add_node(cleaning).add_node(bad).add_edge(START, "cleaning").add_edge(START, "bad")
    yield astream(builder.compile(), EMPTY, stream_mode=["updates", "custom"], name="astream")
    yield ainvoke(builder.compile(), EMPTY, name="ainvoke")


@case("a reducer raises: the updates are out, the state is not")
def err_reducer() -> Iterator[Run]:
    class Odd(TypedDict):
        n: Annotated[int, lambda old, new: old + new]

    graph = StateGraph(Odd).add_node("a", lambda s: {"n": "text"}).add_edge(START, "a").compile()
    yield from spectrum(graph, {"n": 1}, sync=True)


@case("exceptions of several kinds keep their type and message")
def err_kinds() -> Iterator[Run]:
    class Own(Exception):
        def __init__(self, code: int) -> None:
            super().__init__(f"code {code}")

    errors = {
        "own": lambda: Own(3),
        "key": lambda: KeyError("k"),
        "timeout": lambda: TimeoutError("slow"),
        "assertion": lambda: AssertionError(),
        "os": lambda: FileNotFoundError(2, "No such file", "f.txt"),
    }
    for name, make in errors.items():

        async def bad(state: XL, make: Any = make) -> Any:
            raise make()

        graph = StateGraph(XL).add_node("bad", bad).add_edge(START, "bad").compile()
        yield astream(graph, EMPTY, stream_mode=["tasks", "updates"], name=name)
        yield ainvoke(graph, EMPTY, name=f"{name}.ainvoke")


@case("timeout= of an async node: NodeTimeoutError, after what it wrote; and error_handler=", timed=True)
def err_timeout() -> Iterator[Run]:
    async def slow(state: XL, writer: StreamWriter) -> Any:
        writer("started")
        await anyio.sleep(5)
        return {"log": ["slow"]}

    graph = StateGraph(XL).add_node("slow", slow, timeout=0.05).add_edge(START, "slow").compile()
    yield from spectrum(graph, EMPTY)
    builder = StateGraph(XL).add_node("slow", slow, timeout=0.05).add_node("fast", logger("fast", 0.01))
    yield from spectrum(builder.add_edge(START, "slow").add_edge(START, "fast").compile(), EMPTY, name="sibling")


@case("error_handler=: its update replaces the failed node's, siblings go on", timed=True)
def err_handler() -> Iterator[Run]:
    async def bad(state: XL, writer: StreamWriter) -> Any:
        writer("before")
        await anyio.sleep(0.01)
        raise ValueError("handled")

    async def handle(state: XL, error: NodeError) -> Any:
        return {"log": [f"{error.node}: {error.error}"]}

    def build(**sibling: Any) -> Any:
        builder = StateGraph(XL).add_node("bad", bad, error_handler=handle).add_node("after", plain_logger("after"))
        builder.add_edge(START, "bad").add_edge("bad", "after")
        if sibling:
            builder.add_node("sibling", logger("sibling", 0.05)).add_edge(START, "sibling")
        return builder.compile()

    yield from spectrum(build(), EMPTY, name="alone")
    yield from spectrum(build(sibling=True), EMPTY, name="with_sibling")
