"""Models and chains of penstock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from penstock.messages import AIMessage, AIMessageChunk
from penstock.models import ChatModel
from penstock.runnables import ChatPromptTemplate, StrOutputParser
from penstock.testing import ScriptedChatModel

from ..backends import Thunk
from ..tempo import Tempo, bursts
from . import script


def speaker(count: int, tempo: Tempo, turn: Thunk) -> ChatModel:
    # the scripted model suspends once before each token, as `paced` says
    pieces = script.tokens(count)
    return ScriptedChatModel([pieces], cycle=True) if tempo == "paced" else Bursting(pieces, turn)


class Bursting(ChatModel):
    def __init__(self, pieces: list[str], turn: Thunk) -> None:
        self.pieces = pieces
        self.turn = turn

    async def answer(self, messages: list[Any], **options: Any) -> AsyncIterator[AIMessageChunk]:
        for burst in bursts(self.pieces):
            for piece in burst:
                yield AIMessageChunk(piece)
            await self.turn()


def caller(turns: int) -> ChatModel:
    return Caller(turns)


class Caller(ChatModel):
    def __init__(self, turns: int) -> None:
        self.turns = turns

    async def answer(self, messages: list[Any], **options: Any) -> AsyncIterator[AIMessage]:
        call = script.tool_call(messages, self.turns)
        yield AIMessage("", tool_calls=[call]) if call else AIMessage(script.DONE)


def chain(model: Any) -> Any:
    return ChatPromptTemplate.from_template(script.TEMPLATE) | model | StrOutputParser() | script.shout
