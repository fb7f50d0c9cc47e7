"""Messages of another library pass through as they are; so do ours through pydantic models."""

from types import SimpleNamespace
from typing import Annotated

import pytest

from penstock.errors import MessageError
from penstock.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    HumanMessage,
    add_messages,
    coerce_message,
    coerce_messages,
    is_message,
    message_to_dict,
)

pydantic = pytest.importorskip("pydantic")


class ForeignBase(pydantic.BaseModel):
    content: str | list
    additional_kwargs: dict = pydantic.Field({})
    response_metadata: dict = pydantic.Field({})
    type: str
    id: str | None = None
    name: str | None = None


class ForeignAI(ForeignBase):
    type: str = "ai"
    tool_calls: list = pydantic.Field([])
    invalid_tool_calls: list = pydantic.Field([])


class ForeignAIChunk(ForeignAI):
    type: str = "ForeignAIChunk"
    chunk_position: str | None = None


class ForeignRemove(ForeignBase):
    type: str = "remove"
    content: str = ""


class NoMessage(pydantic.BaseModel):
    content: str
    id: str | None = None


def test_known_by_their_fields() -> None:
    assert is_message(ForeignAI(content="x"))
    assert not is_message(NoMessage(content="x"))
    assert not is_message(SimpleNamespace(content="x", additional_kwargs={}, response_metadata={}, id=None))
    assert not is_message(ForeignAI)


def test_passed_through() -> None:
    message = ForeignAI(content="x")
    assert coerce_message(message) is message
    assert coerce_messages(message) == [message]
    with pytest.raises(MessageError, match="NoMessage"):
        coerce_message(NoMessage(content="x"))


def test_both_kinds_mix_in_the_reducer() -> None:
    foreign = ForeignAI(content="x")
    assert add_messages([], [foreign, ("user", "q")])[0] is foreign
    foreign.id = None
    merged = add_messages([HumanMessage("q", id="1")], [foreign, AIMessage("y")])
    assert merged[1] is foreign
    assert foreign.id is not None
    assert add_messages(merged, ForeignAI(content="z", id=foreign.id))[1].content == "z"
    assert add_messages(merged, ForeignRemove(id="1")) == merged[1:]
    assert add_messages(merged, ForeignRemove(id="__remove_all__")) == []


def test_foreign_chunks_enter_as_their_message() -> None:
    chunk = ForeignAIChunk(content="x", tool_calls=[{"name": "f", "args": {}, "id": "c"}], chunk_position="last")
    (message,) = add_messages([], chunk)
    assert type(message) is ForeignAI
    assert message.type == "ai"
    assert message.tool_calls == chunk.tool_calls
    assert chunk.id is None


def test_a_chunk_class_without_message_class_stays() -> None:
    class LonelyChunk(ForeignBase):
        type: str = "LonelyChunk"

    class OddChunk(LonelyChunk):
        pass

    assert type(add_messages([], OddChunk(content="x"))[0]) is OddChunk

    class AloneChunk(pydantic.BaseModel):
        content: str
        additional_kwargs: dict = pydantic.Field({})
        response_metadata: dict = pydantic.Field({})
        id: str | None = None
        type: str = "AloneChunk"

    assert type(add_messages([], AloneChunk(content="x"))[0]) is AloneChunk


def test_foreign_messages_in_openai_form() -> None:
    calls = [{"name": "f", "args": {}, "id": "c"}]
    assert message_to_dict(ForeignAI(content="x", tool_calls=calls))["tool_calls"][0]["id"] == "c"
    (formatted,) = add_messages([], ForeignAI(content=["a"]), format="langchain-openai")
    assert formatted.content == [{"type": "text", "text": "a"}]


class State(pydantic.BaseModel):
    messages: Annotated[list[AnyMessage], add_messages] = pydantic.Field([])
    last: AIMessage | None = None


def test_messages_as_fields_of_a_pydantic_model() -> None:
    question, foreign = HumanMessage("q"), ForeignAI(content="x")
    state = State(messages=[question, ("ai", "a"), {"role": "system", "content": "s"}, foreign])
    assert state.messages[0] is question
    assert state.messages[3] is foreign
    assert [m.type for m in state.messages] == ["human", "ai", "system", "ai"]
    assert isinstance(State(last=AIMessageChunk("x")).last, AIMessageChunk)


def test_a_field_refuses_what_is_no_such_message() -> None:
    with pytest.raises(pydantic.ValidationError, match="expected AIMessage, got HumanMessage"):
        State(last="text is what people say")
    with pytest.raises(pydantic.ValidationError, match="cannot read 5"):
        State(messages=[5])


def test_a_model_with_messages_is_dumped_and_read_back() -> None:
    state = State(
        messages=[
            HumanMessage("q", id="1"),
            AIMessage("a", tool_calls=[{"name": "f", "args": {}, "id": "c"}]),
        ]
    )
    assert State.model_validate(state.model_dump()) == state
    assert State.model_validate_json(state.model_dump_json()) == state
    assert "HumanMessage" in str(State.model_json_schema())


def test_real_langchain_messages() -> None:
    langchain = pytest.importorskip("langchain_core.messages")
    message = langchain.AIMessage("x")
    assert is_message(message)
    assert add_messages([HumanMessage("q")], message)[1] is message
    chunk = langchain.AIMessageChunk("x", tool_call_chunks=[{"name": "f", "args": "{}", "id": "c", "index": 0}])
    (whole,) = add_messages([], chunk)
    assert type(whole) is langchain.AIMessage
    assert whole.tool_calls == chunk.tool_calls
    assert add_messages([message], langchain.RemoveMessage(id=message.id)) == []
    assert message_to_dict(message) == {"role": "assistant", "content": "x"}
