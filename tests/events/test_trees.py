"""Who is inside of whom, what failures look like, and what filters let through."""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.to_thread
import pytest

from penstock.config import RunnableConfig
from penstock.errors import GraphRecursionError, NodeTimeoutError, OutsideRunError
from penstock.graph import START, MessagesState, StateGraph
from penstock.messages import AIMessage
from penstock.models import stream_tokens
from penstock.prebuilt import ToolNode, create_react_agent
from penstock.runnables import ChatPromptTemplate, RunnableLambda, RunnableParallel, StrOutputParser
from penstock.runtime import adispatch_custom_event, dispatch_custom_event
from penstock.testing import ScriptedChatModel
from penstock.tools import tool
from penstock.types import Command, RetryPolicy
from tests.support import checkpoints

from ._work import Counter, State, asking, chain_of, lines, named, read, side_by_side, unfinished

STREAMS = ("stream",)


@tool
async def shout(text: str) -> str:
    """Shout."""
    return text.upper()


def wants_weather(name: str = "shout", **more: Any) -> ScriptedChatModel:
    call = {"name": name, "args": {"text": "a"}, "id": "c1", **more}
    return ScriptedChatModel([{"tool_calls": [call]}, "done"])


# -------------------------------------------------------------------- the tree


async def test_an_agent() -> None:
    agent = create_react_agent(wants_weather(), [shout], name="agent graph")
    events = await read(agent.astream_events({"messages": "hi"}))
    assert lines(events, skip=STREAMS) == [
        "chain_start agent graph",
        "chain_start agent graph/agent",
        "chat_model_start agent graph/agent/ScriptedChatModel",
        "chat_model_end agent graph/agent/ScriptedChatModel",
        "chain_start agent graph/agent/should_continue",
        "chain_end agent graph/agent/should_continue",
        "chain_end agent graph/agent",
        "chain_start agent graph/tools",
        "tool_start agent graph/tools/shout",
        "tool_end agent graph/tools/shout",
        "chain_end agent graph/tools",
        "chain_start agent graph/agent",
        "chat_model_start agent graph/agent/ScriptedChatModel",
        "chat_model_end agent graph/agent/ScriptedChatModel",
        "chain_start agent graph/agent/should_continue",
        "chain_end agent graph/agent/should_continue",
        "chain_end agent graph/agent",
        "chain_end agent graph",
    ]
    assert unfinished(events) == set()
    (ended,) = [e for e in named(events, "shout") if e["event"] == "on_tool_end"]
    assert (ended["data"]["output"].content, ended["data"]["input"]) == ("A", {"text": "a"})
    assert ended["metadata"]["langgraph_node"] == "tools"


async def test_parents_are_right_three_deep_whether_nodes_or_called() -> None:
    async def ask(state: State) -> Any:
        return {"log": [await asking(Counter(1)).ainvoke({"x": 1})]}

    inner = chain_of(("ask", ask), name="inner")

    async def call(state: State) -> Any:
        return await inner.ainvoke(state)

    middle = chain_of(("call", call), name="middle")
    graph = chain_of(("middle node", middle), name="outer")
    events = await read(graph.astream_events({"log": []}, {"tags": ["t"]}))
    path = "outer/middle node/middle/call/inner/ask"
    model = [e for e in events if e["event"] == "on_chat_model_start"]
    assert lines(events)[0] == "chain_start outer"
    assert f"chat_model_start {path}/RunnableSequence/Counter" in lines(events)
    assert model[0]["tags"] == ["seq:step:2", "t"]
    assert model[0]["metadata"]["langgraph_node"] == "ask"
    assert model[0]["metadata"]["checkpoint_ns"].startswith("middle node:")
    ids = [next(e["run_id"] for e in events if e["name"] == name) for name in ("outer", "middle node", "middle")]
    assert model[0]["parent_ids"][:3] == ids
    assert unfinished(events) == set()


async def test_a_thread_and_a_sync_call_below_it_know_where_they_are() -> None:
    inner = chain_of(("ask", lambda state: {"log": [asking(Counter(1)).invoke({"x": 1})]}), name="inner")

    @tool
    def work(x: int) -> str:
        """Work in a thread."""
        return str(inner.invoke({"log": []}))

    async def node(state: State) -> Any:
        return {"log": [await work.ainvoke({"x": 1})]}

    events = await read(chain_of(("node", node)).astream_events({"log": []}))
    path = "LangGraph/node/work/inner/ask/RunnableSequence"
    assert f"chat_model_stream {path}/Counter" in lines(events)
    assert f"prompt_end {path}/ChatPromptTemplate" in lines(events)
    assert unfinished(events) == set()


