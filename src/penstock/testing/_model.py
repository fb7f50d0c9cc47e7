"""A model that says what a test tells it to say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio

from penstock.messages import AIMessage, AIMessageChunk, BaseMessage, sum_chunks
from penstock.models import ChatModel

from ._script import Script, ScriptedAnswer, read_answer


@dataclass(frozen=True)
class ScriptedCall:
    """One call that a `ScriptedChatModel` got.

    Attributes:
        messages: the conversation.
        options: options of the call, and those bound to the model.
    """

    messages: list[BaseMessage]
    options: Mapping[str, Any]


class ScriptedChatModel(ChatModel):
    """A model that answers from a script: for tests and for trying things out without a provider.

    Args:
        answers: one per call, each one of

            * text, which streams word by word;
            * an `AIMessage`, or a dict with `content` or `tool_calls`, whose tool calls stream in fragments;
            * an exception, which is raised;
            * a list, or anything to iterate over, of pieces: texts and `AIMessageChunk` stream as they are, a number
              is a pause in seconds, an exception fails in the middle of the answer;
            * a function that takes the conversation and gives one of these.
        delay: seconds before each piece.
        cycle: begin again after the last answer; otherwise one call too many raises `ModelError`.
        streaming: False for a model that can only give whole answers.
        provider: `ls_provider` of its tokens.
        model_name: `ls_model_name` of its tokens.
        tags: what its tokens can be filtered by.
        metadata: added to what its tokens say of themselves.

    Raises:
        TypeError: the answers are no list.

    Example:
        ```python
        from penstock.testing import ScriptedChatModel

        model = ScriptedChatModel(["Hello there", {"tool_calls": [{"name": "add", "args": {"a": 1, "b": 2}}]}])
        assert [chunk.text for chunk in model.stream("Hi")] == ["Hello", " there", ""]
        assert model.invoke("1 + 2?").tool_calls[0]["args"] == {"a": 1, "b": 2}
        assert model.calls[1].messages[0].text == "1 + 2?"
        ```
    """

    def __init__(
        self,
        answers: Iterable[ScriptedAnswer],
        *,
        delay: float = 0,
        cycle: bool = False,
        streaming: bool = True,
        provider: str = "scripted",
        model_name: str = "scripted-model",
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.provider: str | None = provider
        self.model_name: str | None = model_name
        self.calls: list[ScriptedCall] = []
        """The calls so far, also those of the models made of this one with `bind`, `with_config` and so on."""
        self._script = Script(answers, cycle=cycle, owner="ScriptedChatModel")
        self._delay = delay
        self._streaming = streaming
        if tags or metadata:
            self._bound = self.with_config(tags=tags, metadata=metadata)._bound

    async def answer(self, messages: list[BaseMessage], **options: Any) -> AsyncIterator[AIMessageChunk | AIMessage]:
        """The next answer of the script."""
        self.calls.append(ScriptedCall(list(messages), options))
        said: list[AIMessageChunk] = []
        for step in read_answer(self._script.next(messages)):
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, (int, float)):
                await anyio.sleep(step)
                continue
            await anyio.sleep(self._delay)
            if self._streaming:
                yield step
            else:
                said.append(step)
        if not self._streaming:
            yield sum_chunks(said).to_message() if said else AIMessage()
