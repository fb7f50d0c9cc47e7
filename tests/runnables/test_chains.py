"""Composing, calling, and what a chain makes of its steps."""

from __future__ import annotations

import operator
import threading
from functools import partial
from typing import Any, TypedDict

import anyio
import pytest

from penstock.errors import NotAStepError
from penstock.graph import START, MessagesState, StateGraph
from penstock.messages import AIMessage
from penstock.runnables import (
    ChatPromptTemplate,
    Runnable,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
    RunnableSequence,
    StrOutputParser,
)
from penstock.testing import ScriptedChatModel
from penstock.tools import tool

from ._steps import exclaim, upper

PROMPT = ChatPromptTemplate.from_template("Tell me about {topic}")


class State(TypedDict):
    n: int


def counting_graph() -> Any:
    builder = StateGraph(State)
    builder.add_node("one", lambda state: {"n": state["n"] + 1})
    builder.add_node("two", lambda state: {"n": state["n"] * 10})
    builder.add_edge(START, "one").add_edge("one", "two")
    return builder.compile()


async def test_prompt_model_parser_function() -> None:
    model = ScriptedChatModel(["so it is"])
    chain = PROMPT | model | StrOutputParser() | str.title
    assert await chain.ainvoke({"topic": "cats"}) == "So It Is"
    assert model.calls[0].messages[0].text == "Tell me about cats"


async def test_kinds_of_steps() -> None:
    async def double(text: str) -> str:
        return text * 2

    @tool
    def shout(text: str) -> str:
        """Say it louder."""
        return text.upper()

    class Callable_:
        def __call__(self, text: str) -> str:
            return f"<{text}>"

    chain = RunnableLambda(double) | shout | Callable_() | partial(str.replace, "a-b", "-") | upper | exclaim
    assert await RunnableLambda(double).ainvoke("ab") == "abab"
    assert await (RunnableLambda(double) | shout | Callable_() | upper | exclaim).ainvoke("ab") == "<ABAB>!"
    assert len(chain.steps) == 6  # type: ignore[attr-defined]


async def test_a_chain_of_chains_is_flat_and_nothing_changes() -> None:
    first = RunnableLambda(str.strip) | str.upper
    both = first | (RunnableLambda(len) | str)
    assert [step.name for step in both.steps] == ["strip", "upper", "len", "str"]  # type: ignore[attr-defined]
    assert len(first.steps) == 2  # type: ignore[attr-defined]
    assert await both.ainvoke(" abc ") == "3"


async def test_what_stands_on_the_left() -> None:
    assert await ({"topic": lambda text: text} | PROMPT | (lambda value: value.messages[0].text)).ainvoke("dogs") == (
        "Tell me about dogs"
    )
    assert await (str.strip | RunnableLambda(len)).ainvoke(" a ") == 1
    assert (await (RunnablePassthrough() | ScriptedChatModel(["yes"])).ainvoke("Well?")).text == "yes"
    assert await (ScriptedChatModel(["yes"]) | operator.attrgetter("text")).ainvoke("Well?") == "yes"


async def test_parallel_and_assign() -> None:
    chain = RunnableParallel(a=len, b={"c": str.upper}) | RunnablePassthrough.assign(
        sum=lambda d: d["a"] + 1, a=operator.itemgetter("b")
    )
    assert await chain.ainvoke("xy") == {"a": {"c": "XY"}, "b": {"c": "XY"}, "sum": 3}


async def test_passthrough_tells_a_function() -> None:
    heard: list[str] = []
    assert await (RunnablePassthrough(heard.append) | str.upper).ainvoke("a") == "A"
    assert [p async for p in (RunnableLambda(upper) | RunnablePassthrough(heard.append)).astream("b")] == ["B"]
    assert heard == ["a", "B"]


async def test_a_function_that_returns_a_chain_branches() -> None:
    long = ScriptedChatModel(["a long answer"], cycle=True) | StrOutputParser()
    route = RunnableLambda(lambda text: long if len(text) > 3 else "short")
    assert await route.ainvoke("hi") == "short"
    assert await route.ainvoke("hello") == "a long answer"
    assert [p async for p in route.astream("hello")] == ["a", " long", " answer", ""]


@pytest.mark.parametrize(
    ("compose", "text"),
    [
        (lambda: PROMPT | 3, r"a chain got 3 \(int\) as a step; expected a prompt, a model"),
        (lambda: "text" | PROMPT, r"a chain got 'text' \(str\)"),
        (lambda: PROMPT | StateGraph(State), r"call its compile\(\) first"),
        (lambda: PROMPT | ScriptedChatModel, "this is a class: make an instance"),
        (lambda: PROMPT | {"a": 1}, r"the key 'a' got 1 \(int\)"),
        (lambda: RunnableLambda(5), r"RunnableLambda got 5 \(int\)"),  # type: ignore[arg-type]
        (lambda: RunnableLambda(PROMPT), "expected a function"),
        (lambda: StrOutputParser().with_fallbacks([None]), r"with_fallbacks\(\) got None"),
    ],
)
def test_what_is_no_step_is_named(compose: Any, text: str) -> None:
    with pytest.raises(NotAStepError, match=text) as caught:
        compose()
    assert isinstance(caught.value, TypeError)


