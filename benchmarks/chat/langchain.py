"""Models and chains of LangChain, the same class under LangGraph and under penstock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate

from ..backends import Thunk
from ..tempo import Tempo, bursts
from . import script


def speaker(count: int, tempo: Tempo, turn: Thunk) -> BaseChatModel:
    return Speaker(pieces=script.tokens(count), tempo=tempo, turn=turn)


class Speaker(BaseChatModel):
    pieces: list[str]
    tempo: str
    turn: Any

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: list[Any], *args: Any, **options: Any) -> ChatResult:
        return _result(AIMessage("".join(self.pieces)))

    def _stream(self, messages: list[Any], *args: Any, **options: Any) -> Iterator[ChatGenerationChunk]:
        for piece in self.pieces:
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))

    async def _astream(self, messages: list[Any], *args: Any, **options: Any) -> AsyncIterator[ChatGenerationChunk]:
        if self.tempo == "paced":
            for piece in self.pieces:
                await self.turn()
                yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
            return
        for burst in bursts(self.pieces):
            for piece in burst:
                yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
            await self.turn()


def caller(turns: int) -> BaseChatModel:
    return Caller(turns=turns)


class Caller(BaseChatModel):
    turns: int

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **options: Any) -> Caller:
        return self

    def _generate(self, messages: list[Any], *args: Any, **options: Any) -> ChatResult:
        call = script.tool_call(messages, self.turns)
        return _result(AIMessage("", tool_calls=[call]) if call else AIMessage(script.DONE))

    async def _agenerate(self, messages: list[Any], *args: Any, **options: Any) -> ChatResult:
        return self._generate(messages)  # or LangChain would send it to a thread


def chain(model: Any) -> Any:
    return ChatPromptTemplate.from_template(script.TEMPLATE) | model | StrOutputParser() | script.shout


def _result(message: AIMessage) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=message)])
