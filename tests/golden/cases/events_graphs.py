"""Events of graphs: nodes and what they return, routers, nodes side by side, errors."""

import functools
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import anyio
from typing_extensions import TypedDict

from ..harness import Run, event_case, events, tape
from ..library import (
    END,
    START,
    Command,
    Graph,
    MessagesState,
    RetryPolicy,
    RunnableLambda,
    Send,
    StateGraph,
    adispatch_custom_event,
)
from ..models import chat_model
from ._events import LABELLED, adding, chain_of, one, two
from ._shared import EMPTY, XL, L


@event_case("nodes one after the other: names, tags, metadata, ids")
def ev_graph_nodes() -> Iterator[Run]:
    def plain(state: XL) -> Any:
        return {"x": "plain"}

    yield events(two(), EMPTY, name="async")
    yield events(chain_of(("a", plain), ("b", plain)), EMPTY, name="sync")
    yield events(two("flow"), EMPTY, name="named")
    yield events(two("flow"), EMPTY, {"run_name": "called"}, name="run_name")
    yield events(two(), EMPTY, LABELLED, name="labelled")
    yield events(two(), EMPTY, {"tags": ["b", "a", "b"]}, name="same_tag_twice")
    yield events(two(), EMPTY, {"configurable": {"thread_id": "T", "user": "u", "flag": True}}, name="configurable")
    yield events(two(), EMPTY, {"run_id": "given"}, name="run_id")
    labelled = one(adding("n"), metadata={"nm": 1, "m": "node", "tags": ["nt"]})
    yield events(labelled, EMPTY, LABELLED, name="node_metadata")
    yield events(
        StateGraph(XL).add_node("n", adding("n"), defer=True).add_edge(START, "n").compile(), EMPTY, name="defer"
    )


@event_case("stream_mode, subgraphs and output_keys decide what the chunks of the root are")
def ev_graph_modes() -> Iterator[Run]:
    for name, mode in (("values", "values"), ("list", ["updates", "values"]), ("single", ["updates"])):
        yield events(two(), EMPTY, stream_mode=mode, name=name)
    yield events(two(), EMPTY, stream_mode="custom", name="custom")
    yield events(two(), EMPTY, stream_mode="tasks", name="tasks")
    yield events(two(), EMPTY, subgraphs=True, name="subgraphs")
    yield events(two(), EMPTY, stream_mode=["values", "updates"], subgraphs=True, name="subgraphs.list")
    yield events(two(), EMPTY, output_keys="x", name="output_key")
    yield events(two(), EMPTY, output_keys=["x"], name="output_keys")


@event_case("input of the root and of nodes, in each form of state")
def ev_graph_inputs() -> Iterator[Run]:
    @dataclass
    class Data:
        x: str = ""

    class Narrow(TypedDict):
        x: str

    def data(state: Data) -> Any:
        return {"x": state.x + "d"}

    def narrow(state: Narrow) -> Any:
        return {"x": "n"}

    def answer(state: MessagesState) -> Any:
        return {"messages": [("ai", "hello")]}

    yield events(two(), Command(update={"x": "c", "log": []}), name="command")
    yield events(chain_of(("a", data), state=Data), Data("d"), name="dataclass")
    yield events(one(narrow, input_schema=Narrow), EMPTY, name="input_schema")
    output = StateGraph(XL, output_schema=Narrow).add_node("n", adding("n")).add_edge(START, "n").compile()
    yield events(output, EMPTY, name="output_schema")
    yield events(chain_of(("a", answer), state=MessagesState), {"messages": [("human", "hi")]}, name="messages")
    yield events(two(), None, name="none")


@event_case("a pydantic state", needs="pydantic")
def ev_graph_pydantic() -> Iterator[Run]:
    from pydantic import BaseModel

    class Model(BaseModel):
        x: str = ""

    def node(state: Model) -> Any:
        return {"x": state.x + "p"}

    yield events(chain_of(("a", node), state=Model), {"x": "q"}, name="dict")
    yield events(chain_of(("a", node), state=Model), Model(x="q"), name="model")


