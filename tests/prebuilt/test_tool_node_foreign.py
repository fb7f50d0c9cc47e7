"""Tools and messages of another library in a `ToolNode`."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

from penstock.errors import ToolCallError
from penstock.graph import START, MessagesState, StateGraph
from penstock.messages import AIMessage, ToolMessage
from penstock.prebuilt import InjectedState, ToolNode, tools_condition
from penstock.types import Command

from ._foreign import ForeignAI, ForeignTool, ForeignToolMessage, install, pydantic


def double(n: int) -> int:
    """Double."""
    return 2 * n


def asking(*names: str, cls: Any = AIMessage, **args: Any) -> Any:
    calls = [{"name": n, "args": args, "id": f"c{i}", "type": "tool_call"} for i, n in enumerate(names)]
    return cls(content="", tool_calls=calls)


async def test_a_foreign_tool(backend_id: str) -> None:
    foreign = ForeignTool(double)
    graph = StateGraph(MessagesState).add_node("tools", ToolNode([foreign])).add_edge(START, "tools").compile()
    inputs = {"messages": [asking("foreign", n="2")]}
    chunks = [c async for c in graph.astream(inputs, {"tags": ["t"]}, stream_mode=["tools", "updates"])]
    assert [c["event"] if mode == "tools" else mode for mode, c in chunks] == [
        "tool-started",
        "tool-finished",
        "updates",
    ]
    answer = chunks[-1][1]["tools"]["messages"][0]
    assert isinstance(answer, ForeignToolMessage)
    assert (answer.content, answer.tool_call_id) == (4, "c0")
    ((how, config),) = foreign.calls
    assert how == ("sync" if backend_id == "trio" else "async")
    assert config["tags"] == ["t"]
    assert config["metadata"]["langgraph_node"] == "tools"


async def test_its_validation_counts_as_wrong_arguments() -> None:
    node = ToolNode([ForeignTool(double), double])
    found = (await node.ainvoke({"messages": [asking("foreign", "double", n="many")]}))["messages"]
    assert [m.status for m in found] == ["error", "error"]
    assert "- n: Input should be a valid integer" in found[0].content


async def test_the_state_reaches_a_foreign_tool() -> None:
    def look(n: int, state: Annotated[Any, InjectedState], messages: Annotated[Any, InjectedState("messages")]) -> Any:
        """Look."""
        return len(state["messages"]) + len(messages) + n

    node = ToolNode([ForeignTool(look)])
    found = await node.ainvoke({"messages": [asking("foreign", n=10, messages="forged")]})
    assert found["messages"][0].content == 12


async def test_answers_to_a_foreign_message_are_of_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    node = ToolNode([double])
    message = asking("double", "unknown", cls=ForeignAI, n=2)
    assert tools_condition([message]) == "tools"
    found = (await node.ainvoke({"messages": [message]}))["messages"]
    assert [type(m) for m in found] == [ForeignToolMessage, ForeignToolMessage]
    assert [(m.content, m.status, m.name) for m in found][0] == ("4", "success", "double")
    assert found[1].status == "error"
    sent = {"__type": "tool_call_with_context", "tool_call": message.tool_calls[0], "state": {"messages": [message]}}
    assert isinstance((await node.ainvoke(sent))["messages"][0], ForeignToolMessage)
    ours = (await node.ainvoke([asking("double", n=2)]))[0]
    assert isinstance(ours, ToolMessage)


class ForeignModelTool(pydantic.BaseModel):
    """A tool that is a pydantic model, with one function or two, and makes text of what it does not know."""

    name: str = "foreign"
    description: str = "From elsewhere."
    args_schema: Any = None
    func: Any = None
    coroutine: Any = None

    def _message(self, input: Any, result: Any) -> Any:
        return ForeignToolMessage(content=str(result), tool_call_id=input["id"], name=self.name)

    def invoke(self, input: Any, config: Any = None) -> Any:
        return self._message(input, self.func(**input["args"]))

    async def ainvoke(self, input: Any, config: Any = None) -> Any:
        if self.coroutine is None:
            return self.invoke(input, config)
        return self._message(input, await self.coroutine(**input["args"]))


async def test_a_foreign_tool_may_return_our_commands() -> None:
    def note(n: int) -> Command:
        """Note."""
        return Command(update={"noted": n, "messages": [ToolMessage("noted", tool_call_id="c0")]})

    async def anote(n: int) -> Command:
        """Note."""
        return note(n)

    for tool in (ForeignModelTool(func=note), ForeignModelTool(func=note, coroutine=anote)):
        (answer,) = await ToolNode([tool]).ainvoke({"messages": [asking("foreign", n=1)]})
        assert isinstance(answer, Command)
        assert answer.update["noted"] == 1
        assert answer.update["messages"][0].name == "foreign"


async def test_an_async_foreign_tool(backend_id: str) -> None:
    async def adouble(n: int) -> int:
        """Double."""
        return 2 * n

    node = ToolNode([ForeignModelTool(coroutine=adouble)])
    if backend_id == "trio":
        with pytest.raises(ToolCallError, match="tool 'foreign' of tests has only an async function"):
            await node.ainvoke([asking("foreign", n=1)])
    else:
        assert (await node.ainvoke([asking("foreign", n=1)]))[0].content == "2"


async def test_a_foreign_tool_that_gives_no_message() -> None:
    class Bare:
        name = "bare"
        description = "Bare."
        args_schema = None

        def invoke(self, input: Any, config: Any = None) -> Any:
            return {"n": input["args"]["n"]}

        async def ainvoke(self, input: Any, config: Any = None) -> Any:
            return self.invoke(input)

    (answer,) = await ToolNode([Bare()]).ainvoke([asking("bare", n=1)])
    assert answer == ToolMessage('{"n": 1}', tool_call_id="c0", name="bare")
