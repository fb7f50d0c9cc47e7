"""An agent that lets a model call tools until it has an answer.

The graph: `agent` asks the model; while its answer calls tools, `tools` calls them and leads back to `agent`.  With
`version="v2"` each call is a task of its own, so answers and errors are told as each call ends; with "v1" one task
makes all the calls of an answer.  Hooks and a structured answer are nodes of their own around that loop.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field, is_dataclass, make_dataclass, replace
from typing import Annotated, Any, Literal, get_type_hints

import typing_extensions
from anyio import to_thread
from typing_extensions import NotRequired, TypedDict

from ..config import RunnableConfig, maybe_scope
from ..constants import END
from ..errors import AgentError
from ..graph import CompiledStateGraph, StateGraph
from ..graph._callable import read_function
from ..managed import RemainingSteps
from ..messages import AIMessage, AnyMessage, SystemMessage, add_messages
from ..models import ChatModel, init_chat_model
from ..models._tools import tool_names
from ..runtime import Runtime
from ..streams._backend import on_trio
from ..tools import ForeignTool, Tool, ToolLike
from ..types import Send
from ._tool_node import ToolNode

Hook = Callable[..., Any]

AGENT = "agent"
TOOLS = "tools"
BEFORE = "pre_model_hook"
AFTER = "post_model_hook"
STRUCTURED = "generate_structured_response"

_GIVE_UP = "Sorry, need more steps to process this request."


class AgentState(TypedDict):
    """What an agent remembers, unless it is given a schema of its own.

    Attributes:
        messages: the conversation.
        remaining_steps: supersteps left before the recursion limit; the agent gives up in words before it is reached.
        structured_response: the answer as an object, if the agent was asked for one.
    """

    messages: Annotated[list[AnyMessage], add_messages]
    remaining_steps: NotRequired[RemainingSteps]
    structured_response: NotRequired[Any]


def create_react_agent(
    model: Any,
    tools: Sequence[ToolLike | dict[str, Any]] | ToolNode,
    *,
    prompt: Any = None,
    response_format: Any = None,
    pre_model_hook: Hook | None = None,
    post_model_hook: Hook | None = None,
    state_schema: Any = None,
    context_schema: Any = None,
    version: Literal["v1", "v2"] = "v2",
    name: str | None = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """An agent: a graph in which a model calls tools until it has an answer.

    Its nodes are `agent` and `tools`, and as asked for `pre_model_hook`, `post_model_hook` and
    `generate_structured_response`.

    Args:
        model: a chat model, ours or LangChain's, with or without the tools bound; a name such as
            `"openai:gpt-4o-mini"`; or a function of `(state, runtime)` that returns a model, async or not, called
            before each question. What such a function returns must have its tools bound.
        tools: tools or functions, dicts for tools that the provider runs itself, or a `ToolNode`.
        prompt: what the model is told first: a text, a system message, or a function of the state that returns all the
            messages the model gets; it may take `config`, `runtime` and `writer` as well, as nodes do.
        response_format: a schema; after the last answer the model is asked for an object of it, which becomes
            `structured_response`. Or a pair of a system prompt for that question and the schema.
        pre_model_hook: a node before each question. It may return `messages`, or `llm_input_messages` for what the
            model is to see instead of them.
        post_model_hook: a node after each answer.
        state_schema: a schema with `messages` and `remaining_steps`, and with `structured_response` if
            `response_format` is given.
        context_schema: what the run's context looks like.
        version: `"v2"` for a task per tool call, `"v1"` for one task per answer.
        name: the name of the graph, and of the model's messages.

    Raises:
        AgentError: an argument is not as described.
        ToolDefinitionError: something among the tools is none.

    Example:
        ```python
        from penstock.prebuilt import create_react_agent
        from penstock.testing import ScriptedChatModel

        def weather(city: str) -> str:
            \"\"\"Tell the weather of a city.\"\"\"
            return f"It's always sunny in {city}"

        question = {"tool_calls": [{"name": "weather", "args": {"city": "Rome"}}]}
        model = ScriptedChatModel([question, "Sunny, as always."])
        agent = create_react_agent(model, [weather])
        steps = list(agent.stream({"messages": "How is the weather in Rome?"}))
        assert [name for step in steps for name in step] == ["agent", "tools", "agent"]
        assert steps[-1]["agent"]["messages"][0].content == "Sunny, as always."
        ```
    """
    if version not in ("v1", "v2"):
        raise AgentError(f"version must be 'v1' or 'v2', got {version!r}")
    node = tools if isinstance(tools, ToolNode) else ToolNode([t for t in tools if not isinstance(t, dict)])
    provided = [] if isinstance(tools, ToolNode) else [t for t in tools if isinstance(t, dict)]
    schema = _checked_schema(state_schema, response_format)
    _check_prompt(prompt)
    agent = _Agent(
        model=_Model(model, [*node.tools_by_name.values(), *provided]),
        node=node,
        prompt=prompt,
        response_format=response_format,
        version=version,
        name=name,
    )
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(schema, context_schema)
    seen = schema if pre_model_hook is None else _with_model_input(schema)
    builder.add_node(AGENT, agent.ask, input_schema=seen)
    entry = AGENT
    if pre_model_hook is not None:
        entry = BEFORE
        builder.add_node(BEFORE, pre_model_hook).add_edge(BEFORE, AGENT)
    builder.set_entry_point(entry)
    if response_format is not None:
        builder.add_node(STRUCTURED, agent.ask_for_object).add_edge(STRUCTURED, END)
    agent.connect(builder, entry, post_model_hook)
    graph = builder.compile(name=name)
    return CompiledStateGraph(replace(graph.program, is_agent=True), context_schema)


class _Agent:
    """The nodes and routers of an agent."""

    def __init__(
        self,
        *,
        model: _Model,
        node: ToolNode,
        prompt: Any,
        response_format: Any,
        version: str,
        name: str | None,
    ) -> None:
        self._model = model
        self._node = node
        self._prompt = prompt
        self._call_prompt = read_function(prompt, "prompt").body if _is_function(prompt) else None
        self._format = response_format
        self._version = version
        self._name = name
        self._last = END if response_format is None else STRUCTURED
        self._direct = {t.name for t in node.tools_by_name.values() if getattr(t, "return_direct", False)}

    def connect(self, builder: StateGraph[Any, Any, Any, Any], entry: str, after: Hook | None) -> None:
        """Add the edges behind the model's answer."""
        if after is not None:
            builder.add_node(AFTER, after).add_edge(AGENT, AFTER)
        answered = AGENT if after is None else AFTER
        if not self._node.tools_by_name:
            builder.add_edge(answered, self._last)
            return
        builder.add_node(TOOLS, self._node)
        if after is None:
            builder.add_conditional_edges(AGENT, self.should_continue, [TOOLS, self._last])
        else:
            router = self._after_hook(entry)
            builder.add_conditional_edges(AFTER, router, list(dict.fromkeys([entry, TOOLS, self._last])))
        if self._direct:
            builder.add_conditional_edges(TOOLS, self._after_tools(entry), [entry, END])
        else:
            builder.add_edge(TOOLS, entry)

    # ---------------------------------------------------------------- nodes

    async def ask(self, state: Any, runtime: Runtime[Any], config: RunnableConfig) -> Any:
        """Ask the model."""
        messages = _get(state, "llm_input_messages") or _get(state, "messages")
        if not messages and self._prompt is None:
            raise AgentError(f"the agent has no messages to show its model; its state is {state!r}")
        messages = messages or []
        _check_history(messages)
        model = await self._model.get(state, runtime)
        answer = await _call(model, await self._prompted(state, messages), config)
        if self._name is not None:
            answer = answer.model_copy(update={"name": self._name})
        if self._gives_up(state, answer):
            answer = AIMessage(_GIVE_UP, id=answer.id)
        return {"messages": [answer]}

    async def ask_for_object(self, state: Any, runtime: Runtime[Any], config: RunnableConfig) -> Any:
        """Ask the model for its answer as an object."""
        messages, schema = list(_get(state, "messages")), self._format
        if isinstance(schema, tuple):
            system, schema = schema
            messages = [SystemMessage(system), *messages]
        model = await self._model.get(state, runtime, bound=False)
        return {"structured_response": await _call(model.with_structured_output(schema), messages, config)}

    async def _prompted(self, state: Any, messages: Sequence[Any]) -> Any:
        prompt = self._prompt
        if prompt is None:
            return list(messages)
        if isinstance(prompt, str):
            return [SystemMessage(prompt), *messages]
        if getattr(prompt, "type", None) == "system":
            return [prompt, *messages]
        seen = _with(state, messages)
        made = prompt.invoke(seen) if self._call_prompt is None else self._call_prompt(seen, maybe_scope())
        made = await made if inspect.isawaitable(made) else made
        return made.to_messages() if hasattr(made, "to_messages") else made

    def _gives_up(self, state: Any, answer: Any) -> bool:
        calls = getattr(answer, "tool_calls", None)
        left = _get(state, "remaining_steps")
        if left is None or not calls:
            return False
        return bool(left < (1 if all(call["name"] in self._direct for call in calls) else 2))

    # ---------------------------------------------------------------- routers

    # Their names show in events, and are LangGraph's.

    def should_continue(self, state: Any) -> Any:
        calls = getattr(_get(state, "messages")[-1], "tool_calls", None)
        if not calls:
            return self._last
        return TOOLS if self._version == "v1" else _send(calls, state)

    def _after_hook(self, entry: str) -> Callable[[Any], Any]:
        def post_model_hook_router(state: Any) -> Any:
            messages = _get(state, "messages")
            done = {m.tool_call_id for m in messages if m.type == "tool"}
            asked = next((m for m in reversed(messages) if m.type == "ai"), None)
            if calls := [call for call in getattr(asked, "tool_calls", ()) if call["id"] not in done]:
                return _send(calls, state)
            return entry if messages[-1].type == "tool" else self._last

        return post_model_hook_router

    def _after_tools(self, entry: str) -> Callable[[Any], str]:
        def route_tool_responses(state: Any) -> str:
            for message in reversed(_get(state, "messages")):
                if message.type == "tool":
                    if message.name in self._direct:
                        return END
                    continue
                # With a task per call, the one that ends the run may have been another task's.
                calls = getattr(message, "tool_calls", ())
                return END if any(call["name"] in self._direct for call in calls) else entry
            return entry

        return route_tool_responses


