"""A chat model of LangChain's that says what it is told, and graphs around it."""

from __future__ import annotations

import functools
import operator
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio.lowlevel
import pytest

pytest.importorskip("langchain_core")

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field, PrivateAttr

from penstock.graph import START, CompiledStateGraph, MessagesState, StateGraph

Piece = Any  # text, a chunk, or an exception to raise


class ScriptedChatModel(BaseChatModel):
    """Answers in order, each piece a chunk; or by what the prompt contains."""

    script: list[list[Piece]] = Field(default_factory=list)
    by_prompt: dict[str, list[Piece]] = Field(default_factory=dict)
    _calls: int = PrivateAttr(default=0)
    _log: list[str] = PrivateAttr(default_factory=list)
    _before: Callable[[str, int], None] | None = PrivateAttr(default=None)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {"ls_provider": "fake", "ls_model_name": "fake-model", "ls_model_type": "chat"}

    @property
    def log(self) -> list[str]:
        """Each piece that was made, and `generate` for each answer made in one piece."""
        return self._log

    def before_each(self, function: Callable[[str, int], None]) -> None:
        """Call something with the prompt and the number of the piece, before that is made."""
        self._before = function

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _answer(self, messages: list[BaseMessage]) -> list[Piece]:
        prompt = str(messages[-1].content)
        for key, answer in self.by_prompt.items():
            if key in prompt:
                return answer
        number, self._calls = self._calls, self._calls + 1
        return self.script[number % len(self.script)]

    def _pieces(self, messages: list[BaseMessage]) -> Iterator[AIMessageChunk]:
        for number, piece in enumerate(self._answer(messages)):
            if self._before is not None:
                self._before(str(messages[-1].content), number)
            if isinstance(piece, BaseException):
                raise piece
            self._log.append(str(piece))
            yield AIMessageChunk(content=piece) if isinstance(piece, str) else piece.model_copy()

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        for chunk in self._pieces(messages):
            yield ChatGenerationChunk(message=chunk)

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._pieces(messages):
            await anyio.lowlevel.checkpoint()
            yield ChatGenerationChunk(message=chunk)

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self._log.append("generate")
        first, *others = self._pieces(messages)
        whole = message_chunk_to_message(functools.reduce(operator.add, others, first))
        return ChatResult(generations=[ChatGeneration(message=whole)])

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        await anyio.lowlevel.checkpoint()
        return self._generate(messages)


def scripted(*pieces: Piece, **settings: Any) -> ScriptedChatModel:
    """A model that gives one and the same answer to everything."""
    return ScriptedChatModel(script=[list(pieces)], **settings)


def one(node: Any, **options: Any) -> CompiledStateGraph[MessagesState]:
    """A graph of one node, `node`."""
    return StateGraph(MessagesState).add_node("node", node, **options).add_edge(START, "node").compile()


def tool_call(name: str, args: str, ident: str) -> list[AIMessageChunk]:
    """A tool call in two chunks, the way providers stream it."""
    first = {"name": name, "args": "", "id": ident, "index": 0, "type": "tool_call_chunk"}
    second = {"name": None, "args": args, "id": None, "index": 0, "type": "tool_call_chunk"}
    return [AIMessageChunk(content="", tool_call_chunks=[chunk]) for chunk in (first, second)]