async def test_parallel_nodes_are_told_apart() -> None:
    def asker(name: str) -> Any:
        async def ask(state: State) -> Any:
            return {"log": [(await Counter(20).with_config(run_name=name).ainvoke("hi")).text]}

        return ask

    graph = side_by_side(one=asker("m1"), two=asker("m2"))
    events = await read(graph.astream_events({"log": []}))
    for node, model in (("one", "m1"), ("two", "m2")):
        mine = named(events, model)
        assert {e["metadata"]["langgraph_node"] for e in mine} == {node}
        assert {e["parent_ids"][-1] for e in mine} == {named(events, node)[0]["run_id"]}
        assert [e["data"]["chunk"].text for e in mine if "chunk" in e["data"]] == [*(f"{n} " for n in range(20)), ""]
    assert unfinished(events) == set()


async def test_tokens_of_a_client_of_its_own() -> None:
    async def client() -> Any:
        for token in ("Hel", "lo"):
            yield token

    async def node(state: State) -> Any:
        return {"log": ["".join([t async for t in stream_tokens(client(), tags=["greeting"])])]}

    events = await read(chain_of(("node", node)).astream_events({"log": []}, include_types=["chat_model"]))
    assert [e["event"] for e in events] == ["on_chat_model_start", *["on_chat_model_stream"] * 3, "on_chat_model_end"]
    assert events[-1]["data"]["output"].text == "Hello"
    assert "greeting" in events[0]["tags"]
    assert unfinished(events) == set()


async def test_a_client_that_is_left_early_has_neither_an_end_nor_a_failure() -> None:
    class Client:
        def __init__(self) -> None:
            self.tokens = iter("abcdef")

        def __aiter__(self) -> Client:
            return self

        async def __anext__(self) -> str:
            return next(self.tokens)

    async def node(state: State) -> Any:
        async for token in stream_tokens(Client()):
            if token == "c":
                break
        return {"log": [token]}

    events = await read(chain_of(("node", node)).astream_events({"log": []}))
    assert "on_chat_model_end" not in {e["event"] for e in events}
    assert "on_chat_model_error" not in {e["event"] for e in events}
    assert events[-1]["event"] == "on_chain_end"


async def test_what_a_command_to_the_parent_leaves_has_an_end() -> None:
    async def up(state: State) -> Any:
        return Command(graph=Command.PARENT, update={"log": ["up"]}, goto="after")

    async def after(state: State) -> Any:
        return {"log": ["after"]}

    inner = StateGraph(State).add_node(up).add_edge(START, "up").compile(name="inner")
    builder = StateGraph(State).add_node("sub", inner, destinations=("after",)).add_node(after)
    events = await read(builder.add_edge(START, "sub").compile().astream_events({"log": []}))
    assert unfinished(events) == set()
    assert not [e for e in events if e["event"].endswith("_error")]


async def test_a_routers_work_is_inside_of_it() -> None:
    async def first(state: State) -> Any:
        return {"log": [1]}

    async def route(state: State) -> str:
        await shout.ainvoke({"text": "router"})
        return "__end__"

    graph = StateGraph(State).add_node(first).add_edge(START, "first").add_conditional_edges("first", route).compile()
    events = await read(graph.astream_events({"log": []}))
    assert "tool_start LangGraph/first/route/shout" in lines(events)


async def test_a_retried_attempt_is_a_run_of_its_own_with_a_number() -> None:
    tries: list[int] = []

    async def shaky(state: State) -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("lost")
        return {"log": [len(tries)]}

    policy = RetryPolicy(initial_interval=0, jitter=False)
    events = await read(chain_of(("shaky", shaky), retry_policy=policy).astream_events({"log": []}))
    mine = [(e["event"], e["metadata"].get("langgraph_attempt")) for e in named(events, "shaky")]
    assert mine == [
        *[("on_chain_start", None), ("on_chain_error", None)],
        *[("on_chain_start", 2), ("on_chain_error", 2)],
        *[("on_chain_start", 3), ("on_chain_stream", 3), ("on_chain_end", 3)],
    ]
    assert len({e["run_id"] for e in named(events, "shaky")}) == 3


