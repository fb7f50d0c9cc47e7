"""What random graphs and inputs found: a Command as input, types of outputs, joins in loops, what is inherited."""

import operator
from collections.abc import Iterator
from typing import Annotated, Any

import anyio
from typing_extensions import TypedDict

from ..harness import Run, ainvoke, astream, case, invoke, spectrum
from ..library import START, Command, MessagesState, RetryPolicy, RunnableConfig, Send, StateGraph, StreamWriter
from ._shared import EMPTY, MAIN, XL, L, S, logger, plain_logger


@case("a Command as input: an update, nodes and Sends to run besides those behind the entry", timed=True)
def ends_command_input() -> Iterator[Run]:
    async def slow(state: Any) -> Any:
        await anyio.sleep(0.02)
        return {"log": [f"slow {state}"]}

    def fast(state: Any) -> Any:
        return {"log": ["fast"]}

    builder = StateGraph(XL).add_node("fast", fast).add_node("slow", slow)
    graph = builder.add_edge(START, "fast").add_edge("fast", "slow").compile()
    commands = {
        "node": Command(update={"x": "1"}, goto="slow"),
        "send": Command(goto=Send("slow", {"x": "sent"})),
        "mixed": Command(update=[("x", "1")], goto=[Send("slow", {"x": "sent"}), "fast"]),
    }
    for name, command in commands.items():
        yield from spectrum(graph, command, name=name)


@case("a run that wrote none of its output keys returns None, though some of them have values")
def ends_output_never_written() -> Iterator[Run]:
    class Out(TypedDict):
        log: Annotated[list, operator.add]

    def nothing(state: XL) -> Any:
        return {"x": "n"}

    narrow = StateGraph(XL, output_schema=Out).add_node(nothing).add_edge(START, "nothing").compile()
    yield from spectrum(narrow, {"x": ""}, sync=True)
    whole = StateGraph(XL).add_node(nothing).add_edge(START, "nothing").compile()
    for keys in ("log", ["log"], "x", []):
        yield ainvoke(whole, {"x": ""}, output_keys=keys, name=f"keys.{keys}")
        yield ainvoke(whole, {"x": ""}, output_keys=keys, version="v2", name=f"keys.{keys}.v2")
    yield invoke(whole, {"log": []}, output_keys="log", name="written_by_the_input")

    def calling(state: XL) -> Any:
        return {"log": [narrow.invoke({"x": ""})]}

    outer = StateGraph(XL).add_node("sub", narrow).add_node(calling).add_edge(START, "sub").add_edge("sub", "calling")
    yield from spectrum(outer.compile(), EMPTY, name="inside")


@case("version='v2': values and the output are of the output's type", needs="pydantic")
def ends_output_type() -> Iterator[Run]:
    from pydantic import BaseModel

    class State(BaseModel):
        question: str = "none"
        count: int = 3

    class Answer(BaseModel):
        question: str

    class Plain(TypedDict):
        question: str

    def ask(state: State) -> Any:
        return {"question": f"{state.question}?", "count": 9}

    for output in (Answer, Plain, State):
        graph = StateGraph(State, output_schema=output).add_node(ask).add_edge(START, "ask").compile()
        inputs = {"question": "why"}
        name = output.__name__
        yield astream(graph, inputs, stream_mode=MAIN, version="v2", name=f"{name}.list")
        yield astream(graph, inputs, stream_mode="values", name=f"{name}.v1")
        yield ainvoke(graph, inputs, version="v2", name=f"{name}.ainvoke")
        yield ainvoke(graph, inputs, name=f"{name}.ainvoke.v1")


@case("a model as input or update: a field nobody gave, whose default is None, is not written", needs="pydantic")
def ends_model_fields() -> Iterator[Run]:
    from pydantic import BaseModel

    class State(BaseModel):
        name: str = "anonymous"
        age: int | None = None
        city: str | None = "nowhere"

    updates = {
        "nothing": State(),
        "some": State(age=3),
        "none": State(age=None, city=None),
    }
    for name, update in updates.items():
        for kind, value in (("model", update), ("command", Command(update=update))):

            def node(state: State, value: Any = value) -> Any:
                return value

            graph = StateGraph(State).add_node(node).add_edge(START, "node").compile()
            yield from spectrum(graph, {"name": "given"}, name=f"{name}.{kind}")
        yield from spectrum(graph, update, name=f"{name}.input")


@case("metadata of a node goes along to everything that runs inside: a subgraph, a graph it calls")
def ends_inherited_metadata() -> Iterator[Run]:
    def show(state: L, config: RunnableConfig) -> Any:
        return {"log": [{k: v for k, v in config["metadata"].items() if k in ("outer", "both", "run", "call")}]}

    inner = StateGraph(L).add_node("show", show, metadata={"both": "inner"}).add_edge(START, "show").compile()

    async def calling(state: L) -> Any:
        result = await inner.ainvoke({"log": []}, {"metadata": {"call": 1}})
        return {"log": result["log"]}

    for name, node in (("subgraph", inner), ("called", calling)):
        graph = StateGraph(L).add_node("n", node, metadata={"outer": 1, "both": "outer"}).add_edge(START, "n").compile()
        yield from spectrum(graph, {"log": []}, name=name)
        yield from spectrum(graph, {"log": []}, {"metadata": {"run": 1, "outer": "run"}}, name=f"{name}.run")

    def answer(state: MessagesState) -> Any:
        return {"messages": [("ai", "plain")]}

    asking = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile()
    graph = StateGraph(MessagesState).add_node("n", asking, metadata={"outer": 1}).add_edge(START, "n").compile()
    yield astream(graph, {"messages": []}, stream_mode=["messages", "tasks"], subgraphs=True, name="messages")


@case("a policy's default tries again after a timeout", timed=True)
def ends_retried_timeout() -> Iterator[Run]:
    async def slow(state: S, writer: StreamWriter) -> Any:
        writer("begun")
        await anyio.sleep(3)

    policy = RetryPolicy(initial_interval=0.1, jitter=False, max_attempts=2)
    graph = StateGraph(S).add_node("slow", slow, timeout=1, retry_policy=policy).add_edge(START, "slow").compile()
    yield astream(graph, {"x": ""}, stream_mode=["custom", "updates"], name="custom")
    graph = StateGraph(XL).add_node("after", plain_logger("after")).add_edge(START, "after")
    graph.add_node("slow", slow, timeout=4, retry_policy=policy).add_edge(START, "slow")
    yield astream(graph.compile(), EMPTY, stream_mode=["custom", "updates"], name="in_time")


@case("a source that comes twice in the superstep that completes a join does not begin the next round", timed=True)
def ends_join_in_loop() -> Iterator[Run]:
    for first, defer in (("a", False), ("zz", False), ("a", True), ("zz", True)):

        def route(state: XL, first: str = first) -> Any:
            return [first, "m"] if len(state["log"]) < 3 else "m"

        builder = StateGraph(XL)
        for name, delay in ((first, 0.01), ("m", 0.02), ("end", 0.03), ("late", 0.04)):
            builder.add_node(name, logger(name, delay), defer=defer and name == "end")
        builder.add_edge(START, first).add_conditional_edges(first, route, [first, "m"]).add_edge([first, "m"], "end")
        builder.add_edge("m", "late")
        yield from spectrum(builder.compile(), EMPTY, name=f"{first}.{defer}")
