"""Chat models that say what they are told, for the library under test."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

from .library import ROOT, AIMessageChunk


def scripted_model(tokens: list[str]) -> Any:
    """A model with `invoke` and `ainvoke` that says the same tokens at each call."""
    return chat_model(tokens)


def chat_model(*answers: list[Any], streaming: bool = True) -> Any:
    """A model that gives these answers in turn: lists of texts, of chunks, and of exceptions to fail with."""
    said = list(answers) or [["a", "b"]]
    if ROOT == "penstock":
        from penstock.testing import ScriptedChatModel

        return ScriptedChatModel(said, cycle=True, streaming=streaming, provider="fake", model_name="fake-model")
    return _langchain_chat_model(said, streaming)


def calls(*called: tuple[str, dict[str, Any], str]) -> list[Any]:
    """An answer that calls tools, each given by its name, its arguments as JSON, and the id of the call."""
    chunks: list[Any] = [
        {"name": name, "args": args, "id": id, "index": index, "type": "tool_call_chunk"}
        for index, (name, args, id) in enumerate(called)
    ]
    return [AIMessageChunk(content="", tool_call_chunks=chunks)]


def _langchain_chat_model(answers: list[list[Any]], streaming: bool) -> Any:
    from langchain_core.language_models.chat_models import BaseChatModel, generate_from_stream
    from langchain_core.outputs import ChatGenerationChunk

    turns = itertools.cycle(answers)

    def pieces() -> Iterator[Any]:
        for piece in next(turns):
            if isinstance(piece, BaseException):
                raise piece
            message: Any = AIMessageChunk(content=piece) if isinstance(piece, str) else piece.model_copy()
            yield ChatGenerationChunk(message=message)

    class ScriptedChatModel(BaseChatModel):
        """Whole answers only."""

        model_name: str = "fake-model"

        @property
        def _llm_type(self) -> str:
            return "fake"

        def _get_ls_params(self, **options: Any) -> Any:
            return {"ls_provider": "fake", "ls_model_name": self.model_name, "ls_model_type": "chat"}

        def bind_tools(self, tools: Any, **options: Any) -> Any:
            return self.bind(tools=[tool.name for tool in tools], **options)

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any) -> Any:
            return generate_from_stream(pieces())

        async def _agenerate(self, *args: Any, **options: Any) -> Any:
            return self._generate(*args, **options)

    class Streaming(ScriptedChatModel):
        def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any) -> Iterator[Any]:
            for chunk in pieces():
                if run_manager is not None:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

        # Not left to the base class, which would go through a thread: two models at once are to keep in step.
        async def _astream(
            self, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any
        ) -> AsyncIterator[Any]:
            for chunk in pieces():
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    Streaming.__name__ = "ScriptedChatModel"  # its name in events is that of its class
    return Streaming() if streaming else ScriptedChatModel()