# -------------------------------------------------------------------- failures


async def failing(stream: Any, error: type[BaseException]) -> list[Any]:
    events: list[Any] = []
    with pytest.raises(error):
        async for event in stream:
            events.append(event)
    return events


def errors(events: list[Any]) -> list[str]:
    return [line for line in lines(events) if line.split(" ")[0].endswith("_error")]


async def test_every_level_tells_of_its_failure_before_the_error_is_raised() -> None:
    @tool
    async def asks(x: int) -> str:
        """Ask."""
        return await asking(Counter(2, error=ValueError("broken"))).ainvoke({"x": x})

    async def node(state: State) -> Any:
        return {"log": [await asks.ainvoke({"x": 1})]}

    inner = chain_of(("node", node), name="inner")
    events = await failing(chain_of(("sub", inner), name="outer").astream_events({"log": []}), ValueError)
    path = "outer/sub/inner/node"
    assert errors(events) == [
        f"chat_model_error {path}/asks/RunnableSequence/Counter",
        f"chain_error {path}/asks/RunnableSequence",
        f"tool_error {path}/asks",
        f"chain_error {path}",
        "chain_error outer/sub/inner",
        "chain_error outer/sub",
        "chain_error outer",
    ]
    assert unfinished(events) == set()
    told = [e for e in events if e["event"].endswith("_error")]
    assert {str(e["data"]["error"]) for e in told} == {"broken"}
    assert told[0]["data"]["input"]["messages"][0][0].text == "say 1"


async def test_failures_of_a_streamed_chain() -> None:
    def boom(text: str) -> str:
        raise ValueError(text)

    chain = asking(Counter(2)) | boom
    events = await failing(chain.astream_events({"x": 1}), ValueError)
    assert errors(events) == ["chain_error RunnableSequence/boom", "chain_error RunnableSequence"]
    assert unfinished(events) == set()
    assert named(events, "boom")[-1]["data"]["input"] == "0 1 "


async def test_a_failing_branch_and_the_one_that_is_cancelled_for_it() -> None:
    async def boom(x: Any) -> None:
        await checkpoints(3)
        raise ValueError("broken")

    step = RunnableParallel(bad=boom, good=asking(Counter(3, pause=1.0)))
    events = await failing(RunnableLambda(step.ainvoke, name="root").astream_events({"x": 1}), ValueError)
    assert errors(events) == [
        "chain_error root/RunnableParallel<bad,good>/boom",
        "chain_error root/RunnableParallel<bad,good>",
        "chain_error root",
    ]


async def test_other_ways_to_fail() -> None:
    async def loops(state: State) -> Any:
        return Command(goto="loops")

    graph = StateGraph(State).add_node("loops", loops, destinations=("loops",)).add_edge(START, "loops").compile()
    events = await failing(graph.astream_events({"log": []}, {"recursion_limit": 3}), GraphRecursionError)
    assert errors(events) == ["chain_error LangGraph"]

    async def bad_update(state: State) -> Any:
        return 5

    events = await failing(chain_of(("bad", bad_update)).astream_events({"log": []}), ValueError)
    assert errors(events) == ["chain_error LangGraph/bad", "chain_error LangGraph"]


@pytest.mark.virtual_time
async def test_a_node_that_times_out() -> None:
    async def slow(state: State) -> None:
        await Counter(3, pause=5.0).ainvoke("hi")

    events = await failing(chain_of(("slow", slow), timeout=1.0).astream_events({"log": []}), NodeTimeoutError)
    assert errors(events) == ["chain_error LangGraph/slow", "chain_error LangGraph"]
    assert unfinished(events) == {"Counter"}  # cancelled: neither an end nor a failure of its own


@pytest.mark.virtual_time
async def test_a_slow_reader_does_not_use_up_a_nodes_timeout() -> None:
    async def ask(state: State) -> Any:
        await Counter(50).ainvoke("hi")

    graph = chain_of(("ask", ask), timeout=1.0)
    events = []
    async for event in graph.astream_events({"log": []}, high_water_mark=2):
        events.append(event)
        await anyio.sleep(0.5)
    assert unfinished(events) == set()


