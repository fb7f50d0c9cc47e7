"""The node that calls tools: answers, errors, concurrency, commands."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated, Any

import anyio
import pytest
from typing_extensions import TypedDict

from penstock.config import get_stream_writer
from penstock.errors import ToolArgumentsError, ToolCallError, ToolDefinitionError
from penstock.graph import END, START, MessagesState, StateGraph
from penstock.messages import REMOVE_ALL_MESSAGES, AIMessage, HumanMessage, RemoveMessage, ToolMessage
from penstock.prebuilt import InjectedState, ToolNode, ToolRuntime, tools_condition
from penstock.tools import InjectedToolCallId, tool
from penstock.types import Command, Send

CallId = Annotated[str, InjectedToolCallId]


class State(MessagesState):
    log: Annotated[list[str], operator.add]


def asking(*calls: tuple[str, dict[str, Any]]) -> AIMessage:
    """A model's message with calls whose ids are c0, c1, ..."""
    return AIMessage("", tool_calls=[{"name": n, "args": a, "id": f"c{i}"} for i, (n, a) in enumerate(calls)])


def graph_of(*tools: Any, **options: Any) -> Any:
    node = ToolNode(tools, **options)
    return StateGraph(State).add_node(node).add_edge(START, node.name).compile()


async def answers(graph: Any, *calls: tuple[str, dict[str, Any]], config: Any = None) -> list[Any]:
    state = await graph.ainvoke({"messages": [asking(*calls)]}, config)
    return state["messages"][1:]


@tool
async def add(a: int, b: int) -> int:
    """Add."""
    await anyio.lowlevel.checkpoint()
    return a + b


@tool
def upper(text: str) -> str:
    """Make it loud."""
    return text.upper()


def plain(n: int = 1) -> dict[str, int]:
    """Give n."""
    return {"n": n}


def boom(text: str) -> str:
    """Fail."""
    raise ValueError(text)


# ------------------------------------------------------------------------------------------- answers


async def test_answers_in_the_order_of_the_calls() -> None:
    graph = graph_of(add, upper, plain)
    found = await answers(graph, ("upper", {"text": "a"}), ("add", {"a": 1, "b": "2"}), ("plain", {}))
    assert [(m.content, m.name, m.tool_call_id, m.status) for m in found] == [
        ("A", "upper", "c0", "success"),
        ("3", "add", "c1", "success"),
        ('{"n": 1}', "plain", "c2", "success"),
    ]


async def test_one_call() -> None:
    assert [m.content for m in await answers(graph_of(add), ("add", {"a": 1, "b": 2}))] == ["3"]


def test_sync_graph_and_direct_calls() -> None:
    message = asking(("add", {"a": 1, "b": 2}), ("upper", {"text": "x"}))
    chunks = list(graph_of(add, upper).stream({"messages": [message]}, stream_mode="updates"))
    assert [m.content for m in chunks[0]["tools"]["messages"]] == ["3", "X"]
    node = ToolNode([add, upper])
    assert [m.content for m in node.invoke({"messages": [message]})["messages"]] == ["3", "X"]
    assert [m.content for m in node.invoke([HumanMessage("?"), message])] == ["3", "X"]
    assert [
        m.content for m in node.invoke([{"type": "tool_call", **call} for call in message.tool_calls])["messages"]
    ] == ["3", "X"]


@dataclass
class Chat:
    chat: Any


async def test_other_states() -> None:
    node = ToolNode([plain], messages_key="chat")
    assert (await node.ainvoke(Chat([asking(("plain", {}))])))["chat"][0].content == '{"n": 1}'
    assert (await node.ainvoke({"chat": [asking(("plain", {}))]}))["chat"][0].content == '{"n": 1}'
    as_dict = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "id": "c", "function": {"name": "plain", "arguments": "{}"}}]}  # fmt: skip
    assert (await node.ainvoke({"chat": [as_dict]}))["chat"][0].tool_call_id == "c"


async def test_the_last_message_of_a_model_counts() -> None:
    node = ToolNode([plain])
    messages = [asking(("plain", {"n": 1})), asking(("plain", {"n": 2})), HumanMessage("hurry up")]
    assert (await node.ainvoke(messages))[0].content == '{"n": 2}'
    assert await node.ainvoke({"messages": [AIMessage("no calls")]}) == {"messages": []}


