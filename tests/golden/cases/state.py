"""State: schemas, reducers, managed values, and what nodes may return."""

import dataclasses
import functools
import operator
from collections.abc import Iterator
from typing import Annotated, Any

from typing_extensions import NotRequired, TypedDict

from ..harness import Run, ainvoke, astream, case, invoke, spectrum, stream
from ..library import (
    END,
    START,
    Command,
    IsLastStep,
    MessagesState,
    Overwrite,
    RemainingSteps,
    Runtime,
    Send,
    StateGraph,
    StreamWriter,
)
from ._shared import EMPTY, MAIN, XL, L, S, logger


@case("input and output schemas: what values, updates, invoke and the nodes see")
def state_io_schemas() -> Iterator[Run]:
    class Question(TypedDict):
        question: str

    class Answer(TypedDict):
        answer: str

    class Whole(Question, Answer):
        notes: Annotated[list, operator.add]

    def think(state: Question) -> Any:
        return {"notes": [f"think {sorted(state)}"]}

    def write(state: Whole) -> Any:
        return {"answer": state["question"] + "!", "notes": ["write"]}

    graph = (
        StateGraph(Whole, input_schema=Question, output_schema=Answer)
        .add_node(think)
        .add_node(write)
        .add_edge(START, "think")
        .add_edge("think", "write")
        .compile()
    )
    yield from spectrum(graph, {"question": "why"}, sync=True)
    yield from spectrum(graph, {"question": "why", "answer": "given", "notes": ["mine"]}, name="input_with_more")
    keys: dict[str, Any] = {"key": "notes", "keys": ["notes"], "input_key": ["question", "answer"]}
    for named, key in keys.items():
        yield astream(graph, {"question": "why"}, stream_mode=["values", "updates"], output_keys=key, name=named)
    for api, run in (("ainvoke", ainvoke), ("invoke", invoke)):
        for mode in ("updates", "values", ["updates", "values"], "tasks"):
            named = mode if isinstance(mode, str) else "list"
            yield run(graph, {"question": "why"}, stream_mode=mode, name=f"{api}.{named}")
    outer = StateGraph(Whole).add_node("sub", graph).add_edge(START, "sub").compile()
    yield from spectrum(outer, {"question": "deep"}, name="subgraph")

    async def calling(state: Whole) -> Any:
        return await graph.ainvoke({"question": state["question"]})

    outer = StateGraph(Whole).add_node("call", calling).add_edge(START, "call").compile()
    yield from spectrum(outer, {"question": "called"}, name="called")


@case("private keys: a node writes and reads keys that the graph's schema does not have")
def state_private_keys() -> Iterator[Run]:
    class Public(TypedDict):
        x: str

    class Private(TypedDict):
        secret: str

    class Both(Public, Private):
        pass

    def a(state: Public) -> Private:
        return {"secret": "s"}

    def b(state: Private) -> Any:
        return {"x": f"{state['secret']} of {sorted(state)}"}

    def c(state: Both) -> Any:
        return {"x": f"{state['x']} in {sorted(state)}"}

    graph = StateGraph(Public).add_sequence([a, b, c]).add_edge(START, "a").compile()
    yield from spectrum(graph, {"x": "0"}, sync=True)


@case("add_node(input_schema=): a node sees its schema, whatever its annotation")
def state_node_input_schema() -> Iterator[Run]:
    class Narrow(TypedDict):
        log: Annotated[list, operator.add]

    def a(state: XL) -> Any:
        return {"x": f"a saw {sorted(state)}"}

    def b(state: Narrow) -> Any:
        return {"log": [f"b saw {sorted(state)}"]}

    graph = (
        StateGraph(XL)
        .add_node("a", a, input_schema=Narrow)
        .add_node("b", b)
        .add_edge(START, "a")
        .add_edge("a", "b")
        .compile()
    )
    yield from spectrum(graph, EMPTY, sync=True)


@dataclasses.dataclass
class Point:
    x: int = 0
    name: str = "origin"
    log: Annotated[list, operator.add] = dataclasses.field(default_factory=list)