async def test_a_tool_that_fails_and_is_told_to_the_model() -> None:
    @tool
    async def broken(text: str) -> str:
        """Break."""
        raise ValueError("tool boom")

    agent = create_react_agent(wants_weather("broken"), ToolNode([broken], handle_tool_errors=True))
    events = await read(agent.astream_events({"messages": "hi"}))
    assert errors(events) == ["tool_error LangGraph/tools/broken"]
    (told,) = [e for e in events if e["event"] == "on_tool_error"]
    assert (told["data"]["tool_call_id"], told["data"]["input"]) == ("c1", {"text": "a"})
    assert unfinished(events) == set()


# -------------------------------------------------------------------- filters


def filtered_graph() -> Any:
    async def ask(state: State) -> Any:
        dispatch_custom_event("progress", 50)
        text = await asking(Counter(1).with_config(tags=["counter"])).ainvoke({"x": 1})
        return {"log": [text, await shout.ainvoke({"text": "a"})]}

    return chain_of(("ask", ask), name="outer")


FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"include_names": ["shout"]}, {"shout"}),
    ({"include_names": ["shout", "ask"]}, {"shout", "ask"}),
    ({"include_names": "shout"}, {"shout"}),
    ({"include_names": []}, set()),
    ({"include_types": ["tool"]}, {"shout"}),
    ({"include_types": ["chat_model", "parser"]}, {"Counter", "StrOutputParser"}),
    ({"include_types": ["prompt"]}, {"ChatPromptTemplate"}),
    ({"include_types": ["chain"]}, {"outer", "ask", "RunnableSequence"}),
    ({"include_types": ["progress"]}, {"progress"}),
    ({"include_tags": ["counter"]}, {"Counter"}),
    ({"include_tags": ["graph:step:1"]}, {"ask"}),
    ({"include_names": ["ask"], "include_types": ["tool"]}, {"ask", "shout"}),
    (
        {"exclude_names": ["ask", "progress"], "exclude_types": ["tool", "chat_model", "parser"]},
        {"outer", "RunnableSequence", "ChatPromptTemplate"},
    ),
    ({"exclude_types": ["chain"]}, {"progress", "ChatPromptTemplate", "Counter", "StrOutputParser", "shout"}),
    ({"exclude_tags": ["seq:step:1"]}, {"outer", "ask", "Counter", "StrOutputParser"}),
    ({"include_types": ["chain"], "exclude_names": ["outer"]}, {"ask", "RunnableSequence"}),
]


@pytest.mark.parametrize(
    ("filters", "expected"), FILTERS, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
async def test_filters(filters: dict[str, Any], expected: set[str]) -> None:
    every = await read(filtered_graph().astream_events({"log": []}))
    async with filtered_graph().astream_events({"log": []}, **filters) as stream:
        events = await read(stream)
        assert stream.statistics().delivered == len(events)
    assert {e["name"] for e in events} == expected
    # At the source nothing else changes: the same events, with the inputs of their own.
    shapes = [
        (e["event"], e["name"], len(e["parent_ids"]), sorted(e["data"]) if isinstance(e["data"], dict) else None)
        for e in events
    ]
    assert shapes == [
        (e["event"], e["name"], len(e["parent_ids"]), sorted(e["data"]) if isinstance(e["data"], dict) else None)
        for e in every
        if e["name"] in expected
    ]
    for event in events:
        if event["event"] == "on_chat_model_start":
            assert event["data"]["input"]["messages"][0][0].text == "say 1"
        if event["event"] == "on_tool_start":
            assert event["data"]["input"] == {"text": "a"}


@pytest.mark.parametrize(("types", "whole"), [(["tool"], 1), (["chat_model"], 0)])
async def test_a_model_whose_tokens_nobody_wants_is_not_streamed(types: list[str], whole: int) -> None:
    model = Counter(1)

    async def ask(state: State) -> Any:
        return {"log": [(await model.ainvoke("hi")).text]}

    await read(chain_of(("ask", ask)).astream_events({"log": []}, include_types=types))
    assert model.whole == whole


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"version": "v1"}, ValueError, "version must be 'v2', got 'v1'"),
        ({"include_types": ["chat_modl"]}, ValueError, "did you mean 'chat_model'"),
        ({"exclude_types": ["tools"]}, ValueError, "did you mean 'tool'"),
        ({"include_names": 5}, TypeError, "include_names must be strings, got 5"),
        ({"include_tags": [1]}, TypeError, r"include_tags must be strings, got \[1\]"),
        ({"high_water_mark": 0}, ValueError, "at least 1"),
    ],
)
async def test_wrong_arguments_are_refused_at_the_call(arguments: dict[str, Any], error: Any, words: str) -> None:
    for what, value in (
        (shout, {"text": "a"}),
        (Counter(), "hi"),
        (asking(Counter()), {"x": 1}),
        (filtered_graph(), {"log": []}),
    ):
        with pytest.raises(error, match=words):
            what.astream_events(value, **arguments)


