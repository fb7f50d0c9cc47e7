"""`create_react_agent`: the loop of model and tools, its hooks, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from typing_extensions import TypedDict

from penstock.errors import AgentError, GraphBuildError, ToolDefinitionError
from penstock.graph import START, MessagesState, StateGraph
from penstock.managed import RemainingSteps
from penstock.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage, add_messages
from penstock.prebuilt import AgentState, ToolNode, create_react_agent
from penstock.runtime import Runtime
from penstock.testing import ScriptedChatModel
from penstock.tools import tool
from tests.support import collect


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


def calls(*cities: str, name: str = "weather") -> dict[str, Any]:
    return {"tool_calls": [{"name": name, "args": {"city": c}, "id": f"c{i}"} for i, c in enumerate(cities)]}


def model_of(*answers: Any) -> ScriptedChatModel:
    return ScriptedChatModel(answers)


ASK: dict[str, Any] = {"messages": "How is it in Rome?"}
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])


def contents(state: Any) -> list[str]:
    return [message.text for message in state["messages"]]


# -------------------------------------------------------------------- the loop


@BOTH
async def test_the_model_calls_tools_until_it_has_an_answer(version: Any) -> None:
    model = model_of(calls("Rome"), calls("Bari"), "Sunny.")
    agent = create_react_agent(model, [weather], version=version)
    chunks = await collect(agent.astream(ASK))
    assert [name for chunk in chunks for name in chunk] == ["agent", "tools", "agent", "tools", "agent"]
    assert [len(call.messages) for call in model.calls] == [1, 3, 5]
    last = model.calls[-1].messages
    assert [m.type for m in last] == ["human", "ai", "tool", "ai", "tool"]
    assert chunks[-1]["agent"]["messages"][0].text == "Sunny."


def test_the_sync_api_is_the_same() -> None:
    agent = create_react_agent(model_of(calls("Rome"), "Sunny."), [weather])
    assert contents(agent.invoke(ASK)) == ["How is it in Rome?", "", "sunny in Rome", "Sunny."]


async def test_calls_are_a_task_each_or_one_task() -> None:
    for version, updates in (("v2", [1, 1]), ("v1", [2])):
        agent = create_react_agent(model_of(calls("Rome", "Bari"), "ok"), [weather], version=version)  # type: ignore[arg-type]
        chunks = await collect(agent.astream(ASK))
        assert [len(chunk["tools"]["messages"]) for chunk in chunks if "tools" in chunk] == updates
        agent = create_react_agent(model_of(calls("Rome", "Bari"), "ok"), [weather], version=version)  # type: ignore[arg-type]
        assert contents(await agent.ainvoke(ASK))[2:4] == ["sunny in Rome", "sunny in Bari"]


async def test_tokens_tool_messages_and_tool_events() -> None:
    agent = create_react_agent(model_of(calls("Rome"), ["Sun", "ny"]), [weather])
    chunks = await collect(agent.astream(ASK, stream_mode=["messages", "tools"]))
    seen = [
        (data[1]["langgraph_node"], type(data[0]), data[0].text) if mode == "messages" else data["event"]
        for mode, data in chunks
        if mode == "tools" or data[0].text
    ]
    assert seen == [
        "tool-started",
        "tool-finished",
        ("tools", ToolMessage, "sunny in Rome"),
        ("agent", AIMessageChunk, "Sun"),
        ("agent", AIMessageChunk, "ny"),
    ]


async def test_an_agent_without_tools_only_answers() -> None:
    model = model_of("Hi.")
    assert contents(await create_react_agent(model, []).ainvoke(ASK)) == ["How is it in Rome?", "Hi."]
    assert model.calls[0].options.get("tools") in (None, [])


@BOTH
async def test_a_tool_that_ends_the_run(version: Any) -> None:
    @tool(return_direct=True)
    def verdict(city: str) -> str:
        """Give the verdict."""
        return f"go to {city}"

    for answer in (calls("Rome", name="verdict"), calls("Rome", "Bari", name="verdict")):
        model = model_of(answer, "never asked")
        agent = create_react_agent(model, [weather, verdict], version=version)
        assert contents(await agent.ainvoke(ASK))[-1].startswith("go to")
        assert len(model.calls) == 1
    model = model_of(calls("Rome"), "asked again")
    assert contents(await create_react_agent(model, [weather, verdict], version=version).ainvoke(ASK))[-1] == (
        "asked again"
    )


async def test_the_agent_gives_up_in_words_before_the_limit() -> None:
    model = model_of(*[calls("Rome")] * 5)
    state = await create_react_agent(model, [weather]).ainvoke(ASK, {"recursion_limit": 4})
    assert contents(state)[-1] == "Sorry, need more steps to process this request."


async def test_a_failing_tool_fails_the_run_unless_its_node_handles_errors() -> None:
    def broken(city: str) -> str:
        """Break."""
        raise RuntimeError("out of order")

    question = calls("Rome", name="broken")
    with pytest.raises(RuntimeError, match="out of order"):
        await create_react_agent(model_of(question, "ok"), [broken]).ainvoke(ASK)
    node = ToolNode([broken], handle_tool_errors=True)
    state = await create_react_agent(model_of(question, "ok"), node).ainvoke(ASK)
    assert state["messages"][2].status == "error"


async def test_an_agent_is_a_graph_like_any_other() -> None:
    agent = create_react_agent(model_of(calls("Rome"), "Sunny."), [weather], name="expert")
    graph = StateGraph(MessagesState).add_node(agent).add_edge(START, "expert").compile()
    chunks = await collect(graph.astream(ASK, stream_mode="messages", subgraphs=True))
    assert {ns[0].split(":")[0] for ns, _ in chunks} == {"expert"}
    assert agent.name == "expert"


async def test_the_answers_carry_the_agents_name() -> None:
    agent = create_react_agent(model_of("Hi."), [], name="expert")
    assert (await agent.ainvoke(ASK))["messages"][-1].name == "expert"


# -------------------------------------------------------------------- the model


async def test_the_model_is_told_of_its_tools_once() -> None:
    model = model_of("ok")
    await create_react_agent(model, [weather]).ainvoke(ASK)
    bound = model_of("ok")
    await create_react_agent(bound.bind_tools([tool(weather)]), [weather]).ainvoke(ASK)
    assert len(model.calls[0].options["tools"]) == len(bound.calls[0].options["tools"]) == 1


async def test_a_tool_that_the_provider_runs_is_only_announced() -> None:
    model = model_of("ok")
    search = {"type": "function", "function": {"name": "search", "description": "", "parameters": {}}}
    await create_react_agent(model, [weather, search]).ainvoke(ASK)
    assert len(model.calls[0].options["tools"]) == 2


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_function_chooses_the_model(asynchronous: bool) -> None:
    models = {"small": model_of(calls("Rome"), "small"), "large": model_of("large")}

    def choose(state: Any, runtime: Runtime[str]) -> Any:
        return models[runtime.context]

    async def achoose(state: Any, runtime: Runtime[str]) -> Any:
        return choose(state, runtime)

    agent = create_react_agent(achoose if asynchronous else choose, [weather], context_schema=str)
    assert contents(await agent.ainvoke(ASK, context="small"))[-1] == "small"
    assert contents(await agent.ainvoke(ASK, context="large"))[-1] == "large"


async def test_a_model_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def init_chat_model(name: str) -> Any:
        asked.append(name)
        return model_of("ok")

    monkeypatch.setattr("penstock.prebuilt._agent.init_chat_model", init_chat_model)
    assert contents(await create_react_agent("zoo:parrot", []).ainvoke(ASK))[-1] == "ok"
    assert asked == ["zoo:parrot"]


# -------------------------------------------------------------------- prompts and hooks


def prompt_function(state: Any) -> Any:
    return [SystemMessage("Be brief."), *state["messages"]]


async def prompt_coroutine(state: Any) -> Any:
    return prompt_function(state)


class PromptObject:
    def invoke(self, state: Any) -> Any:
        return self

    def to_messages(self) -> Any:
        return [SystemMessage("Be brief."), HumanMessage("How is it in Rome?")]


@pytest.mark.parametrize(
    "prompt", ["Be brief.", SystemMessage("Be brief."), prompt_function, prompt_coroutine, PromptObject()]
)
async def test_what_the_model_is_told_first(prompt: Any) -> None:
    model = model_of("ok")
    state = await create_react_agent(model, [], prompt=prompt).ainvoke(ASK)
    assert [(m.type, m.text) for m in model.calls[0].messages] == [
        ("system", "Be brief."),
        ("human", "How is it in Rome?"),
    ]
    assert contents(state) == ["How is it in Rome?", "ok"], "the prompt is not remembered"


@dataclass
class DataState:
    messages: Annotated[list[Any], add_messages]
    remaining_steps: RemainingSteps = 0


class DictState(AgentState):
    mood: str


SCHEMAS = pytest.mark.parametrize("schema", [None, DictState, DataState])


def get(state: Any, key: str) -> Any:
    return state[key] if isinstance(state, dict) else getattr(state, key)


@SCHEMAS
async def test_a_hook_decides_what_the_model_sees(schema: Any) -> None:
    model = model_of(calls("Rome"), "ok")
    seen: list[int] = []

    def trim(state: Any) -> Any:
        seen.append(len(get(state, "messages")))
        return {"llm_input_messages": [HumanMessage("trimmed")]}

    agent = create_react_agent(model, [weather], pre_model_hook=trim, state_schema=schema)
    chunks = await collect(agent.astream(ASK))
    assert [name for chunk in chunks for name in chunk] == [
        "pre_model_hook",
        "agent",
        "tools",
        "pre_model_hook",
        "agent",
    ]
    assert seen == [1, 3]
    assert [[m.text for m in call.messages] for call in model.calls] == [["trimmed"]] * 2


async def test_a_hook_over_pydantic() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = model_of("ok")
    schema = pydantic.create_model(
        "Model", messages=(Annotated[list, add_messages], ...), remaining_steps=(RemainingSteps, 0)
    )
    trim: Callable[[Any], Any] = lambda state: {"llm_input_messages": [HumanMessage("trimmed")]}  # noqa: E731
    await create_react_agent(model, [], pre_model_hook=trim, state_schema=schema).ainvoke(ASK)
    assert model.calls[0].messages[0].text == "trimmed"


@BOTH
async def test_a_hook_after_each_answer(version: Any) -> None:
    seen: list[str] = []

    def look(state: Any) -> None:
        seen.append(state["messages"][-1].text)

    agent = create_react_agent(model_of(calls("Rome", "Bari"), "ok"), [weather], post_model_hook=look, version=version)
    assert contents(await agent.ainvoke(ASK))[-1] == "ok"
    assert seen == ["", "ok"]


async def test_a_hook_that_answers_a_call_itself() -> None:
    def refuse(state: Any) -> Any:
        last = state["messages"][-1]
        return {"messages": [ToolMessage("no", tool_call_id=c["id"]) for c in getattr(last, "tool_calls", ())]}

    agent = create_react_agent(model_of(calls("Rome"), "then not"), [weather], post_model_hook=refuse)
    assert contents(await agent.ainvoke(ASK))[-2:] == ["no", "then not"]


class Report(TypedDict):
    """The weather."""

    sky: str


@pytest.mark.parametrize("system", [None, "As an object."])
@pytest.mark.parametrize("hook", [False, True])
async def test_the_answer_as_an_object(system: str | None, hook: bool) -> None:
    objects = {"tool_calls": [{"name": "Report", "args": {"sky": "blue"}}]}
    model = model_of(calls("Rome"), "Sunny.", objects)
    response_format = Report if system is None else (system, Report)
    after = (lambda state: None) if hook else None
    agent = create_react_agent(model, [weather], response_format=response_format, post_model_hook=after)
    state = await agent.ainvoke(ASK)
    assert state["structured_response"] == {"sky": "blue"}
    assert contents(state)[-1] == "Sunny."
    assert (model.calls[-1].messages[0].text == system) == (system is not None)


# -------------------------------------------------------------------- what is refused


@dataclass
class Small:
    messages: list[Any] = field(default_factory=list)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"version": "v3"}, "'v1' or 'v2', got 'v3'"),
        ({"model": 3}, "got 3"),
        ({"prompt": ["Be brief."]}, "a text, a system message, or a function"),
        ({"state_schema": Small}, "lacks remaining_steps"),
        ({"state_schema": DictState, "response_format": Report, "extra": 1}, None),
        ({"state_schema": DataState, "response_format": Report}, "lacks structured_response"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], said: str | None) -> None:
    arguments = {"model": model_of(), "tools": [], **arguments}
    error: Any = AgentError if said is not None else TypeError
    with pytest.raises(error, match=said):
        create_react_agent(**arguments)


def test_no_tool() -> None:
    with pytest.raises((ToolDefinitionError, TypeError)):
        create_react_agent(model_of(), [3])  # type: ignore[list-item]


async def test_a_history_with_open_calls_is_refused_before_the_model_is_asked() -> None:
    model = model_of("never asked")
    history = [HumanMessage("hi"), AIMessage("", tool_calls=[{"name": "weather", "args": {}, "id": "c1"}])]
    with pytest.raises(AgentError, match="'c1'"):
        await create_react_agent(model, [weather]).ainvoke({"messages": history})
    assert not model.calls


async def test_no_messages() -> None:
    with pytest.raises(AgentError, match="no messages"):
        await create_react_agent(model_of(), []).ainvoke({"messages": []})


async def test_a_prompt_alone_is_a_conversation() -> None:
    model = model_of("Good morning.")
    answer = await create_react_agent(model, [], prompt="Greet the user.").ainvoke({"messages": []})
    assert contents(answer) == ["Good morning."]
    assert model.calls[0].messages == [SystemMessage("Greet the user.")]


async def test_a_prompt_function_may_ask_for_what_nodes_may_ask_for() -> None:
    def prompt(state: Any, config: Any, runtime: Runtime[str]) -> list[Any]:
        return [SystemMessage(f"{config['configurable']['user']} in {runtime.context}"), *state["messages"]]

    model = model_of("ok")
    agent = create_react_agent(model, [], prompt=prompt, context_schema=str)
    await agent.ainvoke(ASK, {"configurable": {"user": "Ada"}}, context="Rome")
    assert model.calls[0].messages[0] == SystemMessage("Ada in Rome")


def test_a_prompt_function_that_wants_more_is_refused() -> None:
    def prompt(state: Any, weather: str) -> list[Any]:
        raise AssertionError

    with pytest.raises(GraphBuildError, match="nothing fills its parameter 'weather'"):
        create_react_agent(model_of(), [], prompt=prompt)


def test_a_model_with_other_tools_bound_is_refused() -> None:
    def time(city: str) -> str:
        """Tell the time in a city."""
        return f"noon in {city}"

    bound = model_of().bind_tools([tool(time)])
    with pytest.raises(AgentError, match=r"has the tools 'time' bound, but not 'weather'"):
        create_react_agent(bound, [weather])
    create_react_agent(model_of().bind_tools([tool(time), tool(weather)]), [weather])


def test_import_paths_that_users_of_langgraph_know() -> None:
    from penstock.managed import is_last_step
    from penstock.prebuilt import chat_agent_executor, tool_node

    assert chat_agent_executor.create_react_agent is create_react_agent
    assert chat_agent_executor.AgentState is AgentState
    assert tool_node.ToolNode is ToolNode
    assert is_last_step.RemainingSteps is RemainingSteps