@case("dataclass state: attributes in nodes, dicts in chunks, defaults, a node that returns the dataclass")
def state_dataclass() -> Iterator[Run]:
    def a(state: Point) -> Any:
        return {"x": state.x + 1, "log": [f"a:{state.name}:{type(state).__name__}"]}

    def b(state: Point) -> Any:
        return Point(x=state.x * 10, name="b", log=["b"])

    def route(state: Point) -> str:
        return "b" if state.x else END

    graph = StateGraph(Point).add_node(a).add_node(b).add_edge(START, "a")
    graph = graph.add_conditional_edges("a", route, ["b", END]).compile()
    yield from spectrum(graph, {"x": 4}, sync=True)
    yield from spectrum(graph, {"x": -1, "name": "n", "log": ["in"]}, name="full")
    yield from spectrum(graph, Point(x=2), name="instance")


@case("pydantic state: models in nodes, coercion of the input, v2 values are models", needs="pydantic")
def state_pydantic() -> Iterator[Run]:
    from pydantic import BaseModel, Field

    class Inner(BaseModel):
        n: int = 0

    class Model(BaseModel):
        x: int
        inner: Inner = Inner()
        tags: Annotated[list[str], operator.add] = Field(default_factory=list)
        label: str = "none"

    def a(state: Model) -> Any:
        return {"tags": [f"{state.x!r}:{type(state.inner).__name__}:{state.label}"]}

    def b(state: Model) -> Any:
        return {"x": str(state.x + 1), "inner": {"n": 5}}

    def c(state: Model) -> Any:
        return {"tags": [f"{state.x!r}:{state.inner!r}"]}

    graph = StateGraph(Model).add_sequence([a, b, c]).add_edge(START, "a").compile()
    yield from spectrum(graph, {"x": "3"}, sync=True)
    yield from spectrum(graph, {"x": 1, "inner": {"n": "7"}, "tags": ["t"]}, name="nested")
    yield from spectrum(graph, Model(x=8), name="instance")
    yield astream(graph, {"x": 1}, stream_mode="values", version="v2", name="values_v2")

    def partly(state: Model) -> Any:
        return Model(x=9, tags=["whole model"])

    graph = StateGraph(Model).add_node(partly).add_edge(START, "partly").compile()
    yield from spectrum(graph, {"x": 1}, name="returns_model")


@case("pydantic state: wrong input, and a wrong update that the next node finds", needs="pydantic")
def state_pydantic_invalid() -> Iterator[Run]:
    from pydantic import BaseModel

    class Model(BaseModel):
        x: int

    def a(state: Model) -> Any:
        return {"x": "not a number"}

    def b(state: Model) -> Any:
        return {"x": 0}

    graph = StateGraph(Model).add_sequence([a, b]).add_edge(START, "a").compile()
    for name, inputs in (("input", {"x": "wrong"}), ("missing", {"y": 1}), ("update", {"x": 1})):
        yield astream(graph, inputs, stream_mode=MAIN, name=name)
        yield ainvoke(graph, inputs, name=f"{name}.ainvoke")


@case("reducers: int, str, dict, set, a function, Optional; what each channel starts with")
def state_reducers() -> Iterator[Run]:
    def merge(old: dict, new: dict) -> dict:
        return {**old, **new}

    def newest(old: Any, new: Any) -> Any:
        return f"{old}>{new}"

    class Reduced(TypedDict):
        total: Annotated[int, operator.add]
        text: Annotated[str, operator.add]
        seen: Annotated[set, operator.or_]
        facts: Annotated[dict, merge]
        ratio: Annotated[float, lambda old, new: max(old, new)]
        chain: Annotated[str, newest]
        maybe: Annotated[list | None, lambda old, new: (old or []) + (new or [])]
        plain: str

    def a(state: Reduced) -> Any:
        return {
            "total": 1,
            "text": "a",
            "seen": {"a"},
            "facts": {"a": 1},
            "ratio": 0.5,
            "chain": "a",
            "maybe": ["a"],
        }

    def b(state: Reduced) -> Any:
        return {
            "total": 2,
            "text": "b",
            "seen": {"b"},
            "facts": {"a": 2, "b": 3},
            "ratio": 0.25,
            "plain": "b",
        }

    graph = StateGraph(Reduced).add_sequence([a, b]).add_edge(START, "a").compile()
    yield from spectrum(graph, {"plain": "in"}, sync=True)
    yield from spectrum(graph, {"total": 10, "text": "in", "seen": {"in"}, "chain": "in"}, name="given")
    yield from spectrum(graph, {}, name="empty")