async def test_wrong_arguments_of_a_graph() -> None:
    graph = filtered_graph()
    with pytest.raises(TypeError, match="events are never dropped"):
        graph.astream_events({"log": []}, overflow="drop_oldest")
    with pytest.raises(TypeError, match="there is no argument 'include_name'"):
        graph.astream_events({"log": []}, include_name=["a"])
    with pytest.raises(ValueError, match="stream_mode"):
        graph.astream_events({"log": []}, stream_mode="update")
    with pytest.raises(TypeError, match=r"config\['callbacks'\] holds 5"):
        graph.astream_events({"log": []}, {"callbacks": [5]})


# -------------------------------------------------------------------- what a root shows


@pytest.mark.parametrize(
    ("mode", "chunks"),
    [
        ("values", [{"log": []}, {"log": [1]}]),
        (["updates", "custom"], [("custom", "w"), ("updates", {"ask": {"log": [1]}})]),
        ("custom", ["w"]),
    ],
)
async def test_the_graphs_own_chunks_are_those_of_astream(mode: Any, chunks: list[Any]) -> None:
    async def ask(state: State, writer: Any) -> Any:
        writer("w")
        return {"log": [1]}

    graph = chain_of(("ask", ask))
    events = await read(graph.astream_events({"log": []}, stream_mode=mode))
    shown = [e["data"]["chunk"] for e in events if e["event"] == "on_chain_stream" and e["name"] == "LangGraph"]
    assert shown == chunks == await read(graph.astream({"log": []}, stream_mode=mode))
    assert [e["data"] for e in events if e["event"] == "on_custom_event"] == ["w"]


async def test_result_and_run_id() -> None:
    async with filtered_graph().astream_events({"log": []}, {"run_name": "mine", "run_id": "abc"}) as events:
        first = await anext(events)
        assert (first["name"], first["run_id"]) == ("mine", "abc")
        assert await events.result() == {"log": ["0 ", "A"]}
    async with asking(Counter(2)).astream_events({"x": 1}) as events:
        assert await events.result() == "0 1 "
    async with shout.astream_events({"text": "a"}, {"run_name": "loud"}) as events:
        assert await events.result() == "A"


# -------------------------------------------------------------------- config


@tool
async def by_context(text: str) -> str:
    """Ask."""
    return await asking(Counter(1)).ainvoke({"x": text})


@tool
async def by_hand(text: str, config: RunnableConfig) -> str:
    """Ask."""
    return await asking(Counter(1)).ainvoke({"x": text}, config=config)


