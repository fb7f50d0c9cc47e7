"""Events of chains: prompts, models, parsers, functions, dicts, and chains inside of functions."""

from collections.abc import Iterator
from typing import Any

from ..harness import Run, astream, call, event_case, events, tape
from ..library import (
    AIMessage,
    ChatPromptTemplate,
    JsonOutputParser,
    MessagesPlaceholder,
    RunnableConfig,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
    StrOutputParser,
    adispatch_custom_event,
    dispatch_custom_event,
    generator_step,
    tool,
)
from ..models import chat_model
from ._events import LABELLED, two

SAY = {"x": "1"}


def prompt() -> Any:
    return ChatPromptTemplate.from_template("say {x}")


def saying(*tokens: Any) -> Any:
    """A chain from a prompt to text, whose model says these tokens."""
    return prompt() | chat_model(list(tokens or ("a", "b"))) | StrOutputParser()


def shout(text: str) -> str:
    return text.upper()


def bang(text: str) -> str:
    return f"{text}!"


def bad(value: Any) -> Any:
    raise ValueError("chain boom")


def calling(step: Any) -> Any:
    """A function that calls the step, as a step."""

    async def caller(value: Any) -> Any:
        return await step.ainvoke(value)

    return RunnableLambda(caller)


async def letters(pieces: Any) -> Any:
    """A generator function: passes its input on letter by letter."""
    async for piece in pieces:
        for letter in piece:
            yield letter


@event_case("chain prompt|model|parser|lambda, a function, tool errors, a chain that raises", own=False)
def ev_chain() -> Iterator[Run]:
    async def foo(x: int) -> int:
        await adispatch_custom_event("e1", {"x": x})
        await adispatch_custom_event("e2", {"x": x})
        return x

    async def gen(x: Any) -> Any:
        async for c in x:
            yield c
            yield c + 1

    def failing(x: int) -> int:
        """bad"""
        raise ValueError("tool boom")

    failing.__name__ = "bad"

    def boom(x: Any) -> Any:
        raise ValueError("chain boom")

    model = chat_model()
    streaming = prompt() | model | StrOutputParser()
    yield events(prompt() | model | StrOutputParser() | (lambda s: s.upper()), SAY, name="prompt_model_parser_lambda")
    yield events(streaming, SAY, name="prompt_model_parser")
    yield events(model, "hi", name="model_alone")
    yield events(RunnableLambda(foo), 1, name="lambda_custom_events")
    yield events(generator_step(gen), 1, name="generator_on_chain_stream")
    yield events(tool(failing), {"x": 1}, name="tool_error")
    yield events(prompt() | RunnableLambda(boom), {"x": 1}, name="chain_error")
    yield astream(streaming, SAY, name="chain.astream")


@event_case("steps one after the other; chains in chains")
def ev_chain_steps() -> Iterator[Run]:
    yield events(saying() | shout, SAY, name="function")
    yield events((prompt() | chat_model()) | (StrOutputParser() | shout), SAY, name="flattened")
    inner = (prompt() | chat_model()).with_config(run_name="inner", tags=["it"], metadata={"im": 1})
    yield events(inner | StrOutputParser(), SAY, LABELLED, name="named_chain")
    yield events(RunnableLambda(shout) | bang | (lambda text: [text]), "a", name="functions")
    yield events(prompt() | chat_model() | RunnablePassthrough() | StrOutputParser(), SAY, name="passthrough")
    yield events(prompt() | chat_model() | (lambda message: message.content) | letters, SAY, name="whole_then_pieces")
    yield events(prompt() | chat_model().bind(stop=["x"]) | StrOutputParser(), SAY, name="bound")
    yield events(prompt() | chat_model(streaming=False) | StrOutputParser(), SAY, name="whole")
    yield events(saying() | generator_step(letters), SAY, name="generator")
    yield events(RunnableLambda(lambda text: {"x": text, "log": []}) | two("flow"), "q", name="graph_last")


@event_case("each kind of step alone, with each kind of input")
def ev_chain_alone() -> Iterator[Run]:
    conversation = ChatPromptTemplate([("system", "s"), MessagesPlaceholder("history"), ("human", "{x}")])
    yield events(prompt(), SAY, LABELLED, name="prompt")
    yield events(conversation, {"x": "1", "history": [("ai", "q")]}, name="prompt.placeholder")
    yield events(StrOutputParser(), "x", LABELLED, name="parser")
    yield events(StrOutputParser(), AIMessage("x"), name="parser.message")
    yield events(JsonOutputParser(), '{"a": 1}', name="parser.json")
    for name, value in (("text", "x"), ("empty", "")):
        yield events(RunnableLambda(shout), value, LABELLED, name=f"function.{name}")
    yield events(RunnableLambda(lambda value: 1), None, name="function.none")
    yield events(RunnableLambda(shout, name="named"), "x", name="function.named")
    yield events(RunnableLambda(shout), "x", {"run_name": "called", "run_id": "given"}, name="function.run_name")
    yield events(RunnablePassthrough(), "x", name="passthrough")
    inputs: dict[str, Any] = {
        "text": "hi",
        "pairs": [("system", "s"), ("human", "h")],
        "dicts": [{"role": "user", "content": "h"}],
        "prompt": prompt().invoke(SAY),
    }
    for name, value in inputs.items():
        yield events(chat_model(), value, name=f"model.{name}")
    yield events(chat_model(streaming=False), "hi", name="model.whole")
    yield events(chat_model(["a"], [""]).bind(stop=["x"]), "hi", name="model.bound")
    configured = chat_model().with_config(run_name="named", tags=["mt"], metadata={"mm": 1})
    yield events(configured, "hi", LABELLED, name="model.configured")