@event_case("what a node returns, and what it is made of")
def ev_graph_returns() -> Iterator[Run]:
    returned = {
        "none": None,
        "empty": {},
        "command": Command(update={"x": "c"}, goto="b"),
        "goto_only": Command(goto="b"),
        "sends": Command(goto=[Send("b", {"x": "sent", "log": []})]),
        "commands": [Command(update={"log": ["1"]}), Command(update={"log": ["2"]})],
        "mixed": [{"x": "1"}, Command(update={"log": ["2"]})],
    }
    for name, value in returned.items():

        async def node(state: XL, value: Any = value) -> Any:
            return value

        builder = StateGraph(XL).add_node("a", node, destinations=("b",)).add_node("b", adding("b"))
        yield events(builder.add_edge(START, "a").compile(), EMPTY, name=name)

    class Callable:
        async def __call__(self, state: XL) -> Any:
            return {"log": ["object"]}

    def partly(word: str, state: XL) -> Any:
        return {"log": [word]}

    yield events(one(lambda state: {"log": ["lambda"]}), EMPTY, name="lambda")
    yield events(one(functools.partial(partly, "partial")), EMPTY, name="partial")
    yield events(one(Callable()), EMPTY, name="callable_object")


@event_case("steps of chains as nodes")
def ev_graph_step_nodes() -> Iterator[Run]:
    def shout(state: XL) -> Any:
        return {"log": [state["x"].upper()]}

    def text(state: XL) -> str:
        return state["x"]

    def log(text: str) -> Any:
        return {"log": [text]}

    inputs = {"x": "x", "log": []}
    yield events(one(RunnableLambda(shout)), inputs, name="step")
    yield events(one(RunnableLambda(text) | log), inputs, LABELLED, name="chain")
    configured = RunnableLambda(shout).with_config(run_name="named", tags=["st"], metadata={"sm": 1})
    yield events(one(configured), inputs, LABELLED, name="configured")


@event_case("routers are runs of their own; one at the entry is in a run of __start__")
def ev_graph_routers() -> Iterator[Run]:
    def route(state: XL) -> Any:
        return "b"

    async def fan_out(state: XL) -> Any:
        return [Send("b", {"x": x, "log": []}) for x in ("1",)]

    def end(state: XL) -> Any:
        return END

    def flag(state: XL) -> Any:
        return True

    async def asking(state: XL) -> Any:
        await adispatch_custom_event("routing", {"x": state["x"]})
        await chat_model().ainvoke("where?")
        return "b"

    def routed(*routers: Any, source: str = "a", targets: Any = ("b", "c")) -> Graph:
        builder = StateGraph(XL).add_node("b", adding("b")).add_node("c", adding("c"))
        if source == "a":
            builder.add_node("a", adding("a")).add_edge(START, "a")
        for router in routers:
            builder.add_conditional_edges(source, router, targets if isinstance(targets, dict) else [*targets, END])
        return builder.compile()

    yield events(routed(route), EMPTY, LABELLED, name="node")
    yield events(routed(route, source=START), EMPTY, LABELLED, name="entry")
    yield events(routed(flag, source=START, targets={True: "c", False: "b"}), EMPTY, name="mapping")
    yield events(routed(fan_out), EMPTY, name="sends")
    yield events(routed(end), EMPTY, name="end")
    yield events(routed(route, end), EMPTY, name="several")
    yield events(routed(lambda state: "b"), EMPTY, name="lambda")
    yield events(routed(asking), EMPTY, LABELLED, name="asking")
    inner = one(routed(route, source=START))
    yield events(inner, EMPTY, LABELLED, name="entry_of_a_subgraph")


class Jobs(TypedDict):
    log: Annotated[list, operator.add]
    number: int