async def test_nothing_to_read() -> None:
    for state in ({"messages": []}, {}, [], 3):
        with pytest.raises(ToolCallError, match="expected a list of messages, or a state"):
            await ToolNode([plain]).ainvoke(state)
    with pytest.raises(ToolCallError, match="no message of a model"):
        await ToolNode([plain]).ainvoke([HumanMessage("hi")])


async def test_a_call_sent_with_its_state() -> None:
    seen = []

    def look(state: Annotated[Any, InjectedState], runtime: ToolRuntime) -> str:
        """Look at the state."""
        seen.append((state, runtime.state))
        return "seen"

    def fan_out(state: State) -> list[Send]:
        calls = state["messages"][-1].tool_calls
        return [Send("tools", {"__type": "tool_call_with_context", "tool_call": c, "state": state}) for c in calls]

    graph = StateGraph(State).add_node("tools", ToolNode([look])).add_conditional_edges(START, fan_out).compile()
    message = asking(("look", {}), ("look", {}))
    updates = [u async for u in graph.astream({"messages": [message], "log": ["x"]}, stream_mode="updates")]
    assert sorted(u["tools"]["messages"][0].tool_call_id for u in updates) == ["c0", "c1"]
    assert all(one["log"] == two["log"] == ["x"] for one, two in seen)
    assert len(seen) == 2


def test_names_and_tools() -> None:
    node = ToolNode([add, plain], name="hands", tags=["t"])
    assert (node.name, node.tags, list(node.tools_by_name)) == ("hands", ["t"], ["add", "plain"])
    assert repr(node) == "ToolNode(add, plain)"
    graph = StateGraph(State).add_node(node).add_edge(START, "hands").compile()
    assert list(graph.stream({"messages": [asking(("plain", {}))]}, stream_mode="updates"))[0].keys() == {"hands"}
    with pytest.raises(ToolDefinitionError, match="two tools are named 'add'"):
        ToolNode([add, add])
    with pytest.raises(ToolDefinitionError):
        ToolNode([3])  # type: ignore[list-item]


def test_tools_condition() -> None:
    call = asking(("add", {}))
    assert tools_condition({"messages": [call]}) == tools_condition([call]) == "tools"
    assert tools_condition(Chat([call]), messages_key="chat") == "tools"
    assert tools_condition({"messages": [call, HumanMessage("?")]}) == tools_condition([AIMessage("")]) == END
    for state in ({"messages": []}, [], {}):
        with pytest.raises(ToolCallError, match="expected a list of messages"):
            tools_condition(state)


# ------------------------------------------------------------------------------------------- streams


async def test_what_a_stream_shows() -> None:
    @tool
    async def busy(n: int, runtime: ToolRuntime) -> str:
        """Work."""
        get_stream_writer()(f"custom {n}")
        await runtime.emit_output_delta("half")
        return f"done {n}"

    graph = graph_of(busy, tags=["hands"])
    modes: Any = ["tools", "custom", "updates"]
    inputs = {"messages": [asking(("busy", {"n": 0}))]}
    chunks = [chunk async for chunk in graph.astream(inputs, stream_mode=modes)]
    kinds = [chunk["event"] if mode == "tools" else mode for mode, chunk in chunks]
    assert kinds == ["tool-started", "custom", "tool-output-delta", "tool-finished", "updates"]
    chunks = [chunk async for chunk in graph.astream(inputs, stream_mode="tools", only={"tags": ["hands"]})]
    assert len(chunks) == 3
    assert [c async for c in graph.astream(inputs, stream_mode="tools", only={"tags": ["feet"]})] == []


async def test_events_of_parallel_calls_carry_their_ids() -> None:
    @tool
    async def busy(n: int, runtime: ToolRuntime) -> str:
        """Work."""
        for _ in range(3):
            await runtime.emit_output_delta(n)
            await anyio.lowlevel.checkpoint()
        return "done"

    inputs = {"messages": [asking(("busy", {"n": 0}), ("busy", {"n": 1}))]}
    chunks = [chunk async for chunk in graph_of(busy).astream(inputs, stream_mode="tools")]
    for n in (0, 1):
        mine = [c for c in chunks if c["tool_call_id"] == f"c{n}"]
        assert [c["event"] for c in mine] == ["tool-started", *["tool-output-delta"] * 3, "tool-finished"]
        assert {c["delta"] for c in mine if "delta" in c} == {n}


