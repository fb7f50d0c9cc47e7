"""The node that calls the tools a model asks for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextvars import copy_context
from threading import get_ident
from typing import Any

import anyio

from ..config import RunnableConfig, maybe_scope
from ..errors import ToolCallError, ToolDefinitionError, add_note
from ..messages import AIMessage, ToolCall, ToolMessage, coerce_message
from ..runtime._blocking import run_blocking
from ..runtime._result import ParentCommand
from ..runtime._slot import PartSlot, slot_holder, use_part_slot
from ..runtime._task import Attempt
from ..streams import drive
from ..tools import ForeignTool, Tool, ToolLike, as_tool
from ..tools._output import as_content
from ..tools._runtime import tool_state
from ._condition import messages_in
from ._foreign_tool import call_foreign, find_injections, of_the_family
from ._tool_answers import InputKind, check_answer, combine
from ._tool_errors import ErrorHandling, ErrorPolicy, tell_wrong_arguments


class ToolNode:
    """A node that calls the tools the last message of a model asks for, and answers with tool messages.

    Several calls run at the same time, as far as the run's `max_concurrency` allows; the answers come in the order of
    the calls. If one of them fails and the model is not told of it, the others are cancelled and waited for, and the
    node fails with that error.

    Args:
        tools: tools, ours or LangChain's, or functions with a docstring.
        name: the name of the node.
        tags: labels of every call, which `only=` can select.
        handle_tool_errors: which errors the model is told of, in a tool message with the status `"error"`, instead of
            failing the run. By default wrong arguments. True for all errors, False for none; a text to tell; an
            exception type, or several; or a function that takes the error and returns what to tell, whose annotation
            says which errors it takes.
        messages_key: the key of the messages in the state.

    Attributes:
        name: the name of the node.
        tags: labels of every call.
        messages_key: the key of the messages in the state.

    Raises:
        ToolDefinitionError: something is no tool, two tools have one name, or `handle_tool_errors` is none of
            the above.

    Example:
        ```python
        from penstock.graph import START, MessagesState, StateGraph
        from penstock.messages import AIMessage
        from penstock.prebuilt import ToolNode

        def weather(city: str) -> str:
            \"\"\"Tell the weather of a city.\"\"\"
            return f"It is sunny in {city}"

        graph = StateGraph(MessagesState).add_node("tools", ToolNode([weather])).add_edge(START, "tools").compile()
        question = AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Rome"}, "id": "c1"}])
        assert graph.invoke({"messages": [question]})["messages"][-1].content == "It is sunny in Rome"
        ```
    """

    def __init__(
        self,
        tools: Sequence[ToolLike],
        *,
        name: str = "tools",
        tags: Collection[str] | None = None,
        handle_tool_errors: ErrorHandling = tell_wrong_arguments,
        messages_key: str = "messages",
    ) -> None:
        self.name: str = name
        self.__name__: str = name
        self.tags: list[str] = list(tags or ())
        self.messages_key = messages_key
        self._errors = ErrorPolicy(handle_tool_errors)
        self._tools: dict[str, Tool | ForeignTool] = {}
        for each in tools:
            made = as_tool(each)
            if made.name in self._tools:
                raise ToolDefinitionError(f"two tools are named {made.name!r}; a model could call only one of them")
            self._tools[made.name] = made
        self._injections = {n: find_injections(t) for n, t in self._tools.items() if not isinstance(t, Tool)}

    @property
    def tools_by_name(self) -> dict[str, Tool | ForeignTool]:
        """The tools."""
        return dict(self._tools)

    async def __call__(self, state: Any) -> Any:
        """What a graph calls: takes a state with messages, or a list of messages; returns the update."""
        calls, kind, asked, seen = self._read(state)
        with tool_state(seen):
            answers = await self._call_all(calls, asked, kind)
        return combine([item for answer in answers for item in answer], kind, self.messages_key)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None) -> Any:
        """Call the tools outside of a graph, as in a test.

        Args:
            input: a state with messages, a list of messages, or a list of tool calls.
            config: not used; for likeness with graphs.

        Returns:
            The update: a dict with the tool messages, or a list of them for a list of messages.

        Raises:
            ToolCallError: there is no message of a model.
        """
        return await self(input)

    def invoke(self, input: Any, config: RunnableConfig | None = None) -> Any:
        """`ainvoke` from plain code.

        Args:
            input: a state with messages, a list of messages, or a list of tool calls.
            config: not used; for likeness with graphs.

        Returns:
            The update: a dict with the tool messages, or a list of them for a list of messages.

        Raises:
            ToolCallError: there is no message of a model.
        """
        return run_blocking(lambda: self(input))

    def _read(self, state: Any) -> tuple[list[ToolCall], InputKind, Any, Any]:
        """The calls, the kind of the input, the message they come from if it is known, and what tools get as state."""
        if isinstance(state, dict) and state.get("__type") == "tool_call_with_context":
            inner = state["state"]
            return [state["tool_call"]], "calls", self._asking(inner, state["tool_call"]), inner
        if isinstance(state, list) and state and isinstance(state[-1], dict) and state[-1].get("type") == "tool_call":
            return list(state), "calls", None, {}
        for message in reversed(messages_in(state, self.messages_key)):
            asked: Any = coerce_message(message)
            if isinstance(asked, AIMessage) or asked.type in ("ai", "AIMessageChunk"):
                break
        else:
            raise ToolCallError(f"no message of a model is among the messages of {state!r}, so no tool is called")
        if isinstance(state, list):
            return list(asked.tool_calls), "list", asked, {self.messages_key: state}
        return list(asked.tool_calls), "dict", asked, state

    def _asking(self, state: Any, call: ToolCall) -> Any:
        """The message that a single call comes from, if the state has it."""
        try:
            messages = messages_in(state, self.messages_key)
        except ToolCallError:
            return None
        for message in reversed(messages):
            if any(c.get("id") == call.get("id") for c in getattr(message, "tool_calls", None) or ()):
                return message
        return None

    async def _call_all(self, calls: Sequence[ToolCall], asked: Any, kind: InputKind) -> list[list[Any]]:
        if len(calls) == 1:  # in the node's own task and slot
            return [await self._call_one(calls[0], asked, kind)]
        scope = maybe_scope()
        if not isinstance(scope, Attempt) or scope.task.run.thread_id != get_ident():
            return await _Parallel(self, calls, asked, kind, None).run()
        holder = slot_holder(scope, copy_context())
        holder.lend_slot()
        try:
            return await _Parallel(self, calls, asked, kind, scope).run()
        finally:
            await holder.regain_slot()  # noqa: ASYNC102 - a cancelled wait just gives up the slot

    async def _call_one(self, call: ToolCall, asked: Any, kind: InputKind) -> list[Any]:
        """The answer to one call, as a list of messages and `Command`s."""
        name = call["name"]
        tool = self._tools.get(name)
        if tool is None:
            known = ", ".join(self._tools) or "none"
            return [self._failed(call, f"Error: there is no tool named {name!r}. Available tools: {known}.", asked)]
        try:
            if isinstance(tool, Tool):
                config: RunnableConfig | None = {"tags": self.tags} if self.tags else None
                answer = await tool.ainvoke({**call, "type": "tool_call"}, config)
            else:
                answer = await call_foreign(tool, call, self._injections[name], self.tags)
            checked = check_answer(answer, call, kind, self.messages_key)
        except ParentCommand:  # no error: a graph in the tool goes on in the graph around this one
            raise
        except Exception as error:
            if not self._errors.tells(error):
                raise
            return [self._failed(call, self._errors.tell(error), asked)]
        return [of_the_family(item, asked) if _is_plain_answer(item, call) else item for item in checked]

    def _failed(self, call: ToolCall, content: Any, asked: Any) -> Any:
        message = ToolMessage(as_content(content), tool_call_id=str(call["id"]), name=call["name"], status="error")
        return of_the_family(message, asked)

    def __repr__(self) -> str:
        return f"ToolNode({', '.join(self._tools)})"


def _is_plain_answer(item: Any, call: ToolCall) -> bool:
    return isinstance(item, ToolMessage) and item.tool_call_id == call["id"]


class _Parallel:
    """Several calls at the same time.

    Args:
        node: whose calls they are.
        calls: at least none.
        asked: the message they come from.
        kind: of the node's input.
        attempt: the node's, if it runs in a graph on this loop.
    """

    def __init__(
        self, node: ToolNode, calls: Sequence[ToolCall], asked: Any, kind: InputKind, attempt: Attempt | None
    ) -> None:
        self._node = node
        self._calls = calls
        self._asked = asked
        self._kind: InputKind = kind
        self._attempt = attempt
        self._answers: list[list[Any]] = [[] for _ in calls]
        self._failures: list[tuple[str, BaseException]] = []
        self._scope: anyio.CancelScope

    async def run(self) -> list[list[Any]]:
        """Wait for all of them; the first error cancels the others."""
        slots: list[PartSlot] = []
        try:
            async with anyio.create_task_group() as group:
                self._scope = group.cancel_scope
                for index, call in enumerate(self._calls):
                    slot = None
                    if self._attempt is not None:
                        slot = PartSlot(self._attempt)
                        slots.append(slot)
                        await slot.take()
                    group.start_soon(self._one, index, slot, name=f"penstock tool {call['name']}")
        finally:
            for slot in slots:  # also of those that were cancelled before they began
                slot.give_back()
        if self._failures:
            self._fail()
        return self._answers

    async def _one(self, index: int, slot: PartSlot | None) -> None:
        call = self._calls[index]
        try:
            self._answers[index] = await self._driven(call, slot)
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: ASYNC103 - raised when all have ended
            self._failures.append((call["name"], error))
            self._scope.cancel()
        finally:
            if slot is not None:
                slot.give_back()

    async def _driven(self, call: ToolCall, slot: PartSlot | None) -> list[Any]:
        work = self._node._call_one
        if self._attempt is None or slot is None:
            return await work(call, self._asked, self._kind)
        context = copy_context()
        context.run(use_part_slot, slot)
        # As a node's own code is: a tool that writes without awaiting is held back while the reader is behind.
        answer: list[Any] = await drive(work(call, self._asked, self._kind), self._attempt.throttle, context)
        return answer

    def _fail(self) -> None:
        (_, first), *others = self._failures
        for name, other in others:
            add_note(first, f"Tool {name!r} failed as well: {other!r}")
        try:
            raise first
        finally:
            self._failures.clear()
            del first, others