@tool
def by_hand_in_a_bare_thread(text: str, config: RunnableConfig) -> str:
    """Ask, from a thread that carries no context."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asking(Counter(1)).invoke({"x": text}, config)).result()


@pytest.mark.parametrize("asks", [by_context, by_hand, by_hand_in_a_bare_thread], ids=lambda t: t.name)
async def test_labels_reach_what_a_tool_calls(asks: Any) -> None:
    config = {"tags": ["t"], "metadata": {"m": 1}, "run_name": "mine"}
    events = await read(asks.astream_events({"text": "a"}, config))
    (model,) = [e for e in events if e["event"] == "on_chat_model_start"]
    assert model["tags"] == ["seq:step:2", "t"]
    assert model["metadata"]["m"] == 1
    assert events[0]["name"] == "mine"
    parents = ["mine", "RunnableSequence"] if asks is by_context else ["RunnableSequence"]
    assert lines(events).count("chat_model_start " + "/".join([*parents, "Counter"])) == 1
    assert unfinished(events) == set()


@pytest.mark.parametrize("asks", [by_context, by_hand, by_hand_in_a_bare_thread], ids=lambda t: t.name)
async def test_labels_of_a_run_reach_what_its_tools_call(asks: Any) -> None:
    async def node(state: State) -> Any:
        return {"log": [await asks.ainvoke({"text": "a"}, {"tags": ["tool"], "metadata": {"tool": 1}})]}

    config = {"tags": ["t"], "metadata": {"m": 1}, "callbacks": []}
    events = await read(chain_of(("node", node)).astream_events({"log": []}, config))
    (model,) = [e for e in events if e["event"] == "on_chat_model_start"]
    assert set(model["tags"]) == {"seq:step:2", "t", "tool"}
    assert (model["metadata"]["m"], model["metadata"]["tool"]) == (1, 1)
    assert model["metadata"]["langgraph_node"] == "node"
    where = "LangGraph/node/by_context" if asks is by_context else "LangGraph/node"
    assert f"chat_model_start {where}/RunnableSequence/Counter" in lines(events)


async def test_labels_reach_tokens_without_any_observer() -> None:
    """The same in `messages` mode: what a tool or chain is called with is inherited by context."""

    async def node(state: MessagesState) -> Any:
        await by_context.ainvoke({"text": "a"}, {"tags": ["tool"], "metadata": {"tool": 1}})
        step = RunnableLambda(lambda _: asking(Counter(1)).invoke({"x": 1}))
        await step.with_config(tags=["step"]).ainvoke(1)
        await Counter(1).ainvoke("hi")
        return {}

    graph = StateGraph(MessagesState).add_node(node).add_edge(START, "node").compile()
    shown = [m async for c, m in graph.astream({"messages": []}, {"tags": ["t"]}, stream_mode="messages") if c.text]
    assert [m["tags"] for m in shown] == [["t", "tool"], ["t", "step"], ["t"]]
    assert [m.get("tool") for m in shown] == [1, None, None]


async def test_configurable_reaches_a_graph_that_a_function_calls() -> None:
    async def node(state: State, config: RunnableConfig) -> Any:
        return {"log": [config["configurable"].get("who"), sorted(config["tags"])]}

    graph = chain_of(("node", node))
    step = RunnableLambda(lambda _: graph.invoke({"log": []}))
    config = {"configurable": {"who": "ada"}, "tags": ["t"]}
    assert await step.ainvoke(1, config) == {"log": ["ada", ["t"]]}


async def test_the_caller_is_left_as_it_was() -> None:
    """Nothing that a watched call sets leaks into the code that reads it."""
    before = dict(contextvars.copy_context())
    async for _ in filtered_graph().astream_events({"log": []}):
        pass
    await by_context.ainvoke({"text": "a"}, {"tags": ["t"]})
    after = contextvars.copy_context()
    assert [v.name for v in after if v not in before and v.name.startswith("penstock")] == []
    assert [v.name for v in before if v.name.startswith("penstock") and after[v] is not before[v]] == []


# -------------------------------------------------------------------- custom events


async def test_custom_events_belong_to_the_work_around_them() -> None:
    @tool
    async def progress(x: int) -> None:
        """Tell of progress."""
        await adispatch_custom_event("from tool", {"percent": 50})
        await anyio.to_thread.run_sync(dispatch_custom_event, "from thread", [1])

    async def node(state: State) -> Any:
        dispatch_custom_event("from node", None)
        await progress.ainvoke({"x": 1})

    events = await read(chain_of(("node", node)).astream_events({"log": []}, {"tags": ["t"], "metadata": {"m": 1}}))
    told = [e for e in events if e["event"] == "on_custom_event"]
    assert [(e["name"], e["data"]) for e in told] == [
        ("from node", None),
        ("from tool", {"percent": 50}),
        ("from thread", [1]),
    ]
    node_id, tool_id = (named(events, name)[0]["run_id"] for name in ("node", "progress"))
    assert [e["run_id"] for e in told] == [node_id, tool_id, tool_id]
    assert [len(e["parent_ids"]) for e in told] == [1, 2, 2]
    assert (told[0]["tags"], told[1]["tags"]) == (["seq:step:1", "t"], ["t"])
    assert told[1]["metadata"]["m"] == 1


async def test_the_writers_chunks_are_events_too_also_where_custom_mode_is_not_asked_for() -> None:
    def node(state: State, writer: Any) -> Any:
        writer({"percent": 50})

    graph = chain_of(("sub", chain_of(("node", node), name="inner")), name="outer")
    events = await read(graph.astream_events({"log": []}, include_names=["custom"]))
    assert [(e["event"], e["data"]) for e in events] == [("on_custom_event", {"percent": 50})]
    assert len(events[0]["parent_ids"]) == 3


async def test_custom_events_need_work_around_them_but_no_reader() -> None:
    with pytest.raises(OutsideRunError, match="outside of a run"):
        dispatch_custom_event("lost", 1)
    with pytest.raises(OutsideRunError, match="outside of a run"):
        await adispatch_custom_event("lost", 1)
    with pytest.raises(TypeError, match="must be a string, got 5"):
        dispatch_custom_event(5, 1)  # type: ignore[arg-type]

    async def tells(x: Any) -> Any:
        await adispatch_custom_event("nobody hears", x)
        dispatch_custom_event("nobody hears", x)
        return x

    assert await RunnableLambda(tells).ainvoke(1) == 1
    assert (
        await tool(lambda x: dispatch_custom_event("nobody hears", x), name="t", description="d").ainvoke({"x": 1})
        is None
    )
    assert await chain_of(("node", lambda state: dispatch_custom_event("nobody hears"))).ainvoke({"log": []}) == {
        "log": []
    }


async def test_a_thread_without_context_tells_by_its_config() -> None:
    def node(state: State, config: RunnableConfig) -> None:
        failed: list[BaseException] = []

        def bare() -> None:
            try:
                dispatch_custom_event("lost", 1)
            except OutsideRunError as error:
                failed.append(error)
            dispatch_custom_event("found", 2, config=config)

        thread = threading.Thread(target=bare)
        thread.start()
        thread.join()
        assert len(failed) == 1

    events = await read(chain_of(("node", node)).astream_events({"log": []}))
    assert [(e["name"], e["data"]) for e in events if e["event"] == "on_custom_event"] == [("found", 2)]


# -------------------------------------------------------------------- steps


async def test_prompts_and_parsers_alone() -> None:
    prompt = ChatPromptTemplate.from_template("say {x}")
    events = await read(prompt.astream_events({"x": 1}))
    assert lines(events) == ["prompt_start ChatPromptTemplate", "prompt_end ChatPromptTemplate"]
    events = await read(StrOutputParser().astream_events(AIMessage("hi")))
    assert [e["data"] for e in events] == [{"input": AIMessage("hi")}, {"output": "hi"}]


async def test_a_prompt_that_is_filled_in_synchronously() -> None:
    async def node(state: State) -> Any:
        prompt = ChatPromptTemplate.from_template("say {x}").invoke({"x": 1})
        return {"log": [StrOutputParser().invoke(await Counter(1).ainvoke(prompt))]}

    events = await read(chain_of(("node", node)).astream_events({"log": []}))
    assert [line for line in lines(events) if "p" in line.split("_")[0]][:2] == [
        "prompt_start LangGraph/node/ChatPromptTemplate",
        "prompt_end LangGraph/node/ChatPromptTemplate",
    ]


async def test_a_model_with_fallbacks_and_retries() -> None:
    broken = ScriptedChatModel([ConnectionError("lost"), ConnectionError("lost"), "there"])
    model = broken.with_retry(wait_exponential_jitter=False, stop_after_attempt=2).with_fallbacks([Counter(1)])

    async def node(state: State) -> Any:
        return {"log": [(await model.ainvoke("hi")).text]}

    events = await read(chain_of(("node", node)).astream_events({"log": []}))
    path = "LangGraph/node/RunnableWithFallbacks"
    assert [line for line in lines(events, skip=STREAMS) if path in line] == [
        f"chain_start {path}",
        f"chain_start {path}/ScriptedChatModel",
        f"chat_model_start {path}/ScriptedChatModel/ScriptedChatModel",
        f"chat_model_error {path}/ScriptedChatModel/ScriptedChatModel",
        f"chat_model_start {path}/ScriptedChatModel/ScriptedChatModel",
        f"chat_model_error {path}/ScriptedChatModel/ScriptedChatModel",
        f"chain_error {path}/ScriptedChatModel",
        f"chat_model_start {path}/Counter",
        f"chat_model_end {path}/Counter",
        f"chain_end {path}",
    ]
    retried = [e["tags"] for e in events if e["event"] == "on_chat_model_start"]
    assert retried == [[], ["retry:attempt:2"], []]
