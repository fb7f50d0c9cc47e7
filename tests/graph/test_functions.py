"""What can be a node: functions of every kind, and what else is callable."""

from __future__ import annotations

import functools
import operator
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated, Any

import anyio
import pytest
from typing_extensions import TypedDict

from penstock.errors import GraphBuildError
from penstock.graph import END, START, StateGraph
from tests.support import collect

from ._chain import one_node


class State(TypedDict):
    text: str
    log: Annotated[list[str], operator.add]


def plain(state: State) -> dict[str, str]:
    return {"text": state["text"] + "!"}


async def coroutine(state: State) -> dict[str, str]:
    await anyio.sleep(0)
    return {"text": state["text"] + "!"}


def returns_awaitable(state: State) -> Awaitable[dict[str, str]]:
    return coroutine(state)


def without_parameters() -> dict[str, str]:
    return {"text": "in!"}


async def any_parameters(*args: Any, **kwargs: Any) -> dict[str, str]:
    (state,) = args
    assert kwargs == {}
    return {"text": state["text"] + "!"}


def positional_only(state: State, /) -> dict[str, str]:
    return {"text": state["text"] + "!"}


def suffixed(suffix: str, state: State, *, times: int = 1) -> dict[str, str]:
    return {"text": state["text"] + suffix * times}


async def suffixed_async(state: State, suffix: str) -> dict[str, str]:
    return {"text": state["text"] + suffix}


class Methods:
    suffix = "!"

    def method(self, state: State) -> dict[str, str]:
        return {"text": state["text"] + self.suffix}

    async def async_method(self, state: State) -> dict[str, str]:
        return {"text": state["text"] + self.suffix}

    @classmethod
    def class_method(cls, state: State) -> dict[str, str]:
        return {"text": state["text"] + cls.suffix}

    @staticmethod
    async def static_method(state: State) -> dict[str, str]:
        return {"text": state["text"] + "!"}


class Callable_:
    def __call__(self, state: State) -> dict[str, str]:
        return {"text": state["text"] + "!"}


class AsyncCallable:
    async def __call__(self, state: State) -> dict[str, str]:
        return {"text": state["text"] + "!"}


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def wrapped_async(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return wrapper


def wrapped_without_a_word(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(state: Any) -> Any:
        return function(state)

    return wrapper


NODES: dict[str, Any] = {
    "function": plain,
    "coroutine function": coroutine,
    "function that returns an awaitable": returns_awaitable,
    "no parameters": without_parameters,
    "any parameters": any_parameters,
    "positional only": positional_only,
    "lambda": lambda state: {"text": state["text"] + "!"},
    "partial": functools.partial(suffixed, "!"),
    "partial with keyword": functools.partial(suffixed, "!", times=1),
    "partial of a partial": functools.partial(functools.partial(suffixed, "!"), times=1),
    "partial of a coroutine function": functools.partial(suffixed_async, suffix="!"),
    "partial of a method": functools.partial(Methods().method),
    "partial of a callable object": functools.partial(AsyncCallable()),
    "method": Methods().method,
    "coroutine method": Methods().async_method,
    "class method": Methods.class_method,
    "static method": Methods.static_method,
    "static method of an instance": Methods().static_method,
    "callable object": Callable_(),
    "callable object, async": AsyncCallable(),
    "functools.wraps": wrapped(plain),
    "functools.wraps, plain around async": wrapped(coroutine),
    "functools.wraps, async around async": wrapped_async(coroutine),
    "two of functools.wraps": wrapped_async(wrapped(coroutine)),
    "wrapper": wrapped_without_a_word(coroutine),
    "compiled graph": one_node(State, coroutine),
    "compiled graph, bound method": one_node(State, coroutine).ainvoke,
}


@pytest.mark.parametrize("kind", NODES)
async def test_every_kind_of_function_is_a_node(kind: str) -> None:
    graph = one_node(State, NODES[kind])
    assert (await graph.ainvoke({"text": "in"}))["text"] == "in!"


@pytest.mark.parametrize("kind", NODES)
def test_and_runs_under_the_sync_api(kind: str) -> None:
    assert one_node(State, NODES[kind]).invoke({"text": "in"})["text"] == "in!"


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (plain, "plain"),
        (coroutine, "coroutine"),
        (functools.partial(functools.partial(suffixed, "!"), times=1), "suffixed"),
        (Methods().method, "method"),
        (Methods.class_method, "class_method"),
        (Methods.static_method, "static_method"),
        (Callable_(), "Callable_"),
        (functools.partial(AsyncCallable()), "AsyncCallable"),
        (wrapped(plain), "plain"),
        (wrapped_async(wrapped(coroutine)), "coroutine"),
        (wrapped_without_a_word(plain), "wrapper"),
        (StateGraph(State).add_sequence([plain]).add_edge(START, "plain").compile(name="inner"), "inner"),
    ],
)
def test_a_node_is_named_after_its_function(function: Any, name: str) -> None:
    graph = StateGraph(State).add_node(function).add_edge(START, name).compile()
    assert list(graph.stream({"text": "in"}, only=name)) == [{name: graph_update(graph, name)}]