@event_case("chains that functions call, stream or return")
def ev_chain_called() -> Iterator[Run]:
    async def streaming(x: str) -> str:
        return "".join([piece async for piece in saying().astream({"x": x})])

    def plain(x: str) -> str:
        return str(saying().invoke({"x": x}))

    def plain_streaming(x: str) -> str:
        return "".join(saying().stream({"x": x}))

    def returning(x: Any) -> Any:
        return saying()

    async def with_config(x: str, config: RunnableConfig) -> Any:
        return await RunnableLambda(shout).ainvoke(x, config)

    async def own_config(x: str) -> Any:
        config: Any = {"run_name": "own", "tags": ["own"], "metadata": {"om": 1}}
        return await RunnableLambda(shout).ainvoke(x, config)

    async def changed_config(x: str, config: RunnableConfig) -> Any:
        return await RunnableLambda(shout).ainvoke(x, {**config, "tags": ["ct"], "run_name": "changed"})

    async def falsy(x: str) -> Any:
        for value in (None, {}, "", 0, False, []):
            await RunnableLambda(bool).ainvoke(value)

    yield events(calling(saying()), SAY, LABELLED, name="called")
    for function in (streaming, plain, plain_streaming, with_config, own_config, changed_config, falsy):
        yield events(RunnableLambda(function), "1", LABELLED, name=function.__name__)
    yield events(RunnableLambda(shout) | with_config, "1", LABELLED, name="step.with_config")
    yield events(RunnableLambda(returning), SAY, name="returning")
    yield events(RunnableLambda(lambda x: {"x": x}) | returning, "1", name="step.returning")
    yield events(calling(RunnableLambda(returning)), SAY, name="called.returning")
    yield events(calling(generator_step(letters)), "ab", name="called.generator")
    yield events(calling(two("flow")), {"x": "", "log": []}, LABELLED, name="called.graph")


@event_case("tags and metadata: what is inherited, in which order")
def ev_chain_labels() -> Iterator[Run]:
    labelled = saying().with_config(run_name="named", tags=["wt"], metadata={"wm": 1, "both": "bound"})
    config = {"tags": ["ct"], "metadata": {"cm": 1, "both": "called"}}
    yield events(labelled, SAY, config, name="chain")
    steps = prompt().with_config(run_name="p", tags=["pt"], metadata={"pm": 1})
    steps = steps | chat_model().with_config(run_name="m", tags=["mt"], metadata={"mm": 1})
    yield events(steps | StrOutputParser().with_config(tags=["st"]), SAY, config, name="steps")
    several = RunnableLambda(shout).with_config(tags=["b", "a"]).with_config(tags=["c", "a"])
    yield events(several, "x", {"tags": ["z", "a", "b"]}, name="several")
    again = (RunnableLambda(shout).with_config(tags=["a"]) | bang).with_config(tags=["a", "b"])
    yield events(again, "x", {"tags": ["a"]}, name="again")
    metadata = (RunnableLambda(shout).with_config(metadata={"k": "step"}) | bang).with_config(metadata={"k": "bound"})
    yield events(metadata, "x", {"metadata": {"k": "called"}}, name="metadata")
    yield events(metadata, "x", name="metadata.bound")
    yield events(RunnableLambda(shout), "x", {"configurable": {"thread_id": "T", "user": "u"}}, name="configurable")


@event_case("steps side by side, each with nothing to wait for", loose=True)
def ev_chain_dicts() -> Iterator[Run]:
    async def shouting(text: str) -> str:
        return text.upper()

    async def asking(text: str) -> str:
        return f"{text}?"

    both = {"a": shouting, "b": asking}
    yield events(RunnableLambda(lambda text: text) | both | (lambda d: [*sorted(d)]), "z", LABELLED, name="middle")
    yield events({"x": RunnablePassthrough()} | saying(), "q", name="first")
    yield events(RunnableParallel(**both), "z", name="alone")
    yield events(
        prompt() | chat_model() | {"text": StrOutputParser(), "whole": RunnablePassthrough()}, SAY, name="last"
    )
    yield events(RunnableParallel(j=saying("1", "2"), k=saying("3")), SAY, name="models")
    yield events(calling(RunnableParallel(**both)), "z", name="called")


@event_case("assign: keys added to those that come in", loose=True)
def ev_chain_assign() -> Iterator[Run]:
    def more(value: Any) -> str:
        return f"{value['x']}y"

    yield events(RunnablePassthrough.assign(y=more), SAY, LABELLED, name="alone")
    yield events(RunnablePassthrough.assign(y=saying()) | (lambda d: d["y"]), SAY, name="chain")
    yield events(calling(RunnablePassthrough.assign(y=more)), SAY, name="called")