@pytest.mark.parametrize("calls", [1, 3])
async def test_tools_that_write_without_awaiting_are_held_back(calls: int) -> None:
    written = 0

    @tool
    async def chatty() -> str:
        """Write a lot."""
        nonlocal written
        for n in range(500):
            get_stream_writer()(n)
            written += 1
            await anyio.lowlevel.checkpoint()
        return "done"

    inputs = {"messages": [asking(*[("chatty", {})] * calls)]}
    async with graph_of(chatty).astream(inputs, stream_mode="custom", high_water_mark=8) as run:
        async for _ in run:
            for _ in range(200):
                await anyio.lowlevel.checkpoint()
            assert written < 50
            break


# ------------------------------------------------------------------------------------------- errors


async def test_by_default_the_model_learns_of_wrong_arguments() -> None:
    found = await answers(graph_of(add, upper), ("add", {"a": "x"}), ("upper", {"text": "a"}))
    assert [m.status for m in found] == ["error", "success"]
    assert "- a: expected a whole number, got 'x' (string)\n- b: missing" in found[0].content
    assert (found[0].name, found[0].tool_call_id) == ("add", "c0")


async def test_by_default_other_errors_are_raised() -> None:
    for calls in ([("boom", {"text": "no"})], [("boom", {"text": "no"}), ("plain", {})]):
        with pytest.raises(ValueError, match="no") as caught:
            await answers(graph_of(boom, plain), *calls)
        assert type(caught.value) is ValueError


async def test_an_unknown_tool() -> None:
    (found,) = await answers(graph_of(add, upper, handle_tool_errors=False), ("ad", {}))
    assert (found.status, found.name) == ("error", "ad")
    assert found.content == "Error: there is no tool named 'ad'. Available tools: add, upper."


def only_value_errors(error: ValueError) -> str:
    return f"told: {error}"


def two_kinds(error: ValueError | KeyError) -> str:
    return f"told: {error}"


class Handler:
    def __call__(self, error: KeyError) -> str:
        return "told"


@pytest.mark.parametrize(
    ("handling", "told"),
    [
        (True, "Error: ValueError('no')\nCorrect the call and try again."),
        ("Oops.", "Oops."),
        (ValueError, "Error: ValueError('no')\nCorrect the call and try again."),
        ((KeyError, ValueError), "Error: ValueError('no')\nCorrect the call and try again."),
        (only_value_errors, "told: no"),
        (two_kinds, "told: no"),
        (lambda error: [{"type": "text", "text": str(error)}], [{"type": "text", "text": "no"}]),
        (False, None),
        (KeyError, None),
        ((KeyError,), None),
        (Handler(), None),
    ],
    ids=repr,
)
async def test_handle_tool_errors(handling: Any, told: Any) -> None:
    graph = graph_of(boom, plain, handle_tool_errors=handling)
    calls = [("boom", {"text": "no"}), ("plain", {})]
    if told is None:
        with pytest.raises(ValueError, match="no"):
            await answers(graph, *calls)
        return
    found = await answers(graph, *calls)
    assert [(m.content, m.status) for m in found] == [(told, "error"), ('{"n": 1}', "success")]


async def test_wrong_arguments_are_no_exception_then() -> None:
    for handling in (False, KeyError):
        with pytest.raises(ToolArgumentsError):
            await answers(graph_of(add, handle_tool_errors=handling), ("add", {}))
    (found,) = await answers(graph_of(add, handle_tool_errors=True), ("add", {}))
    assert found.content.startswith("The arguments of tool 'add' are wrong")


def test_wrong_handling() -> None:
    def odd(error: int) -> str:
        return ""

    with pytest.raises(ToolDefinitionError, match="handle_tool_errors must be"):
        ToolNode([add], handle_tool_errors=3)  # type: ignore[arg-type]
    with pytest.raises(ToolDefinitionError, match="annotated with exception types"):
        ToolNode([add], handle_tool_errors=odd)


@pytest.mark.virtual_time
async def test_an_error_cancels_the_others_and_waits_for_them() -> None:
    ended = []

    @tool
    async def sleepy(n: int) -> None:
        """Sleep."""
        try:
            await anyio.sleep(100)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)
            ended.append(n)

    @tool
    async def fails() -> None:
        """Fail."""
        await anyio.sleep(2)
        raise ValueError("first")

    started = anyio.current_time()
    with pytest.raises(ValueError, match="first") as caught:
        await answers(graph_of(sleepy, fails), ("sleepy", {"n": 0}), ("fails", {}), ("sleepy", {"n": 1}))
    assert sorted(ended) == [0, 1]
    assert anyio.current_time() - started == pytest.approx(3)
    assert caught.value.__context__ is None


