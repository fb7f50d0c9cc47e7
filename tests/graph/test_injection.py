"""What a node or router can ask for by the name of a parameter, and what it cannot."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

import pytest
from typing_extensions import TypedDict

from penstock.config import RunnableConfig, get_config
from penstock.errors import GraphBuildError, NodeError
from penstock.graph import END, START, StateGraph
from penstock.runtime import Runtime, get_runtime
from penstock.types import Send, StreamWriter

from ._chain import one_node

if TYPE_CHECKING:
    from nowhere import Config  # type: ignore[import-not-found]


@dataclass
class Context:
    name: str


class State(TypedDict):
    text: str


def described(config: Any = None, writer: Any = None, runtime: Any = None) -> dict[str, str]:
    """What was injected, in words."""
    words = []
    if config is not None:
        words.append(config["configurable"]["user"])
        assert config["metadata"]["langgraph_node"] == "node"
    if writer is not None:
        writer("chunk")
        words.append("writer")
    if runtime is not None:
        words.append(runtime.context.name)
        runtime.stream_writer("chunk")
    return {"text": " ".join(words)}


def annotated(state: State, config: RunnableConfig, writer: StreamWriter, runtime: Runtime[Context]) -> Any:
    return described(config, writer, runtime)


async def annotated_async(state: State, runtime: Runtime[Context], writer: StreamWriter, config: RunnableConfig) -> Any:
    return described(config, writer, runtime)


def unannotated(state, config, writer, runtime):  # type: ignore[no-untyped-def]
    return described(config, writer, runtime)


def keyword_only(state: State, *, config: RunnableConfig, writer: StreamWriter, runtime: Runtime[Context]) -> Any:
    return described(config, writer, runtime)


def keyword_only_without_state(*, config: RunnableConfig, writer: StreamWriter, runtime: Runtime[Context]) -> Any:
    return described(config, writer, runtime)


def other_spellings(
    state: State, config: Mapping[str, Any], writer: Callable[[Any], Any], runtime: Runtime[Any]
) -> Any:
    return described(config, writer, runtime)


def optional(
    state: State,
    config: Optional[RunnableConfig] = None,
    writer: StreamWriter | None = None,
    runtime: Runtime[Context] | None = None,
) -> Any:
    return described(config, writer, runtime)


def with_any(state: State, config: Any, writer: Any, runtime: Any) -> Any:
    return described(config, writer, runtime)


def name_of_a_checker_only(state: State, config: Config, writer: StreamWriter, runtime: Runtime[Context]) -> Any:
    return described(config, writer, runtime)


def with_defaults(
    state: State,
    config: RunnableConfig,
    writer: StreamWriter,
    runtime: Runtime[Context],
    limit: int = 3,
    *_: Any,
    **__: Any,
) -> Any:
    assert limit == 3
    return described(config, writer, runtime)


class Callable_:
    def __call__(self, state: State, config: RunnableConfig, writer: StreamWriter, runtime: Runtime[Context]) -> Any:
        return described(config, writer, runtime)

    async def method(
        self, state: State, config: RunnableConfig, writer: StreamWriter, runtime: Runtime[Context]
    ) -> Any:
        return described(config, writer, runtime)


def with_tool(tool: str, state: State, config: RunnableConfig, writer: StreamWriter, runtime: Runtime[Context]) -> Any:
    assert tool == "hammer"
    return described(config, writer, runtime)


@functools.wraps(annotated)
def decorated(*args: Any, **kwargs: Any) -> Any:
    return annotated(*args, **kwargs)


@pytest.mark.parametrize(
    "node",
    [
        annotated,
        annotated_async,
        unannotated,
        keyword_only,
        keyword_only_without_state,
        other_spellings,
        optional,
        with_any,
        name_of_a_checker_only,
        with_defaults,
        Callable_(),
        Callable_().method,
        functools.partial(with_tool, "hammer"),
        functools.partial(annotated),
        decorated,
    ],
    ids=lambda node: getattr(node, "__name__", type(node).__name__),
)
def test_config_writer_and_runtime_are_filled_in_by_name(node: Any) -> None:
    graph = one_node(State, node, context_schema=Context)
    chunks = list(
        graph.stream(
            {"text": ""},
            {"configurable": {"user": "ada"}},
            context=Context("Bob"),
            stream_mode=["custom", "updates"],
        )
    )
    update = ("updates", {"node": {"text": "ada writer Bob"}})
    assert chunks == [("custom", "chunk"), ("custom", "chunk"), update]


def test_a_first_parameter_is_the_state_whatever_it_is_called() -> None:
    def node(config: State) -> Any:
        return {"text": config["text"] + "!"}

    assert one_node(State, node).invoke({"text": "in"}) == {"text": "in!"}


def test_a_parameter_of_another_type_is_not_filled_in() -> None:
    def node(state: State, config: int = 5, writer: str = "pen", runtime: float = 0.5) -> Any:
        return {"text": f"{config} {writer} {runtime}"}

    assert one_node(State, node).invoke({"text": ""}) == {"text": "5 pen 0.5"}


def unknown(state: State, db: object) -> None: ...
def keyword_unknown(state: State, *, db: object) -> None: ...
def wrong_type(state: State, db: int) -> None: ...
def not_a_handler(state: State, db: object, error: NodeError) -> None: ...


@pytest.mark.parametrize("function", [unknown, keyword_unknown, wrong_type, functools.partial(unknown)])
def test_a_parameter_that_nothing_fills_is_a_mistake(function: Any) -> None:
    with pytest.raises(GraphBuildError) as caught:
        StateGraph(State).add_node("node", function)
    (problem,) = caught.value.problems
    assert "node 'node': nothing fills its parameter 'db'" in problem
    assert "known: 'config', 'runtime', 'writer', besides the state" in problem
    assert "'error'" not in problem
    with pytest.raises(GraphBuildError, match="router 'unknown'.*'db'" if function is unknown else "'db'"):
        StateGraph(State).add_conditional_edges(START, function)


def test_a_misspelt_parameter_names_the_nearest() -> None:
    with pytest.raises(GraphBuildError, match=r"parameter 'writter'.*did you mean 'writer'"):
        StateGraph(State).add_node("node", lambda state, writter: None)


def test_a_known_name_with_a_type_that_does_not_fit_is_a_mistake_unless_it_has_a_default() -> None:
    def node(state: State, config: int) -> None: ...

    with pytest.raises(
        GraphBuildError, match=r"its parameter 'config': what a run provides by that name is no <class 'int'>"
    ):
        StateGraph(State).add_node(node)


def test_error_is_for_error_handlers_only() -> None:
    with pytest.raises(GraphBuildError, match="nothing fills its parameter 'error'"):
        StateGraph(State).add_node("node", lambda state, error: None)

    def fail(state: State) -> None:
        raise ValueError("no")

    def handler(state: State, error: NodeError, config: RunnableConfig) -> Any:
        assert config["metadata"]["user"] == "ada"
        return {"text": f"{state['text']}: {error.node} failed with {error.error!r}"}

    builder = StateGraph(State).add_node(fail, error_handler=handler, metadata={"user": "ada"})
    graph = builder.add_edge(START, "fail").compile()
    assert graph.invoke({"text": "in"}) == {"text": "in: fail failed with ValueError('no')"}


@pytest.mark.parametrize("handler", [lambda error: {"text": repr(error)}, lambda *, error: {"text": repr(error)}])
def test_an_error_handler_may_ask_for_the_error_alone(handler: Any) -> None:
    def fail(state: State) -> None:
        raise ValueError("no")

    graph = StateGraph(State).add_node(fail, error_handler=handler).add_edge(START, "fail").compile()
    assert graph.invoke({"text": "in"}) == {"text": "NodeError(node='fail', error=ValueError('no'))"}


async def test_routers_are_filled_in_like_nodes() -> None:
    async def router(state: State, config: RunnableConfig, writer: StreamWriter, *, runtime: Runtime[Context]) -> Any:
        await writer(f"routing for {runtime.context.name}")
        return Send("node", {"text": config["configurable"]["user"]})

    builder = StateGraph(State, Context).add_node("node", lambda s: {"text": s["text"] + "!"})
    graph = builder.add_conditional_edges(START, router, ["node"]).add_edge("node", END).compile()
    stream = graph.astream(
        {"text": ""}, {"configurable": {"user": "ada"}}, context=Context("Bob"), stream_mode=["custom", "updates"]
    )
    assert [c async for c in stream] == [("custom", "routing for Bob"), ("updates", {"node": {"text": "ada!"}})]


def test_functions_can_also_ask_without_parameters() -> None:
    def node(state: State) -> Any:
        name = get_runtime(Context).context.name
        return {"text": f"{name} {get_config()['configurable']['user']}"}

    graph = one_node(State, node, context_schema=Context)
    assert graph.invoke({"text": ""}, {"configurable": {"user": "ada"}}, context=Context("Bob")) == {"text": "Bob ada"}


def test_runtime_tells_which_execution_it_is() -> None:
    seen: list[Any] = []

    def node(state: State, runtime: Runtime) -> None:
        seen.append(runtime)

    one_node(State, node).invoke({"text": ""})
    (runtime,) = seen
    info = runtime.execution_info
    assert (info.node, info.step, info.node_attempt) == ("node", 1, 1)
    assert info.checkpoint_ns == f"node:{info.task_id}"
    assert (runtime.context, runtime.store, runtime.previous) == (None, None, None)
