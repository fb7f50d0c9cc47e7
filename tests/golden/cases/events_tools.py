"""Events of tools and agents, and which events the filters let pass."""

from collections.abc import Iterator
from typing import Any

from ..harness import Run, call, event_case, events
from ..library import (
    START,
    ChatPromptTemplate,
    Command,
    Graph,
    MessagesState,
    RunnableConfig,
    RunnableLambda,
    StateGraph,
    StreamWriter,
    StrOutputParser,
    SystemMessage,
    ToolMessage,
    ToolNode,
    adispatch_custom_event,
    create_react_agent,
    get_stream_writer,
    tool,
)
from ..models import calls, chat_model
from ._events import LABELLED, adding, chain_of, one
from ._shared import EMPTY, XL

SUMMARY = ["Bee", " def", "ies physics", ";", " Barry", " cho", "oses outfit", " for", " graduation", " day", "."]
LONG_TEXT = (
    "\nNARRATOR:\n(Black screen with text; The sound of buzzing bees can be heard)\n"
    "According to all known laws of aviation, there is no way a bee should be able to fly.\n"
)


@event_case("a tool that runs prompt|model|parser|lambda, naive and with config", own=False)
def s004_tool_events() -> Iterator[Run]:
    model = chat_model(SUMMARY)
    prompt = ChatPromptTemplate.from_template(
        "You are an expert writer. Summarize the following text in 10 words or less:\n\n{long_text}"
    )

    def reverse(x: str) -> str:
        return x[::-1]

    chain = prompt | model | StrOutputParser() | reverse

    @tool
    async def special_summarization_tool(long_text: str) -> str:
        """A tool that summarizes input text using advanced techniques."""
        return str(await chain.ainvoke({"long_text": long_text}))

    @tool
    async def special_summarization_tool_with_config(long_text: str, config: RunnableConfig) -> str:
        """A tool that summarizes input text using advanced techniques."""
        return str(await chain.ainvoke({"long_text": long_text}, config=config))

    def ends(event: Any) -> bool:
        return bool(event["event"] == "on_chat_model_end")

    def tokens(event: Any) -> bool:
        return bool(event["event"] == "on_chat_model_stream")

    naive, with_config = special_summarization_tool, special_summarization_tool_with_config
    inputs = {"long_text": LONG_TEXT}
    yield call("direct_invoke", lambda: naive.ainvoke(inputs))
    yield events(naive, inputs, only=ends, name="naive_chat_model_end")
    yield events(with_config, inputs, only=ends, name="with_config_chat_model_end")
    yield events(with_config, inputs, only=tokens, name="with_config_chat_model_stream")
    yield events(naive, inputs, name="naive_all_events")
    yield events(with_config, inputs, name="with_config_all_events")


@tool
async def repeat(text: str, times: int = 2) -> str:
    """Repeat a text."""
    return text * times


@tool
def shout(text: str) -> str:
    """Say it loudly."""
    return text.upper()


@tool
async def broken(text: str) -> str:
    """Fail."""
    raise ValueError("tool boom")


@tool
def broken_plain(text: str) -> str:
    """Fail."""
    raise ValueError("tool boom")


def summing_up() -> Any:
    return ChatPromptTemplate.from_template("say {x}") | chat_model() | StrOutputParser()


@tool
async def summary(text: str) -> str:
    """Run a chain."""
    return str(await summing_up().ainvoke({"x": text}))


@tool
async def summary_with_config(text: str, config: RunnableConfig) -> str:
    """Run a chain that is given the config."""
    return str(await summing_up().ainvoke({"x": text}, config))


@tool
async def telling(text: str) -> str:
    """Dispatch an event, and write."""
    await adispatch_custom_event("told", {"text": text})
    return text


@tool
async def writing(text: str) -> str:
    """Write."""
    get_stream_writer()({"wrote": text})
    return text


def tool_call(name: str, id: str = "c1", **args: Any) -> Any:
    return {"type": "tool_call", "name": name, "args": args, "id": id}


@event_case("tools alone: inputs, outputs, errors")
def ev_tool_alone() -> Iterator[Run]:
    @tool(response_format="content_and_artifact")
    async def drawing(text: str) -> Any:
        """Draw."""
        return text, {"pixels": 1}

    @tool
    async def fields(text: str) -> Any:
        """Give a dict."""
        return {"text": text}

    @tool
    async def steering(text: str) -> Any:
        """Give a command."""
        return Command(update={"messages": [ToolMessage("done", tool_call_id="c1")]})

    yield events(repeat, {"text": "a"}, LABELLED, name="dict")
    yield events(shout, {"text": "a"}, name="sync")
    yield events(shout, "a", name="text")
    yield events(repeat, tool_call("repeat", text="a", times=3), name="call")
    yield events(repeat, {"text": "a"}, {"run_name": "called", "run_id": "given"}, name="run_name")
    yield events(broken, {"text": "a"}, LABELLED, name="error")
    yield events(broken_plain, {"text": "a"}, name="error.sync")
    yield events(broken, tool_call("broken", text="a"), name="error.call")
    yield events(broken, "a", name="error.text")
    yield events(repeat, {"wrong": 1}, name="error.arguments")
    for made in (drawing, fields):
        yield events(made, {"text": "a"}, name=f"{made.name}.dict")
        yield events(made, tool_call(made.name, text="a"), name=f"{made.name}.call")
    yield events(steering, tool_call("steering", text="a"), name="command.call")