@pytest.mark.virtual_time
async def test_further_errors_are_noted() -> None:
    @tool
    async def fails() -> None:
        """Fail."""
        raise ValueError("first")

    @tool
    async def fails_later() -> None:
        """Fail in the end."""
        try:
            await anyio.sleep(1)
        finally:
            raise KeyError("second")

    with pytest.raises(ValueError, match="first") as caught:
        await answers(graph_of(fails, fails_later), ("fails_later", {}), ("fails", {}))
    assert "Tool 'fails_later' failed as well: KeyError('second')" in caught.value.__notes__


@pytest.mark.virtual_time
async def test_a_cancelled_run_ends_its_tools() -> None:
    ended = []

    @tool
    async def sleepy() -> None:
        """Sleep."""
        try:
            await anyio.sleep(100)
        finally:
            ended.append(1)

    for calls in (1, 2):
        with anyio.move_on_after(1) as scope:
            await answers(graph_of(sleepy), *[("sleepy", {})] * calls)
        assert scope.cancelled_caught
        assert len(ended) == calls
        ended.clear()


async def test_an_exception_that_is_no_error() -> None:
    class Exit(BaseException):
        pass

    @tool
    async def leave() -> None:
        """Leave."""
        raise Exit

    with pytest.raises(Exit):
        await ToolNode([leave, plain], handle_tool_errors=True).ainvoke([asking(("leave", {}), ("plain", {}))])


# ------------------------------------------------------------------------------------------- concurrency


def counting() -> tuple[Any, list[int]]:
    running: list[int] = [0, 0]

    @tool
    async def work(n: int) -> int:
        """Work."""
        running[0] += 1
        running[1] = max(running)
        try:
            await anyio.sleep(1)
        finally:
            running[0] -= 1
        return n

    return work, running


@pytest.mark.virtual_time
@pytest.mark.parametrize(("limit", "peak", "seconds"), [(None, 6, 1), (1, 1, 6), (2, 2, 3), (4, 4, 2)])
async def test_max_concurrency(limit: int | None, peak: int, seconds: int) -> None:
    work, running = counting()
    started = anyio.current_time()
    config = None if limit is None else {"max_concurrency": limit}
    found = await answers(graph_of(work), *[("work", {"n": n}) for n in range(6)], config=config)
    assert [m.content for m in found] == ["0", "1", "2", "3", "4", "5"]
    assert running[1] == peak
    assert anyio.current_time() - started == pytest.approx(seconds)


@pytest.mark.virtual_time
async def test_the_limit_is_shared_with_other_nodes() -> None:
    work, running = counting()

    async def other(state: State) -> None:
        await work.func(0)

    builder = StateGraph(State).add_node("tools", ToolNode([work])).add_node("other", other)
    graph = builder.add_edge(START, "tools").add_edge(START, "other").compile()
    inputs = {"messages": [asking(*[("work", {"n": n}) for n in range(4)])]}
    await graph.ainvoke(inputs, {"max_concurrency": 2})
    assert running[1] == 2


@pytest.mark.virtual_time
@pytest.mark.parametrize("limit", [1, 2, None])
@pytest.mark.parametrize("how", ["ainvoke", "astream", "sync tool", "bare stream"])
async def test_tools_that_run_graphs_do_not_wait_for_themselves(limit: int | None, how: str) -> None:
    work, running = counting()

    class Inner(TypedDict):
        n: int

    async def step(state: Inner) -> Inner:
        return {"n": await work.func(state["n"])}

    inner = StateGraph(Inner).add_node("a", step).add_node("b", step).add_edge(START, "a").add_edge("a", "b").compile()

    @tool
    async def outer(n: int) -> int:
        """Run a graph."""
        if how == "ainvoke":
            return (await inner.ainvoke({"n": n}))["n"]
        if how == "bare stream":
            last = [chunk async for chunk in inner.astream({"n": n}, stream_mode="values")][-1]
            return last["n"]
        async with inner.astream({"n": n}) as run:
            return (await run.result())["n"]

    @tool
    def outer_in_thread(n: int) -> int:
        """Run a graph."""
        return inner.invoke({"n": n})["n"]

    name = "outer_in_thread" if how == "sync tool" else "outer"
    config = None if limit is None else {"max_concurrency": limit}
    found = await answers(graph_of(outer, outer_in_thread), *[(name, {"n": n}) for n in range(3)], config=config)
    assert [m.content for m in found] == ["0", "1", "2"]
    assert running[1] == (limit or 3)