@event_case("parsers and generators, whose chunks are values")
def ev_chain_values() -> Iterator[Run]:
    async def counting(pieces: Any) -> Any:
        async for _ in pieces:
            for value in ([1], [2]):
                yield value

    async def nothing(pieces: Any) -> Any:
        async for _ in pieces:
            pass
        if False:
            yield

    json = ['{"a', '": "x', 'y", "b": 1}']
    yield events(prompt() | chat_model(json) | JsonOutputParser(), SAY, name="json")
    yield events(calling(prompt() | chat_model(json) | JsonOutputParser()), SAY, name="json.called")
    yield events(generator_step(letters), "ab", name="generator")
    yield events(generator_step(counting) | (lambda numbers: len(numbers)), 1, name="generator.lists")
    yield events(RunnableLambda(shout) | letters, "ab", name="generator.step")
    yield events(generator_step(nothing), 1, name="generator.empty")


@event_case("again, or another way")
def ev_chain_again() -> Iterator[Run]:
    def flaky(value: str) -> str:
        if tape.attempt("flaky") < 3:
            raise ValueError("not yet")
        return value

    def retrying(step: Any) -> Any:
        return step.with_retry(wait_exponential_jitter=False, stop_after_attempt=3)

    falling_back = RunnableLambda(bad).with_fallbacks([RunnableLambda(shout)])
    model = chat_model([ValueError("model boom")]).with_fallbacks([chat_model(["f"])])
    late = chat_model(["a", ValueError("model boom")]).with_fallbacks([chat_model(["f"])])
    yield events(falling_back, "x", name="fallback")
    yield events(calling(falling_back), "x", name="fallback.called")
    yield events(prompt() | model | StrOutputParser(), SAY, name="fallback.model")
    yield events(prompt() | late | StrOutputParser(), SAY, name="fallback.too_late")
    yield events(calling(retrying(RunnableLambda(flaky))), "x", name="retry.called")
    yield events(calling(retrying(RunnableLambda(shout) | flaky)), "x", name="retry.called.chain")
    yield events(retrying(RunnableLambda(flaky)), "x", name="retry")


@event_case("several inputs at once", loose=True)
def ev_chain_batch() -> Iterator[Run]:
    async def batch(texts: list[str]) -> Any:
        return await RunnableLambda(shout).abatch(texts)

    def plain_batch(texts: list[str]) -> Any:
        return RunnableLambda(shout).batch(texts)

    for function in (batch, plain_batch):
        yield events(RunnableLambda(function), ["a", "b"], LABELLED, name=function.__name__)


@event_case("what was emitted before an exception")
def ev_chain_errors() -> Iterator[Run]:
    async def catching(value: Any) -> str:
        try:
            return str(await RunnableLambda(bad).ainvoke(value))
        except ValueError as error:
            return str(error)

    def failing_model(*tokens: str, streaming: bool = True) -> Any:
        return chat_model([*tokens, ValueError("model boom")], streaming=streaming)

    yield events(RunnableLambda(bad), "x", name="alone")
    yield events(RunnableLambda(shout) | bad | bang, "x", LABELLED, name="middle")
    yield events(saying() | bad, SAY, name="last")
    yield events(calling(saying() | bad), SAY, name="called")
    yield events(failing_model(), "hi", name="model")
    yield events(failing_model("a"), "hi", name="model.late")
    yield events(failing_model(streaming=False), "hi", name="model.whole")
    yield events(prompt() | failing_model("a") | StrOutputParser(), SAY, name="model.chain")
    yield events(prompt(), {}, name="prompt")
    yield events(RunnableLambda(catching), "x", name="caught")
    yield events(prompt() | chat_model(["no json"]) | JsonOutputParser(), SAY, name="parser.silent")
    yield events(JsonOutputParser(), "no json", name="parser")


@event_case("custom events of steps")
def ev_chain_custom() -> Iterator[Run]:
    async def dispatching(value: Any) -> Any:
        await adispatch_custom_event("progress", {"percent": 50})
        await adispatch_custom_event("nothing", None)
        return value

    def plain(value: Any) -> Any:
        dispatch_custom_event("progress", 1)
        return value

    async def with_config(value: Any, config: RunnableConfig) -> Any:
        await adispatch_custom_event("progress", 1, config=config)
        return value

    for function in (dispatching, plain, with_config):
        yield events(RunnableLambda(function), "x", LABELLED, name=function.__name__)
    step = RunnableLambda(dispatching).with_config(run_name="named", tags=["st"], metadata={"sm": 1})
    yield events(step | shout, "x", LABELLED, name="step")
    # Nobody listens: no error.  Nothing runs: an error.
    yield call("unheard", lambda: RunnableLambda(dispatching).ainvoke("x"))
    yield call("outside", lambda: adispatch_custom_event("progress", 1))
    yield call("outside.sync", lambda: dispatch_custom_event("progress", 1))