@case("parallel writes to one reducer: order of reduction is by node name, not by completion", timed=True)
def state_reduce_order() -> Iterator[Run]:
    builder = StateGraph(XL)
    for name, delay in (("n2", 0.01), ("n10", 0.02), ("n1", 0.03), ("M", 0.04)):
        builder.add_node(name, logger(name, delay)).add_edge(START, name)
    yield from spectrum(builder.compile(), EMPTY)


@case(
    "Overwrite: past the reducer, from a node, in a Command, beside a normal write, and twice (an error)",
    timed=True,
)
def state_overwrite() -> Iterator[Run]:
    def first(state: XL) -> Any:
        return {"log": ["a", "b"]}

    def reset(state: XL) -> Any:
        return {"log": Overwrite(["reset"])}

    def command(state: XL) -> Any:
        return Command(update={"log": Overwrite(["command"])})

    for name, second in (("dict", reset), ("command", command)):
        graph = StateGraph(XL).add_sequence([("first", first), ("second", second)]).add_edge(START, "first").compile()
        yield from spectrum(graph, {"x": "", "log": ["in"]}, name=name, sync=True)

    def over(value: str, delay: float) -> Any:
        node = logger("", delay)

        async def overwriting(state: XL) -> Any:
            await node(state)
            return {"log": Overwrite([value])}

        return overwriting

    builder = StateGraph(XL).add_node("one", over("one", 0.01)).add_node("two", logger("two", 0.02))
    graph = builder.add_edge(START, "one").add_edge(START, "two").compile()
    yield from spectrum(graph, {"x": "", "log": ["in"]}, name="beside_a_write")
    builder = StateGraph(XL).add_node("one", over("one", 0.01)).add_node("two", over("two", 0.02))
    graph = builder.add_edge(START, "one").add_edge(START, "two").compile()
    yield from spectrum(graph, {"x": "", "log": ["in"]}, name="twice")


@case("managed values: RemainingSteps and IsLastStep in the state, absent from every chunk")
def state_managed() -> Iterator[Run]:
    class Managed(TypedDict):
        log: Annotated[list, operator.add]
        left: RemainingSteps
        last: IsLastStep

    def work(state: Managed) -> Any:
        return {"log": [f"left {state['left']} last {state['last']}"]}

    def again(state: Managed) -> str:
        return END if state["left"] <= 2 else "work"

    graph = StateGraph(Managed).add_node(work).add_edge(START, "work")
    graph = graph.add_conditional_edges("work", again, ["work", END]).compile()
    yield from spectrum(graph, {"log": []}, {"recursion_limit": 4}, sync=True)

    def forever(state: Managed) -> str:
        return END if state["last"] else "work"

    graph = StateGraph(Managed).add_node(work).add_edge(START, "work")
    graph = graph.add_conditional_edges("work", forever, ["work", END]).compile()
    yield from spectrum(graph, {"log": []}, {"recursion_limit": 3}, name="until_last_step")