def test_nothing_is_no_chain() -> None:
    with pytest.raises(ValueError, match="at least one step"):
        RunnableSequence()
    with pytest.raises(ValueError, match="at least one step"):
        RunnableParallel({})


async def test_plain_functions_run_in_threads_and_async_ones_do_not() -> None:
    here = threading.get_ident()

    async def async_thread(_: Any) -> int:
        return threading.get_ident()

    assert await RunnableLambda(lambda _: threading.get_ident()).ainvoke(None) != here
    assert await RunnableLambda(async_thread).ainvoke(None) == here
    assert await RunnableLambda(lambda _: async_thread(_)).ainvoke(None) == here


async def test_context_variables_reach_functions_in_threads() -> None:
    from contextvars import ContextVar

    var: ContextVar[str] = ContextVar("var", default="no")
    var.set("yes")
    assert await RunnableLambda(lambda _: var.get()).ainvoke(None) == "yes"

    def generate(pieces: Any) -> Any:
        for _ in pieces:
            yield var.get()

    assert [p async for p in RunnableLambda(generate).astream(None)] == ["yes"]


async def test_stop_iteration_of_a_function_is_an_error() -> None:
    def stop(_: Any) -> None:
        raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        await RunnableLambda(stop).ainvoke(None)


async def test_parallel_steps_run_together_and_the_first_error_is_raised_as_itself() -> None:
    events: list[str] = []
    waiting = 0
    both = anyio.Event()

    async def waits(_: Any) -> None:
        nonlocal waiting
        waiting += 1
        try:
            if waiting % 2 == 0:
                both.set()
            await anyio.sleep_forever()
        finally:
            events.append("ended")

    async def fails(_: Any) -> None:
        await both.wait()
        raise KeyError("first")

    chain = RunnableParallel(a=waits, b=fails, c=waits)
    with pytest.raises(KeyError, match="first"):
        await chain.ainvoke(None)
    assert events == ["ended", "ended"]
    events.clear()
    both = anyio.Event()
    with pytest.raises(KeyError, match="first"):
        async for _ in chain.astream(None):
            pass
    assert events == ["ended", "ended"]