class _Model:
    """The model of an agent, or the function that chooses it."""

    def __init__(self, model: Any, tools: Sequence[Tool | ForeignTool | dict[str, Any]]) -> None:
        self._choose: Callable[[Any, Any], Any] | None = None
        if isinstance(model, str):
            model = init_chat_model(model)
        elif not hasattr(model, "ainvoke"):
            if not callable(model):
                raise AgentError(
                    f"model must be a chat model, a name like 'openai:gpt-4o-mini', or a function that returns a "
                    f"model; got {model!r}"
                )
            self._choose = model
            return
        self._plain = model
        bound = _bound_tools(model)
        if bound:
            _check_bound(bound, tools)
        self._bound = model if bound or not tools else model.bind_tools(_for_binding(model, tools))

    async def get(self, state: Any, runtime: Runtime[Any], *, bound: bool = True) -> Any:
        """The model to ask now."""
        if self._choose is None:
            return self._bound if bound else self._plain
        model = self._choose(state, runtime)
        model = await model if inspect.isawaitable(model) else model
        # LangChain's binding wraps the model that can be asked for an object.
        return model if bound else getattr(model, "bound", model)


def _for_binding(model: Any, tools: Sequence[Any]) -> list[Any]:
    """The tools as a model of either kind takes them: each other's tools as the JSON schemas they are."""
    ours = isinstance(model, ChatModel)
    return [t if ours or not isinstance(t, Tool) else _described(t) for t in tools]