@case("returns: None, {}, unknown keys only, some unknown keys, an equal value, falsy values")
def state_returns() -> Iterator[Run]:
    returned: dict[str, Any] = {
        "none": None,
        "empty": {},
        "unknown": {"nope": 1},
        "partly": {"nope": 1, "x": "known"},
        "equal": {"x": ""},
        "falsy": {"x": None, "log": []},
        "empty_list": [],
        "list_of_dicts": [{"x": "1"}, {"log": ["2"]}],
        "list_same_key": [{"log": ["1"]}, {"log": ["2"]}],
        "tuple_of_dicts": ({"x": "1"}, {"log": ["2"]}),
        "command_none": Command(),
        "command_empty": Command(update={}),
        "list_with_none": [None, {"x": "1"}],
        "tuples": Command(update=[("x", "1"), ("log", ["2"])]),
        "tuples_twice": Command(update=(("log", ["1"]), ("x", "1"), ("log", ["2"]))),
    }
    for name, value in returned.items():
        graph = StateGraph(XL).add_node("a", lambda state, value=value: value).add_edge(START, "a").compile()
        yield astream(graph, EMPTY, stream_mode=MAIN, name=name)
        yield stream(graph, EMPTY, stream_mode="updates", output_keys="log", name=f"{name}.output_key")


@case("returns that are no update: a number, a string, a list of numbers, a set")
def state_returns_invalid() -> Iterator[Run]:
    for name, value in {"int": 3, "str": "x", "list": [1, 2], "set": {"x"}, "mixed": [{"x": "1"}, 2]}.items():
        graph = StateGraph(XL).add_node("a", lambda state, value=value: value).add_edge(START, "a").compile()
        yield astream(graph, EMPTY, stream_mode=MAIN, name=name)


@case("inputs: {}, partial, unknown keys only, None, lists that a reducer takes, a Command")
def state_inputs() -> Iterator[Run]:
    def a(state: XL) -> Any:
        return {"log": [f"a saw {dict(state)}"]}

    graph = StateGraph(XL).add_node(a).add_edge(START, "a").compile()
    inputs: dict[str, Any] = {
        "empty": {},
        "partial": {"x": "1"},
        "reducer_only": {"log": ["1"]},
        "unknown_only": {"nope": 1},
        "with_unknown": {"nope": 1, "x": "1"},
        "none": None,
        "none_values": {"x": None},
        "overwrite": {"log": Overwrite(["o"])},
    }
    for name, value in inputs.items():
        yield astream(graph, value, stream_mode=MAIN, name=name)
        yield stream(graph, value, stream_mode="values", name=f"{name}.sync")
        yield ainvoke(graph, value, name=f"{name}.ainvoke")


@case("keys never written are absent; NotRequired and Optional change nothing")
def state_absent_keys() -> Iterator[Run]:
    class Sparse(TypedDict, total=False):
        a: str
        b: NotRequired[str]
        c: str | None
        d: Annotated[list, operator.add]

    def node(state: Sparse) -> Any:
        return {"b": f"{sorted(state)}"}

    graph = StateGraph(Sparse).add_node(node).add_edge(START, "node").compile()
    yield from spectrum(graph, {"a": "1"}, sync=True)
    yield from spectrum(graph, {"c": None}, name="none")
    for keys in ("b", "c", ["c", "d"]):
        named = keys if isinstance(keys, str) else "+".join(keys)
        yield astream(graph, {"a": "1"}, stream_mode=["values", "updates"], output_keys=keys, name=f"keys.{named}")


@case("MessagesState: tuples, dicts and strings become messages; ids; replacing by id; order")
def state_messages() -> Iterator[Run]:
    def a(state: MessagesState) -> Any:
        return {"messages": [("ai", f"{len(state['messages'])} so far")]}

    def b(state: MessagesState) -> Any:
        return {"messages": {"role": "user", "content": "single", "id": "fixed"}}

    def c(state: MessagesState) -> Any:
        return {"messages": [{"role": "assistant", "content": "replaced", "id": "fixed"}, "plain text"]}

    graph = StateGraph(MessagesState).add_sequence([a, b, c]).add_edge(START, "a").compile()
    yield astream(graph, {"messages": [("user", "hello")]}, stream_mode="values", name="values")
    yield astream(graph, {"messages": "hello"}, stream_mode="updates", name="updates")
    yield ainvoke(graph, {"messages": [{"role": "system", "content": "be nice"}]}, name="ainvoke")
    yield invoke(graph, {"messages": []}, name="invoke")


