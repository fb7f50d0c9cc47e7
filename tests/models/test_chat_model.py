"""A model by itself: what its ways of being called have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from penstock.errors import MessageError, ModelError, ModelOutputError
from penstock.graph import START, MessagesState, StateGraph
from penstock.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from penstock.models import ChatModel
from penstock.testing import ScriptedChatModel


class Endless(ChatModel):
    """Says "a" for ever, and notes when its stream is closed."""

    def __init__(self) -> None:
        self.closed = 0

    async def answer(self, messages: Any, **options: Any) -> Any:
        try:
            while True:
                await anyio.sleep(0.01)
                yield "a"
        finally:
            self.closed += 1


async def test_one_method_makes_a_model() -> None:
    class Echo(ChatModel):
        async def answer(self, messages: Any, **options: Any) -> Any:
            yield messages[-1].text
            yield AIMessageChunk("!")

    assert (await Echo().ainvoke("hi")).text == "hi!"
    assert [chunk.text async for chunk in Echo().astream("hi")] == ["hi", "!", ""]


async def test_the_chunks_of_an_answer_have_one_id_and_an_end() -> None:
    model = ScriptedChatModel(["one two", "one two"])
    chunks = [chunk async for chunk in model.astream("hi")]
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].id and chunks[0].id.startswith("run-")
    assert [chunk.chunk_position for chunk in chunks] == [None, None, "last"]
    assert (await model.ainvoke("hi")).id not in (None, chunks[0].id)


async def test_the_provider_names_the_answer_and_marks_its_end() -> None:
    said = [AIMessageChunk("a", id="mine"), AIMessageChunk("b", chunk_position="last")]
    chunks = [chunk async for chunk in ScriptedChatModel([said]).astream("hi")]
    assert chunks == [AIMessageChunk("a", id="mine"), AIMessageChunk("b", id="mine", chunk_position="last")]


async def test_a_whole_answer_is_the_sum_of_its_chunks() -> None:
    call = {"name": "add", "args": {"a": 1, "b": [2, 3]}, "id": "call_9"}
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    whole = AIMessage("Let me see", id="x", tool_calls=[call], usage_metadata=usage, response_metadata={"k": "v"})
    answer = await ScriptedChatModel([whole]).ainvoke("hi")
    assert type(answer) is AIMessage
    assert answer.model_copy(update={"id": "x"}) == whole


async def test_a_model_that_does_not_stream_gives_one_chunk() -> None:
    model = ScriptedChatModel(["one two", "one two"], streaming=False)
    chunks = [chunk async for chunk in model.astream("hi")]
    assert [(chunk.text, chunk.chunk_position) for chunk in chunks] == [("one two", "last")]
    assert (await model.ainvoke("hi")).text == "one two"


async def test_an_empty_answer_is_an_answer() -> None:
    answer = await ScriptedChatModel([[]]).ainvoke("hi")
    assert answer.text == "" and answer.id


async def test_input_is_read_in_all_its_forms() -> None:
    model = ScriptedChatModel(["x"], cycle=True)
    await model.ainvoke([("system", "Be brief."), {"role": "user", "content": "Hi"}])
    assert model.calls[0].messages == [SystemMessage("Be brief."), HumanMessage("Hi")]
    with pytest.raises(MessageError, match="cannot read 7"):
        await model.ainvoke(7)  # type: ignore[arg-type]


async def test_options_reach_the_model_and_the_call_wins() -> None:
    model = ScriptedChatModel(["x"], cycle=True)
    await model.bind(temperature=0, seed=1).ainvoke("hi", temperature=1, stop=["."])
    assert model.calls[0].options == {"temperature": 1, "seed": 1, "stop": ["."]}
    await model.ainvoke("hi")
    assert model.calls[1].options == {}


async def test_what_is_no_piece_of_an_answer_is_refused() -> None:
    class Wrong(ChatModel):
        async def answer(self, messages: Any, **options: Any) -> Any:
            yield 7

    with pytest.raises(ModelOutputError, match=r"Wrong.answer\(\) yielded 7 \(int\)"):
        await Wrong().ainvoke("hi")


async def test_an_answer_that_is_returned_is_refused() -> None:
    class Returning(ChatModel):
        async def answer(self, messages: Any, **options: Any) -> Any:
            return "Hello"

    with pytest.raises(ModelOutputError, match="with `yield` instead of `return`"):
        await Returning().ainvoke("hi")


async def test_leaving_a_stream_closes_the_providers() -> None:
    model = Endless()
    async with model.astream("hi") as chunks:
        async for _ in chunks:
            break
    assert model.closed == 1


@pytest.mark.virtual_time
async def test_a_cancelled_call_closes_the_providers_stream() -> None:
    model = Endless()
    with anyio.move_on_after(0.1):
        await model.ainvoke("hi")
    with anyio.move_on_after(0.1):
        async for _ in model.astream("hi"):
            pass
    assert model.closed == 2


@pytest.mark.virtual_time
async def test_batch_asks_at_the_same_time_and_keeps_the_order() -> None:
    model = ScriptedChatModel([[0.3, "a"], [0.1, "b"], [0.2, "c"]])
    started = anyio.current_time()
    answers = await model.abatch(["1", "2", "3"])
    assert sorted(answer.text for answer in answers) == ["a", "b", "c"]
    assert anyio.current_time() - started == pytest.approx(0.3, abs=0.05)
    said = dict(zip((call.messages[0].text for call in model.calls), ("a", "b", "c")))
    assert [answer.text for answer in answers] == [said["1"], said["2"], said["3"]]


@pytest.mark.virtual_time
async def test_batch_can_be_limited() -> None:
    model = ScriptedChatModel([[0.1, "a"]], cycle=True)
    started = anyio.current_time()
    await model.abatch(["1", "2", "3", "4"], {"max_concurrency": 2})
    assert anyio.current_time() - started == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("limit", [None, 1, 2])
async def test_a_batch_begins_with_the_first(limit: int | None) -> None:
    for _ in range(5):  # trio begins with any of the tasks that are ready
        model = ScriptedChatModel(["one", "two", "three"])
        answers = await model.abatch(["1", "2", "3"], {"max_concurrency": limit} if limit else None)
        assert [answer.text for answer in answers] == ["one", "two", "three"]


async def test_a_config_for_each_of_a_batch() -> None:
    async def node(state: MessagesState) -> None:
        await ScriptedChatModel(["x"], cycle=True).abatch(["1", "2"], [{"tags": ["a"]}, {"tags": ["b"]}])

    graph = StateGraph(MessagesState).add_node(node).add_edge(START, "node").compile()
    tags = [metadata["tags"] async for _, metadata in graph.astream({"messages": "hi"}, stream_mode="messages")]
    assert sorted(tags) == [["a"], ["a"], ["b"], ["b"]]
    with pytest.raises(ValueError, match="got 1 configs for 2 inputs"):
        await ScriptedChatModel([]).abatch(["1", "2"], [{}])


async def test_the_first_error_of_a_batch_is_raised_as_itself() -> None:
    with pytest.raises(KeyError):
        await ScriptedChatModel([KeyError("k"), [10.0, "late"]]).abatch(["1", "2"])
    answers = await ScriptedChatModel([KeyError("k"), "fine"]).abatch(["1", "2"], return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["AIMessage", "KeyError"]


def test_sync_calls() -> None:
    model = ScriptedChatModel(["one two"], cycle=True)
    assert model.invoke("hi").text == "one two"
    assert [chunk.text for chunk in model.stream("hi")] == ["one", " two", ""]
    assert [answer.text for answer in model.batch(["a", "b"])] == ["one two"] * 2


def test_a_sync_stream_can_be_left() -> None:
    model = Endless()
    with model.stream("hi") as chunks:
        assert next(chunks).text == "a"
    assert model.closed == 1
    assert list(chunks) == []


def test_sync_errors_arrive_as_themselves() -> None:
    with pytest.raises(KeyError):
        ScriptedChatModel([["a", KeyError("k")]]).invoke("hi")
    seen = []
    with pytest.raises(KeyError):
        for chunk in ScriptedChatModel([["a", KeyError("k")]]).stream("hi"):
            seen.append(chunk.text)
    assert seen == ["a"]


async def test_sync_calls_work_inside_a_running_loop() -> None:
    assert ScriptedChatModel(["fine"]).invoke("hi").text == "fine"


def test_models_made_of_a_model_leave_it_alone() -> None:
    @dataclass(frozen=True)
    class Frozen(ChatModel):
        word: str

        async def answer(self, messages: Any, **options: Any) -> Any:
            yield f"{self.word} {options}"

    model = Frozen("w")
    assert model.bind(a=1).bind(b=2).invoke("hi").text == "w {'a': 1, 'b': 2}"
    assert model.invoke("hi").text == "w {}"


async def test_retry() -> None:
    model = ScriptedChatModel([["a", KeyError("k")], ConnectionError(), "fine"])
    retrying = model.with_retry(wait_exponential_jitter=False)
    assert (await retrying.ainvoke("hi")).text == "fine"
    with pytest.raises(ModelError, match="has 3 answers, and this is request 6"):
        await retrying.ainvoke("hi")


async def test_retry_of_some_errors_only() -> None:
    model = ScriptedChatModel([KeyError("k"), "fine"])
    with pytest.raises(KeyError):
        await model.with_retry(retry_if_exception_type=(ConnectionError,)).ainvoke("hi")
    with pytest.raises(ValueError, match="stop_after_attempt"):
        model.with_retry(stop_after_attempt=0)


@pytest.mark.virtual_time
async def test_retry_waits_longer_each_time() -> None:
    model = ScriptedChatModel([ConnectionError(), ConnectionError(), "fine"])
    started = anyio.current_time()
    await model.with_retry().ainvoke("hi")
    assert 3 <= anyio.current_time() - started <= 5.1


async def test_a_stream_is_not_begun_again_once_it_was_seen() -> None:
    model = ScriptedChatModel([ConnectionError(), "fine", ["a", ConnectionError()], "never"])
    retrying = model.with_retry(wait_exponential_jitter=False)
    assert [chunk.text async for chunk in retrying.astream("hi")] == ["fine", ""]
    with pytest.raises(ConnectionError):
        async for _ in retrying.astream("hi"):
            pass
    assert len(model.calls) == 3


async def test_fallbacks() -> None:
    first = ScriptedChatModel([KeyError("k")], cycle=True)
    model = first.with_fallbacks([ScriptedChatModel([ValueError("v"), "b"]), ScriptedChatModel(["c"])])
    assert (await model.ainvoke("hi")).text == "c"
    assert [chunk.text async for chunk in model.astream("hi")] == ["b", ""]
    with pytest.raises(TypeError, match="expects chat models"):
        first.with_fallbacks(["no model"])  # type: ignore[list-item]


async def test_what_is_bound_to_a_wrapped_model_reaches_the_inner_ones() -> None:
    inner = ScriptedChatModel([KeyError("k"), "x"])
    other = ScriptedChatModel(["y"])
    tool = {"name": "t", "parameters": {}}
    await inner.bind(a=1).with_fallbacks([other.bind(b=2)]).bind_tools([tool]).ainvoke("hi")
    assert inner.calls[0].options["a"] == 1 and "tools" in inner.calls[0].options
    assert set(other.calls[0].options) == {"b", "tools"}
