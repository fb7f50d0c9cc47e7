"""The model that the examples talk to: a real one if the environment names it, otherwise one with a script.

=========================================  ====================================================================
environment                                model
=========================================  ====================================================================
`OPENAI_API_KEY`                           OpenAI's; `OPENAI_MODEL` says which (default: gpt-4o-mini)
`OPENAI_BASE_URL`, and a key if it needs   the one of any server with OpenAI's API: vLLM, Ollama, llama.cpp, ...
`ANTHROPIC_API_KEY`                        Anthropic's; `ANTHROPIC_MODEL` says which (default: claude-haiku-4-5)
none of these                              a scripted one, which needs no network
=========================================  ====================================================================
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterable
from types import SimpleNamespace
from typing import Any

import anyio

from penstock.models import ChatModel, init_chat_model
from penstock.testing import ScriptedChatModel


def choose_model(script: Iterable[Any], *, delay: float | None = None) -> ChatModel:
    """The model of the environment, or one that gives the answers of the script, with a delay before each token."""
    if _openai():
        return init_chat_model(os.environ.get("OPENAI_MODEL", "gpt-4o-mini"), model_provider="openai")
    if os.environ.get("ANTHROPIC_API_KEY"):
        name = os.environ.get("ANTHROPIC_MODEL", "claude-haiku-4-5")
        return init_chat_model(name, model_provider="anthropic")
    return ScriptedChatModel(script, delay=_pause() if delay is None else delay)


def choose_client(script: Iterable[str]) -> Any:
    """OpenAI's own client, for the examples that use it directly, or something that answers like it."""
    if not _openai():
        return ScriptedClient(script)
    from openai import AsyncOpenAI

    return AsyncOpenAI(api_key=os.environ.get("OPENAI_API_KEY") or "none")


def _openai() -> bool:
    return bool(os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"))


def _pause() -> float:
    """Seconds before each token: a terminal is there to watch them arrive."""
    return 0.05 if sys.stdout.isatty() else 0


class ScriptedClient:
    """The part of `openai.AsyncOpenAI` that the examples use: `await client.chat.completions.create(...)`.

    Args:
        script: answers, one per call; each is a list of tokens, or a text, which is cut into words.
    """

    def __init__(self, script: Iterable[Any]) -> None:
        self._answers = iter(script)
        self.chat = SimpleNamespace(completions=self)

    async def create(self, **request: Any) -> AsyncIterator[Any]:
        return self._stream(next(self._answers))

    async def _stream(self, answer: Any) -> AsyncIterator[Any]:
        tokens = answer.replace(" ", "\0 ").split("\0") if isinstance(answer, str) else answer
        yield _chunk(role="assistant", content="")
        for token in tokens:
            await anyio.sleep(_pause())
            yield _chunk(role=None, content=token)

    async def __aenter__(self) -> ScriptedClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        """There is nothing to close."""


def _chunk(**delta: Any) -> Any:
    return SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace(**delta))])
