"""How a node is run: retries, timeouts, error handlers, metadata."""

from __future__ import annotations

import operator
from datetime import timedelta
from typing import Annotated, Any

import anyio
import pytest
from typing_extensions import TypedDict

from penstock.errors import GraphBuildError, NodeError, NodeTimeoutError
from penstock.graph import END, START, StateGraph
from penstock.runtime import Runtime
from penstock.types import Command, RetryPolicy
from tests.support import collect

from ._chain import one_node


class State(TypedDict):
    log: Annotated[list[str], operator.add]


def failing(*errors: Exception) -> Any:
    """A node that fails once with each of the errors, then succeeds."""
    left = list(errors)

    async def node(state: State, runtime: Runtime) -> Any:
        if left:
            raise left.pop(0)
        return {"log": [f"attempt {runtime.execution_info.node_attempt}"]}

    return node


def graph_with(node: Any, **options: Any) -> Any:
    return StateGraph(State).add_node("node", node, **options).add_edge(START, "node").add_edge("node", END).compile()


QUICK = RetryPolicy(initial_interval=1.0, jitter=False, retry_on=KeyError)

# ---------------------------------------------------------------- retries


@pytest.mark.virtual_time
async def test_a_node_is_tried_again_as_its_policy_says() -> None:
    graph = graph_with(failing(KeyError(1), KeyError(2)), retry_policy=QUICK)
    began = anyio.current_time()
    assert await graph.ainvoke({"log": []}) == {"log": ["attempt 3"]}
    assert anyio.current_time() - began == pytest.approx(1 + 2)


@pytest.mark.virtual_time
async def test_the_last_error_is_raised_when_the_attempts_are_used_up() -> None:
    graph = graph_with(failing(KeyError(1), KeyError(2), KeyError(3)), retry_policy=QUICK)
    with pytest.raises(KeyError, match="3") as caught:
        await graph.ainvoke({"log": []})
    assert "Node 'node' in the root graph, superstep 1, attempt 3" in caught.value.__notes__


@pytest.mark.virtual_time
async def test_of_several_policies_the_first_that_matches_counts() -> None:
    policies = [QUICK._replace(retry_on=OSError, max_attempts=9), QUICK, QUICK._replace(initial_interval=60.0)]
    graph = graph_with(failing(KeyError(1)), retry_policy=policies)
    began = anyio.current_time()
    assert await graph.ainvoke({"log": []}) == {"log": ["attempt 2"]}
    assert anyio.current_time() - began == pytest.approx(1)


@pytest.mark.parametrize(
    "retry_on", [KeyError, LookupError, (OSError, KeyError), [KeyError], lambda error: error.args == (1,)]
)
@pytest.mark.virtual_time
async def test_retry_on_is_a_class_several_or_a_predicate(retry_on: Any) -> None:
    graph = graph_with(failing(KeyError(1)), retry_policy=QUICK._replace(retry_on=retry_on))
    assert await graph.ainvoke({"log": []}) == {"log": ["attempt 2"]}


async def test_an_error_that_no_policy_matches_is_raised_at_once() -> None:
    graph = graph_with(failing(ValueError("no")), retry_policy=[QUICK, QUICK])
    with pytest.raises(ValueError, match="no"):
        await graph.ainvoke({"log": []})


@pytest.mark.parametrize("policy", [RetryPolicy, 3, "twice", [RetryPolicy(), 3], {"max_attempts": 3}])
def test_what_is_no_policy_is_a_mistake(policy: Any) -> None:
    with pytest.raises(GraphBuildError, match=r"node 'node': retry_policy must be a RetryPolicy or several, got"):
        graph_with(failing(), retry_policy=policy)


def test_a_policy_without_attempts_is_a_mistake() -> None:
    with pytest.raises(GraphBuildError, match=r"max_attempts must be at least 1, got 0"):
        graph_with(failing(), retry_policy=RetryPolicy(max_attempts=0))


# ---------------------------------------------------------------- timeouts


async def sleeping(state: State) -> Any:
    await anyio.sleep(90)
    return {"log": ["slept"]}


@pytest.mark.parametrize("timeout", [60, 60.0, timedelta(minutes=1)])
@pytest.mark.virtual_time
async def test_a_timeout_is_seconds_or_a_timedelta(timeout: Any) -> None:
    with pytest.raises(NodeTimeoutError, match=r"node 'node' did not finish within its timeout of 60 s") as caught:
        await graph_with(sleeping, timeout=timeout).ainvoke({"log": []})
    assert (caught.value.node, caught.value.seconds) == ("node", 60.0)
    assert await graph_with(sleeping, timeout=2 * timeout).ainvoke({"log": []}) == {"log": ["slept"]}


@pytest.mark.virtual_time
async def test_a_timeout_counts_for_each_attempt_and_can_be_retried() -> None:
    seconds = [90.0, 30.0]

    async def node(state: State) -> Any:
        await anyio.sleep(seconds.pop(0))
        return {"log": ["in time"]}

    policy = QUICK._replace(retry_on=NodeTimeoutError)
    assert await graph_with(node, timeout=60, retry_policy=policy).ainvoke({"log": []}) == {"log": ["in time"]}


@pytest.mark.virtual_time
async def test_a_subgraph_and_an_async_generator_may_have_a_timeout() -> None:
    async def generator(state: State) -> Any:
        yield {"log": ["yielded"]}
        await anyio.sleep(90)

    for node in (one_node(State, sleeping), generator):
        with pytest.raises(NodeTimeoutError):
            await graph_with(node, timeout=60).ainvoke({"log": []})