def _described(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.args_schema}
    return {"type": "function", "function": function}


def _check_prompt(prompt: Any) -> None:
    told = prompt is None or isinstance(prompt, str) or getattr(prompt, "type", None) == "system"
    if not (told or callable(prompt) or hasattr(prompt, "invoke")):
        raise AgentError(
            f"prompt must be a text, a system message, or a function of the state that returns the messages the model "
            f"gets; got {prompt!r}"
        )


def _is_function(prompt: Any) -> bool:
    """Whether a prompt is a function; LangChain's objects, some of which can be called, have a method for it."""
    return callable(prompt) and not hasattr(prompt, "invoke")


def _bound_tools(model: Any) -> Sequence[Any]:
    """The tools that are bound already: by our `bind_tools`, or by LangChain's."""
    options = model.bound_options if isinstance(model, ChatModel) else getattr(model, "kwargs", None)
    return list(options.get("tools") or ()) if isinstance(options, Mapping) else []


def _check_bound(bound: Sequence[Any], tools: Sequence[Any]) -> None:
    """A model that knows other tools than the agent has would call what is not there, or never call what is."""
    if not all(isinstance(each, Mapping) and ("type" in each or "name" in each) for each in bound):
        return  # in a form that only the provider knows
    told = set(tool_names(bound))
    if missing := [each.name for each in tools if not isinstance(each, dict) and each.name not in told]:
        raise AgentError(
            f"the model has the tools {', '.join(map(repr, sorted(told)))} bound, but not {missing[0]!r}, which the "
            "agent is given; bind all of them, or leave binding to the agent"
        )