@event_case("what runs in tools, and tools in what runs")
def ev_tool_inside() -> Iterator[Run]:
    graph = one(adding("n"))

    @tool
    async def outer(text: str) -> str:
        """Call a tool."""
        return str(await repeat.ainvoke({"text": text, "times": 3}))

    @tool
    def outer_plain(text: str) -> str:
        """Call a tool."""
        return str(shout.invoke({"text": text}))

    @tool
    async def running(text: str) -> str:
        """Run a graph."""
        return str((await graph.ainvoke({"x": text, "log": []}))["x"])

    @tool
    async def streaming(text: str) -> str:
        """Stream a chain."""
        return "".join([piece async for piece in summing_up().astream({"x": text})])

    async def calling(text: str) -> Any:
        return await repeat.ainvoke({"text": text})

    for made in (outer, outer_plain, summary, summary_with_config, streaming, running, telling):
        yield events(made, {"text": "a"}, LABELLED, name=made.name)
    yield events(RunnableLambda(calling), "a", LABELLED, name="in_a_function")
    yield events(RunnableLambda(lambda text: {"text": text}) | repeat | str.upper, "a", name="in_a_chain")


@event_case("tools that nodes call themselves")
def ev_tool_in_node() -> Iterator[Run]:
    async def by_dict(state: XL) -> Any:
        return {"log": [await repeat.ainvoke({"text": "a"})]}

    def plain(state: XL) -> Any:
        return {"log": [shout.invoke({"text": "a"})]}

    def plain_text(state: XL) -> Any:
        return {"log": [shout.invoke("a")]}

    async def by_call(state: XL) -> Any:
        return {"log": [(await repeat.ainvoke(tool_call("repeat", text="a"))).content]}

    async def with_config(state: XL, config: RunnableConfig) -> Any:
        return {"log": [await repeat.ainvoke({"text": "a"}, config)]}

    async def chain(state: XL) -> Any:
        return {"log": [await summary.ainvoke({"text": "a"})]}

    async def chain_with_config(state: XL) -> Any:
        return {"log": [await summary_with_config.ainvoke({"text": "a"})]}

    async def custom(state: XL) -> Any:
        return {"log": [await telling.ainvoke({"text": "a"})]}

    for node in (by_dict, plain, plain_text, by_call, with_config, chain, chain_with_config, custom):
        yield events(one(node), EMPTY, LABELLED, name=node.__name__)


def asking(*called: Any, tools: Any, **options: Any) -> Graph:
    """An agent whose model makes these calls, then answers."""
    answers = [calls(*called), ["do", "ne"]] if called else [["do", "ne"]]
    return create_react_agent(chat_model(*answers), tools, **options)


ASKED = {"messages": [("human", "hi")]}
REPEAT = ("repeat", '{"text": "a"}', "c1")


@event_case("agents with one tool or none")
def ev_agent() -> Iterator[Run]:
    def prompting(state: Any) -> Any:
        return [SystemMessage("be kind"), *state["messages"]]

    yield events(asking(tools=[repeat]), ASKED, name="no_call")
    yield events(asking(tools=[]), ASKED, name="no_tools")
    yield events(asking(REPEAT, tools=[repeat]), ASKED, LABELLED, name="tool")
    yield events(asking(("shout", '{"text": "a"}', "c1"), tools=[shout]), ASKED, name="sync_tool")
    yield events(asking(tools=[], prompt="be kind", name="kind"), ASKED, LABELLED, name="prompt")
    yield events(asking(tools=[], prompt=prompting), ASKED, name="prompt_function")
    yield events(asking(("summary", '{"text": "a"}', "c1"), tools=[summary]), ASKED, name="chain")
    given = ("summary_with_config", '{"text": "a"}', "c1")
    yield events(asking(given, tools=[summary_with_config]), ASKED, name="chain.with_config")
    yield events(asking(("telling", '{"text": "a"}', "c1"), tools=[telling]), ASKED, name="custom")
    yield events(asking(("writing", '{"text": "a"}', "c1"), tools=[writing]), ASKED, name="writer")
    yield events(asking(REPEAT, tools=[repeat], version="v1"), ASKED, name="v1")
    whole = create_react_agent(chat_model(calls(REPEAT), ["done"], streaming=False), [repeat])
    yield events(whole, ASKED, name="whole")
    yield events(asking(REPEAT, tools=[repeat]), ASKED, stream_mode=["updates", "values"], name="list")
    nested = StateGraph(MessagesState).add_node("kid", asking(tools=[], name="kid")).add_edge(START, "kid").compile()
    yield events(nested, ASKED, name="node")