@case("Runtime[Context]: a dataclass context from a dict or an instance, and none at all")
def state_context() -> Iterator[Run]:
    @dataclasses.dataclass
    class Context:
        user: str = "nobody"
        limit: int = 3

    class TypedContext(TypedDict):
        user: str

    def a(state: S, runtime: Runtime[Any]) -> Any:
        runtime.stream_writer(type(runtime.context).__name__)
        return {"x": str(runtime.context)}

    graph = StateGraph(S, context_schema=Context).add_node(a).add_edge(START, "a").compile()
    yield astream(graph, {"x": ""}, stream_mode=MAIN, context={"user": "me"}, name="dict")
    yield astream(graph, {"x": ""}, stream_mode=MAIN, context=Context("you", 5), name="instance")
    yield astream(graph, {"x": ""}, stream_mode=MAIN, name="none")
    yield invoke(graph, {"x": ""}, context={"user": "sync"}, name="invoke")
    graph = StateGraph(S, context_schema=TypedContext).add_node(a).add_edge(START, "a").compile()
    yield astream(graph, {"x": ""}, stream_mode=MAIN, context={"user": "typed"}, name="typed_dict")

    outer = StateGraph(S, context_schema=TypedContext).add_node("inner", graph).add_edge(START, "inner").compile()
    yield astream(outer, {"x": ""}, stream_mode=MAIN, subgraphs=True, context={"user": "deep"}, name="subgraph")


@case("nodes of every kind: function, lambda, partial, method, callable object, async ones")
def state_node_kinds() -> Iterator[Run]:
    class Callable_:
        def __call__(self, state: L) -> Any:
            return {"log": ["object"]}

    class AsyncCallable:
        async def __call__(self, state: L, writer: StreamWriter) -> Any:
            writer("async object")
            return {"log": ["async object"]}

    class Methods:
        def method(self, state: L) -> Any:
            return {"log": ["method"]}

        async def amethod(self, state: L) -> Any:
            return {"log": ["amethod"]}

        @staticmethod
        def static(state: L) -> Any:
            return {"log": ["static"]}

    def with_argument(name: str, state: L, *, suffix: str) -> Any:
        return {"log": [name + suffix]}

    async def awith_argument(name: str, state: L) -> Any:
        return {"log": [name]}

    nodes: list[tuple[str, Any]] = [
        ("lambda", lambda state: {"log": ["lambda"]}),
        ("partial", functools.partial(with_argument, "partial", suffix="!")),
        ("apartial", functools.partial(awith_argument, "apartial")),
        ("method", Methods().method),
        ("amethod", Methods().amethod),
        ("static", Methods.static),
        ("object", Callable_()),
        ("aobject", AsyncCallable()),
    ]
    graph = StateGraph(L).add_sequence(nodes).add_edge(START, "lambda").compile()
    yield from spectrum(graph, {"log": []})

    graph = StateGraph(L).add_node(Methods().method).add_node(Methods().amethod).add_edge(START, "method")
    graph = graph.add_edge("method", "amethod").compile()
    yield astream(graph, {"log": []}, stream_mode="updates", name="names")


@case("a Send's argument may be anything, also of another shape than the state")
def state_send_argument() -> Iterator[Run]:
    def fan(state: L) -> Any:
        return [Send("a", arg) for arg in (1, "two", {"k": 3}, [4], None, {"log": ["partial"]})]

    def a(state: Any) -> Any:
        return {"log": [repr(state)]}

    graph = StateGraph(L).add_node("a", a).add_conditional_edges(START, fan, ["a"]).compile()
    config = {"max_concurrency": 1}  # one after the other
    yield astream(graph, {"log": []}, config, stream_mode=MAIN, name="list")
    yield ainvoke(graph, {"log": []}, config, name="ainvoke")