@pytest.mark.virtual_time
async def test_batches() -> None:
    running, most = 0, 0

    async def work(n: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(1)
        running -= 1
        if n == 3:
            raise ValueError("three")
        return n * 2

    step = RunnableLambda(work)
    assert await step.abatch([1, 2, 4, 5]) == [2, 4, 8, 10]
    assert most == 4
    most = 0
    assert await step.abatch([1, 2, 4, 5], max_concurrency=2) == [2, 4, 8, 10]
    assert most == 2
    results = await step.abatch([2, 3], {"max_concurrency": 1}, return_exceptions=True)
    assert (results[0], repr(results[1])) == (4, "ValueError('three')")
    with pytest.raises(ValueError, match="three"):
        await step.abatch([1, 3, 5])
    with pytest.raises(ValueError, match="2 configs for 1 inputs"):
        await step.abatch([1], [{}, {}])
    assert await step.abatch([]) == []


@pytest.mark.virtual_time
async def test_retry_and_fallbacks() -> None:
    calls: list[str] = []

    async def shaky(text: str) -> str:
        calls.append(text)
        if len(calls) % 3:
            raise ConnectionError("lost")
        return text

    start = anyio.current_time()
    assert await RunnableLambda(shaky).with_retry().ainvoke("a") == "a"
    assert 3 <= anyio.current_time() - start <= 5
    again = RunnableLambda(shaky).with_retry(wait_exponential_jitter=False, stop_after_attempt=2)
    with pytest.raises(ConnectionError):
        await again.ainvoke("b")
    assert await again.ainvoke("b") == "b"
    with pytest.raises(ConnectionError):
        await RunnableLambda(shaky).with_retry(retry_if_exception_type=(ValueError,)).ainvoke("c")
    calls.clear()
    fallback = RunnableLambda(shaky).with_fallbacks([str.upper])
    assert await fallback.ainvoke("d") == "D"
    assert [p async for p in fallback.astream("e")] == ["E"]
    with pytest.raises(ValueError, match="at least 1"):
        fallback.with_retry(stop_after_attempt=0)


async def test_config_reaches_every_step_and_adds_up() -> None:
    seen: list[Any] = []

    def look(value: Any, config: Any) -> Any:
        seen.append((sorted(config.get("tags", [])), config.get("metadata", {}), config.get("run_name")))
        return value

    chain = (RunnableLambda(look).with_config(tags=["inner"]) | {"a": look}).with_config(
        {"metadata": {"who": "chain"}}, tags=["chain"], run_name="mine"
    )
    assert chain.name == "mine"
    await chain.ainvoke(1, {"tags": ["call"], "metadata": {"n": 1}})
    metadata = {"who": "chain", "n": 1}
    assert seen == [(["call", "chain", "inner"], metadata, None), (["call", "chain"], metadata, None)]


async def test_a_wrong_config_is_refused_at_the_door() -> None:
    with pytest.raises(ValueError, match="did you mean 'metadata'"):
        await PROMPT.ainvoke("x", {"metdata": {}})
    with pytest.raises(ValueError, match="did you mean 'metadata'"):
        PROMPT.astream("x", {"metdata": {}})
    with pytest.raises(TypeError, match="tags"):
        PROMPT.with_config(tags="one")


async def test_a_graph_in_a_chain() -> None:
    chain = RunnableLambda(lambda n: {"n": n}) | counting_graph() | operator.itemgetter("n")
    assert await chain.ainvoke(1) == 20
    assert [p async for p in chain.astream(1)] == [20]
    ends = RunnableLambda(lambda n: {"n": n}) | counting_graph()
    assert [p async for p in ends.astream(1)] == [{"n": 1}, {"n": 2}, {"n": 20}]


async def test_a_chain_is_a_node_and_its_tokens_are_shown() -> None:
    model = ScriptedChatModel(["one two"], cycle=True, tags=["model"])
    chain = (lambda state: state["messages"]) | model | (lambda answer: {"messages": [answer]})
    builder = StateGraph(MessagesState).add_node(chain.with_config(run_name="talk", tags=["chain"]))
    graph = builder.add_edge(START, "talk").compile()
    shown = [
        (chunk.text, metadata["langgraph_node"], sorted(metadata["tags"]))
        async for chunk, metadata in graph.astream({"messages": ["Hi"]}, stream_mode="messages")
    ]
    assert shown == [(text, "talk", ["chain", "model"]) for text in ("one", " two", "")]


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_chain_called_in_a_node(by_hand: bool, streamed: bool) -> None:
    chain = ScriptedChatModel(["one two"]) | StrOutputParser() | upper

    async def talk(state: MessagesState, config: Any) -> Any:
        given = {**config, "tags": [*config.get("tags", []), "extra"]} if by_hand else None
        if streamed:
            text = "".join([piece async for piece in chain.astream("Hi", given)])
        else:
            text = await chain.ainvoke("Hi", given)
        return {"messages": [("ai", text)]}

    graph = StateGraph(MessagesState).add_node(talk).add_edge(START, "talk").compile()
    shown = [
        (chunk.text, metadata.get("tags"))
        async for chunk, metadata in graph.astream({"messages": []}, {"tags": ["run"]}, stream_mode="messages")
    ]
    tags = ["run", "extra"] if by_hand else ["run"]
    assert shown == [(text, tags) for text in ("one", " two", "")]


async def test_a_chain_of_a_chat_model_with_structured_output() -> None:
    call = {"name": "City", "args": {"name": "Rome"}}
    schema = {"title": "City", "type": "object", "properties": {"name": {"type": "string"}}}
    chain = PROMPT | ScriptedChatModel([{"tool_calls": [call]}]).with_structured_output(schema) | (lambda c: c["name"])
    assert await chain.ainvoke("cities") == "Rome"


def test_sync_calls() -> None:
    chain = PROMPT | ScriptedChatModel(["a b"], cycle=True) | {"x": StrOutputParser() | upper, "y": exclaim_text}
    assert chain.invoke("cats") == {"x": "A B", "y": "a b!"}
    assert chain.batch(["cats", "dogs"], max_concurrency=1) == [chain.invoke("cats")] * 2
    pieces = list(chain.stream("cats"))
    assert "".join(piece.get("x", "") for piece in pieces) == "A B"
    with chain.stream("cats") as stream:
        next(stream)


def exclaim_text(message: AIMessage) -> str:
    assert type(message) is AIMessage
    return message.text + "!"


def test_a_chain_can_be_printed() -> None:
    chain = PROMPT | {"a": StrOutputParser()} | RunnablePassthrough.assign(b=len)
    assert repr(chain) == (
        "ChatPromptTemplate(topic) | {'a': StrOutputParser()} | RunnablePassthrough.assign({'b': RunnableLambda(len)})"
    )
    assert isinstance(chain, Runnable)