@event_case("hooks of agents")
def ev_agent_hooks() -> Iterator[Run]:
    def before(state: Any) -> Any:
        return {"llm_input_messages": state["messages"][-1:]}

    def after(state: Any) -> Any:
        return {}

    yield events(asking(tools=[repeat], pre_model_hook=before, post_model_hook=after), ASKED, name="both")


@event_case("tools that fail in agents and tool nodes")
def ev_agent_errors() -> Iterator[Run]:
    failing = ("broken", '{"text": "a"}', "c1")
    message = {"messages": [chat_model(calls(failing)).invoke("hi")]}

    def of_tools(**options: Any) -> Graph:
        return chain_of(("tools", ToolNode([broken], **options)), state=MessagesState)

    yield events(asking(failing, tools=[broken]), ASKED, name="raised")
    yield events(asking(failing, tools=ToolNode([broken], handle_tool_errors=True)), ASKED, name="handled")
    yield events(asking(("unknown", "{}", "c1"), tools=[repeat]), ASKED, name="unknown")
    yield events(of_tools(handle_tool_errors=False), message, name="node.raised")
    yield events(of_tools(handle_tool_errors="sorry"), message, name="node.handled")


@event_case("several tools at once", loose=True)
def ev_agent_at_once() -> Iterator[Run]:
    twice = (REPEAT, ("repeat", '{"text": "b"}', "c2"))
    yield events(asking(*twice, tools=[repeat]), ASKED, name="agent")
    message = {"messages": [chat_model(calls(REPEAT, ("shout", '{"text": "b"}', "c2"))).invoke("hi")]}
    node = chain_of(("tools", ToolNode([repeat, shout])), state=MessagesState)
    yield events(node, message, LABELLED, name="node")


FILTERS: dict[str, dict[str, Any]] = {
    "all": {},
    "names": {"include_names": ["n"]},
    "names.several": {"include_names": ["a", "named"]},
    "names.none": {"include_names": []},
    "names.unknown": {"include_names": ["zzz"]},
    "types": {"include_types": ["chat_model"]},
    "types.chain": {"include_types": ["chain"]},
    "types.custom": {"include_types": ["ping"]},
    "types.unknown": {"include_types": ["custom"]},
    "tags": {"include_tags": ["mt"]},
    "tags.inherited": {"include_tags": ["t"]},
    "tags.step": {"include_tags": ["graph:step:1"]},
    "not_names": {"exclude_names": ["a"]},
    "not_names.root": {"exclude_names": ["flow"]},
    "not_types": {"exclude_types": ["chain"]},
    "not_types.custom": {"exclude_types": ["ping"]},
    "not_tags": {"exclude_tags": ["mt"]},
    "not_tags.inherited": {"exclude_tags": ["t"]},
    "either": {"include_names": ["n"], "include_types": ["chat_model"]},
    "both_ways": {"include_types": ["chain"], "exclude_names": ["flow"]},
    "contradicting": {"include_names": ["a"], "exclude_names": ["a"]},
    "empty_and_types": {"include_names": [], "include_types": ["chat_model"]},
}


@event_case("which events of a graph pass")
def ev_filters_graph() -> Iterator[Run]:
    async def node(state: XL, writer: StreamWriter) -> Any:
        await adispatch_custom_event("ping", {"n": 1})
        model = chat_model(["a"]).with_config(run_name="named", tags=["mt"])
        return {"log": [(await model.ainvoke("hi")).content]}

    for name, filters in FILTERS.items():
        graph = chain_of(("a", adding("a")), ("n", node), name="flow")
        yield events(graph, EMPTY, {"tags": ["t"]}, **filters, name=name)


CHAIN_FILTERS: dict[str, dict[str, Any]] = {
    "all": {},
    "prompt": {"include_types": ["prompt"]},
    "parser": {"include_types": ["parser"]},
    "model": {"include_types": ["chat_model"]},
    "function": {"include_names": ["reverse"]},
    "step": {"include_tags": ["seq:step:3"]},
    "without": {"exclude_types": ["prompt", "parser"]},
    "llm": {"include_types": ["llm"]},
}


@event_case("which events of a chain and of a tool pass")
def ev_filters_chain() -> Iterator[Run]:
    def reverse(text: str) -> str:
        return text[::-1]

    for name, filters in CHAIN_FILTERS.items():
        yield events(summing_up() | reverse, {"x": "1"}, **filters, name=name)
    for name, filters in {"tool.all": {}, "tool.types": {"include_types": ["tool"]}}.items():
        yield events(telling, {"text": "a"}, **filters, name=name)
    for name, filters in {"error.all": {}, "error.types": {"include_types": ["tool"]}}.items():
        yield events(broken, {"text": "a"}, **filters, name=name)
    yield events(broken, {"text": "a"}, include_names=["zzz"], name="error.none")
