"""`config` and `context`: what a caller passes, and what nodes and nested runs see of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anyio
import pydantic
import pytest
from typing_extensions import TypedDict

from penstock.config import RunnableConfig, get_config
from penstock.errors import GraphRecursionError
from penstock.graph import START, CompiledStateGraph, StateGraph
from penstock.runtime import Runtime, get_runtime
from tests.support import collect

from ._graphs import State, path


def watcher(seen: list[Any]) -> Any:
    """A node that notes its config and runtime."""

    async def watch(state: State, config: RunnableConfig, runtime: Runtime[Any]) -> None:
        assert config == get_config()
        assert runtime == get_runtime()
        seen.append((config, runtime))

    return watch


def one(node: Any, **options: Any) -> CompiledStateGraph[State]:
    return StateGraph(State).add_node("node", node, **options).add_edge(START, "node").compile()


CONFIG: dict[str, Any] = {
    "tags": ["t", "t"],
    "metadata": {"m": 1},
    "run_name": "my run",
    "run_id": "id",
    "recursion_limit": 9,
    "max_concurrency": 3,
    "configurable": {"user": "ada", "thread_id": "T"},
}

# ---------------------------------------------------------------- what a node sees


async def test_a_node_sees_the_config_with_where_it_is_in_its_metadata() -> None:
    seen: list[Any] = []
    await one(watcher(seen), metadata={"own": True}).ainvoke({"text": ""}, CONFIG)
    ((config, runtime),) = seen
    info = runtime.execution_info
    assert config == {
        **CONFIG,
        "tags": ["t"],
        "metadata": {
            "m": 1,
            "thread_id": "T",
            "langgraph_step": 1,
            "langgraph_node": "node",
            "langgraph_triggers": ("branch:to:node",),
            "langgraph_path": ("__pregel_pull", "node"),
            "langgraph_checkpoint_ns": f"node:{info.task_id}",
            "own": True,
        },
    }


async def test_a_node_s_config_is_its_own() -> None:
    seen: list[Any] = []

    def spoil(state: State, config: RunnableConfig) -> None:
        config["configurable"]["user"] = "changed"
        config["tags"].append("changed")
        config["metadata"].clear()

    graph = StateGraph(State).add_node("spoil", spoil).add_node("node", watcher(seen))
    given = {"configurable": {"user": "ada"}, "tags": ["t"], "metadata": {"m": 1}}
    await graph.add_edge(START, "spoil").add_edge("spoil", "node").compile().ainvoke({"text": ""}, given)
    assert given == {"configurable": {"user": "ada"}, "tags": ["t"], "metadata": {"m": 1}}
    ((config, _),) = seen
    assert (config["configurable"], config["tags"], config["metadata"]["m"]) == ({"user": "ada"}, ["t"], 1)


async def test_what_the_caller_changes_later_does_not_reach_the_run() -> None:
    seen: list[Any] = []
    given: dict[str, Any] = {"configurable": {"user": "ada"}, "metadata": {"m": 1}, "tags": ["t"]}
    stream = one(watcher(seen)).astream({"text": ""}, given)
    given["configurable"]["user"] = given["metadata"]["m"] = "changed"
    given["tags"].append("changed")
    await collect(stream)
    ((config, _),) = seen
    assert (config["configurable"], config["tags"], config["metadata"]["m"]) == ({"user": "ada"}, ["t"], 1)


async def test_a_key_no_config_has_is_a_free_value() -> None:
    seen: list[Any] = []
    await one(watcher(seen)).ainvoke({"text": ""}, {"user": "ada", "configurable": {"thread": 1}})
    ((config, _),) = seen
    assert config["configurable"] == {"thread": 1, "user": "ada"}


@pytest.mark.parametrize("config", [None, {}, {"tags": None, "metadata": None, "max_concurrency": None}])
async def test_no_config_is_the_default(config: Any) -> None:
    seen: list[Any] = []
    await one(watcher(seen)).ainvoke({"text": ""}, config)
    ((got, _),) = seen
    assert (got["tags"], got["configurable"], got["recursion_limit"]) == ([], {}, 10_007)
    assert "max_concurrency" not in got
    assert "run_name" not in got


async def test_sends_and_attempts_show_in_the_metadata() -> None:
    from penstock.types import RetryPolicy, Send

    seen: list[Any] = []
    watch = watcher(seen)

    async def twice(state: State, config: RunnableConfig, runtime: Runtime) -> None:
        await watch(state, config, runtime)
        if runtime.execution_info.node_attempt == 1:
            raise ConnectionError

    policy = RetryPolicy(initial_interval=0, jitter=False)
    builder = StateGraph(State).add_node("node", twice, retry_policy=policy)
    builder.add_conditional_edges(START, lambda s: [Send("node", s)], ["node"])
    await builder.compile().ainvoke({"text": ""})
    first, second = (config["metadata"] for config, _ in seen)
    assert first["langgraph_triggers"] == ("__pregel_push",)
    assert first["langgraph_path"] == ("__pregel_push", 0, False)
    assert second == {**first, "langgraph_attempt": 2}


# ---------------------------------------------------------------- nested runs


async def test_a_nested_run_inherits_the_config_and_adds_its_own() -> None:
    seen: list[Any] = []
    inner = one(watcher(seen))

    async def calls(state: State) -> None:
        await inner.ainvoke(state)
        await inner.ainvoke(
            state,
            {
                "tags": ["inner"],
                "metadata": {"m": 2},
                "configurable": {"more": 1},
                "recursion_limit": 4,
                "run_name": "own",
            },
        )

    await one(calls).ainvoke({"text": ""}, CONFIG)
    (first, runtime), (second, _) = seen
    assert {k: first[k] for k in ("tags", "recursion_limit", "max_concurrency", "configurable")} == {
        "tags": ["t"],
        "recursion_limit": 9,
        "max_concurrency": 3,
        "configurable": {"user": "ada", "thread_id": "T"},
    }
    assert first["metadata"]["m"] == 1
    assert [path((s,)) for s in first["metadata"]["langgraph_checkpoint_ns"].split("|")] == ["node", "node"]
    assert runtime.execution_info.checkpoint_ns == first["metadata"]["langgraph_checkpoint_ns"]
    assert second["tags"] == ["t", "inner"]
    assert second["configurable"] == {"user": "ada", "thread_id": "T", "more": 1}
    assert (second["recursion_limit"], second["run_name"], second["metadata"]["m"]) == (4, "own", 2)
    assert [path((s,)) for s in second["metadata"]["langgraph_checkpoint_ns"].split("|")] == ["node", "1", "node"]


async def test_a_nested_node_s_metadata_names_the_outermost_task_as_checkpoint_ns() -> None:
    seen: list[Any] = []
    await one(one(one(watcher(seen)))).ainvoke({"text": ""})
    ((config, _),) = seen
    metadata = config["metadata"]
    assert metadata["checkpoint_ns"] == metadata["langgraph_checkpoint_ns"].split("|")[0]
    assert metadata["langgraph_checkpoint_ns"].count("|") == 2


async def test_the_metadata_of_a_node_goes_along_to_the_runs_inside_it() -> None:
    seen: list[Any] = []
    await one(one(watcher(seen)), metadata={"own": True}).ainvoke({"text": ""}, {"metadata": {"m": 1}})
    ((config, _),) = seen
    assert (config["metadata"]["own"], config["metadata"]["m"]) == (True, 1)


async def test_a_config_that_a_node_passes_on_adds_nothing_twice() -> None:
    seen: list[Any] = []
    inner = one(watcher(seen))

    async def calls(state: State, config: RunnableConfig) -> None:
        await inner.ainvoke(state, config)

    await one(calls).ainvoke({"text": ""}, CONFIG)
    ((config, _),) = seen
    assert config["tags"] == ["t"]
    assert config["metadata"]["langgraph_node"] == "node"
    assert config["metadata"]["langgraph_checkpoint_ns"].count("|") == 1
    assert config["configurable"] == {"user": "ada", "thread_id": "T"}


# ---------------------------------------------------------------- limits


def endless() -> CompiledStateGraph[State]:
    return StateGraph(State).add_node("a", lambda s: {"log": ["a"]}).add_edge(START, "a").add_edge("a", "a").compile()


async def test_recursion_limit_counts_supersteps_and_every_one_is_streamed() -> None:
    chunks: list[Any] = []
    with pytest.raises(GraphRecursionError, match=r"the run of 'LangGraph' took 4 supersteps, its recursion_limit"):
        async for chunk in endless().astream({"log": []}, {"recursion_limit": 4}):
            chunks.append(chunk)
    assert len(chunks) == 4
    with pytest.raises(GraphRecursionError):
        endless().invoke({"log": []}, {"recursion_limit": 1})


async def test_recursion_limit_must_exceed_the_number_of_supersteps() -> None:
    builder = StateGraph(State).add_sequence([(name, lambda s: None) for name in "abc"]).add_edge(START, "a")
    assert await builder.compile().ainvoke({"text": "t"}, {"recursion_limit": 4})
    with pytest.raises(GraphRecursionError):
        await builder.compile().ainvoke({"text": "t"}, {"recursion_limit": 3})


async def test_recursion_limit_holds_for_each_nested_run() -> None:
    graph = one(endless())
    with pytest.raises(GraphRecursionError, match="took 3 supersteps") as caught:
        await graph.ainvoke({"log": []}, {"recursion_limit": 3})
    assert any("name 'node'" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("limit", [1, 3, None])
async def test_max_concurrency_limits_the_nodes_that_run_at_once(limit: int | None) -> None:
    running = peak = 0
    as_many_as_may = anyio.Event()

    async def node(state: State) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        if running == (limit or 8):
            as_many_as_may.set()
        await as_many_as_may.wait()
        await anyio.sleep(0)
        running -= 1

    builder = StateGraph(State)
    for n in range(8):
        builder.add_node(f"n{n}", node).add_edge(START, f"n{n}")
    await builder.compile().ainvoke({"text": ""}, {"max_concurrency": limit})
    assert peak == (limit or 8)


# ---------------------------------------------------------------- context


@dataclass
class Who:
    name: str
    role: str = "guest"


class WhoModel(pydantic.BaseModel):
    name: str
    role: str = "guest"


class WhoDict(TypedDict):
    name: str


def greeter(schema: Any) -> CompiledStateGraph[State]:
    def greet(state: State, runtime: Runtime[Any]) -> Any:
        return {"log": [repr(runtime.context)]}

    return StateGraph(State, schema).add_node(greet).add_edge(START, "greet").compile()


@pytest.mark.parametrize(
    ("schema", "given", "got"),
    [
        (Who, Who("Ada"), Who("Ada")),
        (Who, {"name": "Ada"}, Who("Ada")),
        (WhoModel, {"name": "Ada", "role": "host"}, WhoModel(name="Ada", role="host")),
        (WhoModel, WhoModel(name="Ada"), WhoModel(name="Ada")),
        (WhoDict, {"name": "Ada"}, {"name": "Ada"}),
        (dict, {"name": "Ada"}, {"name": "Ada"}),
        (str, "Ada", "Ada"),
        (None, "anything", "anything"),
        (Who, None, None),
    ],
)
async def test_context_reaches_the_nodes_a_dict_as_the_context_schema(schema: Any, given: Any, got: Any) -> None:
    graph = greeter(schema)
    assert await graph.ainvoke({"log": []}, context=given) == {"log": [repr(got)]}
    assert graph.invoke({"log": []}, context=given) == {"log": [repr(got)]}
    assert await collect(graph.astream({"log": []}, context=given)) == [{"greet": {"log": [repr(got)]}}]


@pytest.mark.parametrize(("schema", "error"), [(Who, TypeError), (WhoModel, pydantic.ValidationError)])
def test_a_context_that_does_not_fit_is_an_error_at_the_call(schema: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="nmae|name"):
        greeter(schema).astream({"log": []}, context={"nmae": "Ada"})


async def test_nested_runs_inherit_the_context_unless_they_get_their_own() -> None:
    inner = greeter(Who)

    async def calls(state: State) -> Any:
        inherited = await inner.ainvoke({"log": []})
        own = await inner.ainvoke({"log": []}, context={"name": "Bob"})
        return {"log": inherited["log"] + own["log"]}

    graph = (
        StateGraph(State, Who).add_node(calls).add_node("sub", inner).add_edge(START, "calls").add_edge("calls", "sub")
    )
    result = await graph.compile().ainvoke({"log": []}, context=Who("Ada"))
    ada, bob = repr(Who("Ada")), repr(Who("Bob"))
    assert result["log"] == [ada, bob, ada, bob, ada]