def graph_update(graph: Any, name: str) -> Any:
    ((mode, update),) = graph.stream({"text": "in"}, stream_mode=["updates"])
    assert mode == "updates"
    return update[name]


@pytest.mark.parametrize("node", [lambda s: s, 5, None, functools.partial(lambda s: s)])
def test_what_has_no_name_needs_one(node: Any) -> None:
    with pytest.raises(GraphBuildError, match=r"no name to call its node by; use add_node\('name', function\)"):
        StateGraph(State).add_node(node)


@pytest.mark.parametrize("node", ["text", 5, {"text": "in"}, [plain]])
def test_what_cannot_be_called_is_refused(node: Any) -> None:
    with pytest.raises(GraphBuildError, match=r"node 'n' must be a function or a compiled graph, got"):
        StateGraph(State).add_node("n", node)


def test_a_builder_is_refused_as_a_node_with_advice() -> None:
    with pytest.raises(GraphBuildError, match=r"got <.*StateGraph.*>; call its compile\(\) first"):
        StateGraph(State).add_node("n", StateGraph(State))  # type: ignore[call-overload]


def test_a_name_without_a_function_is_refused() -> None:
    with pytest.raises(GraphBuildError, match=r"node 'n' has no function; call add_node\('n', function\)"):
        StateGraph(State).add_node("n")  # type: ignore[call-overload]


def test_name_and_function_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(GraphBuildError, match=r"the name of a node must be a string, got <function plain"):
        StateGraph(State).add_node(plain, "plain")  # type: ignore[call-overload]


def test_a_built_in_without_a_signature_gets_the_state() -> None:
    class Numbers(TypedDict):
        n: int

    assert one_node(Numbers, {"n": 5}.__or__).invoke({"n": 1}) == {"n": 1}
    assert one_node(Numbers, dict).invoke({"n": 1}) == {"n": 1}


# ---------------------------------------------------------------- generators


async def async_generator(state: State) -> AsyncIterator[dict[str, Any]]:
    yield {"log": ["1"], "text": "one"}
    await anyio.sleep(0)
    yield {"log": ["2"]}
    yield {"text": "three"}


def generator(state: State) -> Iterator[dict[str, Any]]:
    yield {"log": ["1"], "text": "one"}
    yield {"log": ["2"]}
    yield {"text": "three"}


class Generators:
    async def method(self, state: State) -> AsyncIterator[dict[str, Any]]:
        async for update in async_generator(state):
            yield update

    async def __call__(self, state: State) -> AsyncIterator[dict[str, Any]]:
        async for update in async_generator(state):
            yield update


@pytest.mark.parametrize(
    "node",
    [
        async_generator,
        generator,
        functools.partial(async_generator),
        functools.partial(generator),
        Generators().method,
        Generators(),
    ],
)
async def test_what_a_generator_yields_is_streamed_as_updates(node: Any) -> None:
    graph = one_node(State, node)
    chunks = await collect(graph.astream({"text": "", "log": ["0"]}, stream_mode=["updates", "values"]))
    assert chunks == [
        ("values", {"text": "", "log": ["0"]}),
        ("updates", {"node": {"log": ["1"], "text": "one"}}),
        ("updates", {"node": {"log": ["2"]}}),
        ("updates", {"node": {"text": "three"}}),
        ("values", {"text": "three", "log": ["0", "1", "2"]}),
    ]


async def test_a_generator_that_yields_nothing_writes_nothing() -> None:
    async def node(state: State) -> AsyncIterator[dict[str, Any]]:
        for update in list[dict[str, Any]]():
            yield update

    assert await collect(one_node(State, node).astream({"text": "t"}, stream_mode="values")) == [
        {"text": "t", "log": []}
    ]


async def test_what_a_generator_yields_may_be_a_command() -> None:
    from penstock.types import Command

    async def node(state: State) -> AsyncIterator[Any]:
        yield {"log": ["node"]}
        yield Command(update={"log": ["command"]}, goto="other")

    def other(state: State) -> dict[str, Any]:
        return {"log": ["other"]}

    graph = StateGraph(State).add_node(node).add_node(other).add_edge(START, "node").compile()
    assert await graph.ainvoke({"text": "t"}) == {"text": "t", "log": ["node", "command", "other"]}


# ---------------------------------------------------------------- subgraphs


def test_a_graph_compiled_of_another_state_shares_the_keys_both_have() -> None:
    class Inner(TypedDict):
        text: str
        inner: int

    inner = one_node(Inner, lambda s: {"text": s["text"] + "!", "inner": len(s)})
    graph = StateGraph(State).add_node("sub", inner).add_edge(START, "sub").add_edge("sub", END).compile()
    assert graph.invoke({"text": "in", "log": ["kept"]}) == {"text": "in!", "log": ["kept"]}