async def _call(model: Any, messages: Any, config: RunnableConfig) -> Any:
    """Ask a model, in a worker thread where a foreign one cannot run its async interface."""
    if on_trio() and not isinstance(model, ChatModel):
        return await to_thread.run_sync(model.invoke, messages, config)
    answer: Awaitable[Any] = model.ainvoke(messages, config)
    return await answer


def _send(calls: Sequence[Any], state: Any) -> list[Send]:
    return [Send(TOOLS, {"__type": "tool_call_with_context", "tool_call": call, "state": state}) for call in calls]


def _get(state: Any, key: str) -> Any:
    return state.get(key) if isinstance(state, Mapping) else getattr(state, key, None)


def _with(state: Any, messages: Sequence[Any]) -> Any:
    """The state as a prompt function sees it: with the messages the model is to get."""
    if isinstance(state, Mapping):
        return {**state, "messages": list(messages)}
    if _get(state, "messages") is messages:
        return state
    state.messages = list(messages)
    return state


def _check_history(messages: Sequence[Any]) -> None:
    """Providers refuse a history in which a tool call has no answer, in words that help nobody."""
    calls = [call for m in messages for call in getattr(m, "tool_calls", None) or ()]
    answered = {getattr(m, "tool_call_id", None) for m in messages}
    if open_calls := [call for call in calls if call["id"] not in answered]:
        raise AgentError(
            f"the messages have tool calls without an answer: {open_calls[:3]!r}; each needs a ToolMessage with its "
            "tool_call_id before the model is asked again"
        )


def _checked_schema(schema: Any, response_format: Any) -> Any:
    if schema is None:
        return AgentState
    needed = {"messages", "remaining_steps"} | ({"structured_response"} if response_format is not None else set())
    if missing := sorted(needed - set(get_type_hints(schema))):
        raise AgentError(f"state_schema {schema!r} lacks {', '.join(missing)}, which an agent needs")
    return schema


def _with_model_input(schema: Any) -> Any:
    """The schema with `llm_input_messages`, by which a hook tells what the model is to see."""
    key = "llm_input_messages"
    if is_dataclass(schema):
        bases: Any = (schema,)
        return make_dataclass("AgentInput", [(key, Any, field(default=None))], bases=bases, kw_only=True)
    if hasattr(schema, "model_fields"):
        fields = {"__annotations__": {key: Any}, key: None, "__module__": schema.__module__}
        return type(schema)("AgentInput", (schema,), fields)
    hints = get_type_hints(schema, include_extras=True)
    make: Any = typing_extensions.TypedDict
    return make("AgentInput", {**hints, key: Any})