@pytest.mark.virtual_time
@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_tool_nodes_within_tools_within_tool_nodes(limit: int) -> None:
    work, running = counting()

    def level(below: Any) -> Any:
        graph = graph_of(below)

        @tool
        async def work(n: int) -> int:
            """Run a graph whose node calls three tools, and work before and after."""
            await leaf.func(n)
            found = await answers(graph, *[("work", {"n": n})] * 3)
            await leaf.func(n)
            return sum(int(m.content) for m in found)

        return work

    leaf = work
    found = await answers(graph_of(level(level(leaf))), *[("work", {"n": 1})] * 3, config={"max_concurrency": limit})
    assert [m.content for m in found] == ["9", "9", "9"]
    assert running[1] == limit


@pytest.mark.virtual_time
@pytest.mark.parametrize("after", range(6))
async def test_a_cancellation_at_any_time_leaves_the_slots_in_order(after: int) -> None:
    work, running = counting()

    @tool
    async def outer(n: int) -> int:
        """Run a graph."""
        with anyio.move_on_after(after + 0.5):
            await answers(graph_of(work), ("work", {"n": n}), ("work", {"n": n}))
        return n

    calls = [("outer", {"n": n}) for n in range(3)]
    with anyio.move_on_after(30) as scope:
        found = await answers(graph_of(outer), *calls, config={"max_concurrency": 1})
        assert [m.content for m in found] == ["0", "1", "2"]
    assert not scope.cancelled_caught
    assert running[1] == 1


async def test_slots_are_given_back_after_an_error() -> None:
    @tool
    async def fails() -> None:
        """Fail."""
        await anyio.lowlevel.checkpoint()
        raise ValueError("no")

    async def after(state: State) -> dict[str, Any]:
        return {"log": ["after"]}

    def recover(state: State, error: Any) -> Command:
        return Command(update={"log": ["recovered"]}, goto=["after", "after2"])

    builder = StateGraph(State).add_node("tools", ToolNode([fails]), error_handler=recover).add_node("after", after)
    builder.add_node("after2", after).add_edge(START, "tools")
    state = await builder.compile().ainvoke({"messages": [asking(*[("fails", {})] * 4)]}, {"max_concurrency": 2})
    assert state["log"] == ["recovered", "after", "after"]


# ------------------------------------------------------------------------------------------- commands


async def test_a_command_updates_the_state() -> None:
    @tool
    def note(text: str, call_id: CallId) -> Command:
        """Note it."""
        return Command(update={"log": [text], "messages": [ToolMessage("noted", tool_call_id=call_id)]})

    @tool
    def as_dicts(call_id: CallId) -> Command:
        """Answer in a dict."""
        return Command(update={"messages": [{"role": "tool", "content": "dict", "tool_call_id": call_id}]})

    graph = graph_of(note, plain, as_dicts)
    state = await graph.ainvoke(
        {"messages": [asking(("note", {"text": "a"}), ("plain", {}), ("note", {"text": "b"}), ("as_dicts", {}))]}
    )
    assert state["log"] == ["a", "b"]
    assert [(m.content, m.name) for m in state["messages"][1:]] == [
        ("noted", "note"),
        ('{"n": 1}', "plain"),
        ("noted", "note"),
        ("dict", "as_dicts"),
    ]


async def test_several_answers_of_one_tool() -> None:
    @tool
    def several(call_id: CallId) -> Any:
        """Do several things."""
        return [
            Command(update={"log": ["x"]}),
            ToolMessage("done", tool_call_id=call_id),
            Command(update={"log": ["y"]}),
        ]

    @tool
    def unanswered() -> Any:
        """Forget to answer."""
        return [Command(update={"log": ["x"]}), Command(update={"log": ["y"]})]

    state = await graph_of(several).ainvoke({"messages": [asking(("several", {}))]})
    assert state["log"] == ["x", "y"]
    assert state["messages"][-1].content == "done"
    with pytest.raises(ToolCallError, match="a list with 0 tool messages for its call 'c0'; expected exactly one"):
        await answers(graph_of(unanswered), ("unanswered", {}))


