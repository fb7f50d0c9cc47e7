"""A chat model that says the same tokens at each call, for the library under test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .library import ROOT


def scripted_model(tokens: list[str]) -> Any:
    """A model with `invoke` and `ainvoke`."""
    if ROOT == "penstock":
        from penstock.testing import ScriptedChatModel

        return ScriptedChatModel([tokens], cycle=True, provider="fake", model_name="fake-model")
    return _langchain_model(tokens)


def _langchain_model(tokens: list[str]) -> Any:
    from langchain_core.language_models.chat_models import BaseChatModel, generate_from_stream
    from langchain_core.messages import AIMessageChunk
    from langchain_core.outputs import ChatGenerationChunk

    class Scripted(BaseChatModel):
        model_name: str = "fake-model"

        @property
        def _llm_type(self) -> str:
            return "fake"

        def _get_ls_params(self, **options: Any) -> Any:
            return {"ls_provider": "fake", "ls_model_name": self.model_name, "ls_model_type": "chat"}

        def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any) -> Iterator[Any]:
            for token in tokens:
                chunk = ChatGenerationChunk(message=AIMessageChunk(content=token))
                if run_manager is not None:
                    run_manager.on_llm_new_token(token, chunk=chunk)
                yield chunk

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any) -> Any:
            return generate_from_stream(self._stream(messages, stop, run_manager, **options))

    return Scripted()