@pytest.mark.parametrize(
    ("timeout", "message"),
    [
        (0, "must be more than 0 seconds, got 0"),
        (-1.5, "must be more than 0 seconds, got -1.5"),
        (timedelta(0), "must be more than 0 seconds"),
        (float("nan"), "must be more than 0 seconds"),
        ("60", "must be seconds or a timedelta, got '60'"),
        (True, "must be seconds or a timedelta, got True"),
    ],
)
def test_a_wrong_timeout_is_a_mistake(timeout: Any, message: str) -> None:
    with pytest.raises(GraphBuildError, match=f"node 'node': timeout {message}"):
        graph_with(sleeping, timeout=timeout)


def test_a_sync_node_cannot_have_a_timeout() -> None:
    def generator(state: State) -> Any:
        yield {"log": []}

    for node in (lambda s: None, generator):
        with pytest.raises(GraphBuildError, match=r"a timeout cannot end a sync function.*make the node async"):
            graph_with(node, timeout=1)


# ---------------------------------------------------------------- error handlers


async def test_an_error_handler_s_update_takes_the_place_of_the_node_s() -> None:
    async def handler(state: State, error: NodeError) -> Any:
        return {"log": [f"{error.node}: {error.error!r} after {state['log']}"]}

    graph = graph_with(failing(ValueError("no")), error_handler=handler)
    assert await graph.ainvoke({"log": ["in"]}) == {"log": ["in", "node: ValueError('no') after ['in']"]}


async def test_an_error_handler_may_go_on_with_a_command() -> None:
    def handler(state: State, error: NodeError) -> Any:
        return Command(update={"log": ["handled"]}, goto="next")

    builder = StateGraph(State).add_node("node", failing(ValueError("no")), error_handler=handler)
    graph = builder.add_node("next", lambda s: {"log": ["next"]}).add_edge(START, "node").compile()
    chunks = await collect(graph.astream({"log": []}))
    assert [list(chunk.values()) for chunk in chunks] == [[{"log": ["handled"]}], [{"log": ["next"]}]]


@pytest.mark.virtual_time
async def test_an_error_handler_is_called_once_the_retries_are_used_up() -> None:
    seen: list[Any] = []
    node = failing(*[KeyError(n) for n in range(3)])
    graph = graph_with(node, retry_policy=QUICK, error_handler=lambda s, error: seen.append(error.error.args))
    assert await graph.ainvoke({"log": ["in"]}) == {"log": ["in"]}
    assert seen == [(2,)]


async def test_siblings_of_a_handled_failure_go_on() -> None:
    handled = anyio.Event()

    async def sibling(state: State) -> Any:
        await handled.wait()
        return {"log": ["sibling"]}

    async def handler(state: State, error: NodeError) -> Any:
        handled.set()
        return {"log": ["handler"]}

    builder = StateGraph(State).add_node("node", failing(ValueError("no")), error_handler=handler).add_node(sibling)
    graph = builder.add_edge(START, "node").add_edge(START, "sibling").compile()
    assert sorted((await graph.ainvoke({"log": []}))["log"]) == ["handler", "sibling"]


async def test_what_an_error_handler_raises_is_the_run_s_error() -> None:
    def handler(state: State, error: NodeError) -> Any:
        raise KeyError("handler") from error.error

    with pytest.raises(KeyError, match="handler") as caught:
        await graph_with(failing(ValueError("no")), error_handler=handler).ainvoke({"log": []})
    assert isinstance(caught.value.__cause__, ValueError)


async def test_the_failure_of_a_subgraph_is_handled_like_any_other() -> None:
    sub = one_node(State, failing(ValueError("no")))
    graph = graph_with(sub, error_handler=lambda s, error: {"log": [f"{error.node}: {error.error}"]})
    assert await graph.ainvoke({"log": []}) == {"log": ["node: no"]}


@pytest.mark.parametrize("handler", ["handler", 5, lambda state, error, db: None])
def test_a_wrong_error_handler_is_a_mistake(handler: Any) -> None:
    with pytest.raises(GraphBuildError, match="error_handler of node 'node'"):
        graph_with(failing(), error_handler=handler)


# ---------------------------------------------------------------- metadata


async def test_metadata_of_a_node_is_shown_with_its_tasks_and_is_a_copy() -> None:
    metadata = {"owner": "ada", "tags": ["slow"]}
    graph = graph_with(failing(), metadata=metadata)
    metadata["owner"] = "changed"
    start, end = await collect(graph.astream({"log": []}, stream_mode="tasks"))
    assert start["metadata"] == {"owner": "ada", "tags": ["slow"]}
    assert "metadata" not in end


# ---------------------------------------------------------------- what is retried by default


class HTTPError(Exception):
    """As the clients of HTTP raise it."""

    def __init__(self, status: object) -> None:
        self.response = type("Response", (), {"status_code": status})()


class Unheard(Exception):
    """Of nobody's making."""


@pytest.mark.parametrize(
    ("error", "retried"),
    [
        (ConnectionError(), True),
        (ConnectionResetError(), True),
        (Unheard(), True),
        (HTTPError(503), True),
        (HTTPError(500), True),
        (HTTPError(404), False),
        (HTTPError(600), False),
        (HTTPError("503"), True),
        *((error(), False) for error in (ValueError, TypeError, KeyError, RuntimeError, OSError, ZeroDivisionError)),
    ],
    ids=repr,
)
@pytest.mark.virtual_time
async def test_connection_trouble_and_unknown_errors_are_retried_by_default(error: Exception, retried: bool) -> None:
    graph = graph_with(failing(error), retry_policy=RetryPolicy())
    if retried:
        assert await graph.ainvoke({"log": []}) == {"log": ["attempt 2"]}
    else:
        with pytest.raises(type(error)):
            await graph.ainvoke({"log": []})