async def test_commands_that_do_not_fit() -> None:
    @tool
    def unanswered() -> Command:
        """Forget to answer."""
        return Command(update={"messages": []})

    @tool
    def wrong_shape() -> Command:
        """Give a list."""
        return Command(update=[ToolMessage("x", tool_call_id="c0")])

    with pytest.raises(ToolCallError, match=r"without an answer to its call.*InjectedToolCallId"):
        await answers(graph_of(unanswered), ("unanswered", {}))
    with pytest.raises(ToolCallError, match="expected a dict with the key 'messages'"):
        await answers(graph_of(wrong_shape), ("wrong_shape", {}))
    assert await ToolNode([wrong_shape]).ainvoke([asking(("wrong_shape", {}))]) == [
        Command(update=[ToolMessage("x", tool_call_id="c0", name="wrong_shape")])
    ]
    (told,) = await answers(graph_of(unanswered, handle_tool_errors=True), ("unanswered", {}))
    assert told.status == "error"


async def test_emptying_the_conversation_needs_no_answer() -> None:
    @tool
    def forget() -> Command:
        """Forget everything."""
        return Command(update={"messages": [RemoveMessage(REMOVE_ALL_MESSAGES)]})

    assert await answers(graph_of(forget), ("forget", {})) == []


async def test_a_handover_to_the_graph_around() -> None:
    @tool
    def hand_over(to: str, call_id: CallId) -> Command:
        """Hand over."""
        message = ToolMessage(f"over to {to}", tool_call_id=call_id)
        return Command(graph=Command.PARENT, goto=[Send(to, {"to": to})], update={"messages": [message]})

    async def take(state: Any) -> dict[str, Any]:
        return {"log": [f"took over: {state['to']}"]}

    inner = StateGraph(State).add_node("tools", ToolNode([hand_over])).add_edge(START, "tools").compile()
    outer = StateGraph(State).add_node("inner", inner).add_node("take", take).add_edge(START, "inner").compile()
    for n in (1, 2):
        state = await outer.ainvoke({"messages": [asking(*[("hand_over", {"to": "take"})] * n)]})
        assert state["log"] == ["took over: take"] * n
        assert [m.content for m in state["messages"][1:]] == ["over to take"] * n


async def test_a_goto_in_the_same_graph() -> None:
    @tool
    def jump(call_id: CallId) -> Command:
        """Jump."""
        return Command(goto="target", update={"messages": [ToolMessage("jumped", tool_call_id=call_id)]})

    async def target(state: State) -> dict[str, Any]:
        return {"log": ["target"]}

    builder = StateGraph(State).add_node("tools", ToolNode([jump])).add_node("target", target)
    state = await builder.add_edge(START, "tools").compile().ainvoke({"messages": [asking(("jump", {}))]})
    assert state["log"] == ["target"]


async def test_an_agent_loop() -> None:
    async def model(state: State) -> dict[str, Any]:
        done = any(m.type == "tool" for m in state["messages"])
        return {"messages": [AIMessage("24 degrees") if done else asking(("upper", {"text": "rome"}))]}

    builder = StateGraph(State).add_node("model", model).add_node("tools", ToolNode([upper]))
    builder.add_edge(START, "model").add_conditional_edges("model", tools_condition).add_edge("tools", "model")
    state = await builder.compile().ainvoke({"messages": [HumanMessage("weather?")]})
    assert [m.type for m in state["messages"]] == ["human", "ai", "tool", "ai"]
    assert state["messages"][2].content == "ROME"


async def test_the_state_of_a_graph_inside_a_tool_is_its_own() -> None:
    @tool
    def count(messages: Annotated[list[Any], InjectedState("messages")]) -> int:
        """Count the messages."""
        return len(messages)

    async def inner_node(state: State) -> dict[str, Any]:
        return {"log": [str(await count.ainvoke({}))]}

    inner = StateGraph(State).add_node(inner_node).add_edge(START, "inner_node").compile()

    @tool
    async def outer(messages: Annotated[list[Any], InjectedState("messages")]) -> list[Any]:
        """Run a graph."""
        inside = await inner.ainvoke({"messages": [HumanMessage("1"), HumanMessage("2"), HumanMessage("3")]})
        return [len(messages), inside["log"], await count.ainvoke({})]

    (found,) = await answers(graph_of(outer), ("outer", {}))
    assert found.content == '[1, ["3"], 1]'