@event_case("nodes side by side, which end at different times", timed=True)
def ev_graph_parallel() -> Iterator[Run]:
    def waiting(name: str, delay: float) -> Any:
        async def node(state: Any) -> Any:
            await anyio.sleep(delay)
            return {"log": [name]}

        return node

    async def job(state: Jobs) -> Any:
        await anyio.sleep(state["number"] / 100)
        return {"log": [f"job {state['number']}"]}

    def split(state: Jobs) -> Any:
        return [Send("job", {"number": number, "log": []}) for number in (3, 1, 2)]

    def both() -> Any:
        builder = StateGraph(L).add_node("slow", waiting("slow", 0.02)).add_node("quick", waiting("quick", 0.01))
        return builder.add_edge(START, "slow").add_edge(START, "quick")

    yield events(both().compile(), {"log": []}, LABELLED, name="two")
    joined = both().add_node("join", waiting("join", 0.01)).add_edge(["slow", "quick"], "join").compile()
    yield events(joined, {"log": []}, name="join")
    yield events(joined, {"log": []}, stream_mode=["updates", "values"], name="join.list")
    sending = StateGraph(Jobs).add_node("job", job).add_node("split", waiting("split", 0.01)).add_edge(START, "split")
    yield events(sending.add_conditional_edges("split", split, ["job"]).compile(), {"log": []}, name="sends")


@event_case("nodes side by side at the same moment", loose=True)
def ev_graph_at_once() -> Iterator[Run]:
    async def node(state: L) -> Any:
        return {"log": ["node"]}

    def plain(state: L) -> Any:
        return {"log": ["plain"]}

    for name, kind in (("async", node), ("sync", plain)):
        builder = StateGraph(L).add_node("p1", kind).add_node("p2", kind).add_edge(START, "p1").add_edge(START, "p2")
        yield events(builder.compile(), {"log": []}, name=name)


@event_case("what was emitted before an exception")
def ev_graph_errors() -> Iterator[Run]:
    async def bad(state: XL) -> Any:
        raise ValueError("boom")

    def plain_bad(state: XL) -> Any:
        raise ValueError("boom")

    def wrong_route(state: XL) -> Any:
        raise ValueError("no route")

    async def asking(state: XL) -> Any:
        await chat_model(["a", ValueError("model boom")]).ainvoke("hi")

    async def chaining(state: XL) -> Any:
        await (RunnableLambda(plain_bad) | str).ainvoke(state)

    async def catching(state: XL) -> Any:
        try:
            await RunnableLambda(plain_bad).ainvoke(state)
        except ValueError as error:
            return {"log": [str(error)]}

    yield events(chain_of(("a", adding("a")), ("bad", bad)), EMPTY, LABELLED, name="node")
    yield events(chain_of(("bad", plain_bad)), EMPTY, name="sync_node")
    yield events(one(one(bad)), EMPTY, name="subgraph")
    yield events(one(asking), EMPTY, name="model")
    yield events(one(chaining), EMPTY, name="chain")
    yield events(one(catching), EMPTY, name="caught")
    routed = StateGraph(XL).add_node("a", adding("a")).add_node("b", adding("b")).add_edge(START, "a")
    yield events(routed.add_conditional_edges("a", wrong_route, ["b"]).compile(), EMPTY, name="router")
    loop = StateGraph(XL).add_node("a", adding("a")).add_edge(START, "a").add_edge("a", "a").compile()
    yield events(loop, EMPTY, {"recursion_limit": 2}, name="recursion")
    yield events(one(lambda state: {"log": 3}), EMPTY, name="reducer")
    yield events(one(lambda state: "text"), EMPTY, name="invalid_update")


@event_case("attempts of a node, and a sibling that fails", timed=True)
def ev_graph_retries() -> Iterator[Run]:
    policy = RetryPolicy(initial_interval=0.01, jitter=False, max_attempts=3, retry_on=ValueError)

    async def flaky(state: XL) -> Any:
        if tape.attempt("flaky") < 3:
            raise ValueError("not yet")
        return {"log": ["at last"]}

    async def bad(state: XL) -> Any:
        await anyio.sleep(0.01)
        raise ValueError("boom")

    async def slow(state: XL) -> Any:
        await anyio.sleep(0.05)

    yield events(one(flaky, retry_policy=policy), EMPTY, name="recovers")
    yield events(one(bad, retry_policy=policy), EMPTY, name="gives_up")
    both = StateGraph(XL).add_node("bad", bad).add_node("slow", slow).add_edge(START, "bad").add_edge(START, "slow")
    yield events(both.compile(), EMPTY, name="sibling")
    yield events(one(slow, timeout=0.01), EMPTY, name="timeout")
