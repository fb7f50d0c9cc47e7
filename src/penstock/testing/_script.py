"""What a scripted model or server says: answers in the short forms in which tests write them, as steps."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from penstock.errors import ModelError
from penstock.messages import AIMessage, AIMessageChunk, coerce_message, is_message

ScriptedAnswer: TypeAlias = (
    str | AIMessage | Mapping[str, Any] | BaseException | type[BaseException] | Iterable[Any] | Callable[..., Any]
)
"""One answer: text, a message or dict, an error, pieces of these, or a function of the request that gives one."""

Step: TypeAlias = AIMessageChunk | float | BaseException
"""A piece to say, seconds to pause, or an error to fail with."""

_WORDS = re.compile(r"\s*\S+|\s+")
_FRAGMENT = 10
"""Characters of a tool call's arguments per chunk."""


class Script:
    """Answers in order; shared by all copies of a model, and by threads.

    Args:
        answers: the answers.
        cycle: begin again after the last one.
        owner: whose script it is, for the error.
    """

    def __init__(self, answers: Iterable[ScriptedAnswer], *, cycle: bool, owner: str) -> None:
        if isinstance(answers, (str, Mapping)) or is_message(answers) or not isinstance(answers, Iterable):
            raise TypeError(f"{owner} expects a list of answers, got {answers!r} ({type(answers).__name__})")
        self._answers = list(answers)
        self._cycle = cycle
        self._owner = owner
        self._next = 0
        self._lock = threading.Lock()

    def next(self, *request: Any) -> ScriptedAnswer:
        """The next answer.

        Raises:
            ModelError: there is none.
        """
        with self._lock:
            number, self._next = self._next, self._next + 1
        if number >= len(self._answers) and not (self._cycle and self._answers):
            raise ModelError(
                f"the script of {self._owner} has {len(self._answers)} answers, and this is request {number + 1}; "
                "add one, or pass cycle=True"
            )
        answer = self._answers[number % len(self._answers)]
        if callable(answer) and not isinstance(answer, type):
            made: ScriptedAnswer = answer(*request)
            return made
        return answer


def read_answer(answer: Any) -> Iterator[Step]:
    """The steps of one answer."""
    if isinstance(answer, BaseException) or (isinstance(answer, type) and issubclass(answer, BaseException)):
        yield answer if isinstance(answer, BaseException) else answer()
    elif isinstance(answer, AIMessageChunk):
        # A fresh one: whoever says it fills in the id.
        yield answer.model_copy()
    elif isinstance(answer, str):
        yield from _say(answer)
    elif isinstance(answer, Mapping) or is_message(answer):
        yield from _say_message(_message(answer))
    elif isinstance(answer, Iterable):
        for piece in answer:
            yield from _read_piece(piece)
    else:
        raise TypeError(
            f"cannot read {answer!r} ({type(answer).__name__}) as a scripted answer; expected text, an AIMessage, a "
            "dict with content or tool_calls, an exception, or a list of pieces"
        )


def _read_piece(piece: Any) -> Iterator[Step]:
    if isinstance(piece, str):
        yield AIMessageChunk(piece)
    elif isinstance(piece, (int, float)):
        yield float(piece)
    else:
        yield from read_answer(piece)


def _say(text: str) -> Iterator[Step]:
    for word in _WORDS.findall(text):
        yield AIMessageChunk(word)


def _message(answer: Any) -> Any:
    if not isinstance(answer, Mapping):
        return answer
    calls = [
        {"id": f"call_{number}", **call} if isinstance(call, Mapping) and "function" not in call else call
        for number, call in enumerate(answer.get("tool_calls") or (), 1)
    ]
    made = {"role": "assistant", "content": "", **answer}
    return coerce_message({**made, "tool_calls": calls} if calls else made)


def _say_message(message: Any) -> Iterator[Step]:
    if isinstance(message.content, str):
        yield from _say(message.content)
    elif message.content:
        yield AIMessageChunk(message.content)
    for index, call in enumerate(message.tool_calls):
        yield AIMessageChunk(tool_call_chunks=[{"name": call["name"], "args": "", "id": call["id"], "index": index}])
        written = json.dumps(call["args"], ensure_ascii=False)
        for start in range(0, len(written), _FRAGMENT):
            yield AIMessageChunk(tool_call_chunks=[{"args": written[start : start + _FRAGMENT], "index": index}])
    if message.usage_metadata or message.response_metadata:
        yield AIMessageChunk(usage_metadata=message.usage_metadata, response_metadata=message.response_metadata)
