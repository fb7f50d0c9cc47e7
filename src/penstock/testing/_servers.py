"""Fake servers with the APIs of OpenAI and Anthropic."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any

from penstock.messages import AIMessage, AIMessageChunk, UsageMetadata, sum_chunks

from ._http import FakeServer, HangUp, HTTPFailure
from ._script import ScriptedAnswer, read_answer


def _read_usage(request: Any, said: UsageMetadata | None, pieces: int) -> tuple[int, int]:
    """Tokens in and out: as scripted, or a word per token."""
    if said is not None:
        return said["input_tokens"], said["output_tokens"]
    asked = sum(len(str(message.get("content", "")).split()) for message in request.get("messages", ()))
    return asked, pieces


def _collect(answer: ScriptedAnswer) -> tuple[AIMessage, int]:
    """A whole answer, and how many pieces it has."""
    said: list[AIMessageChunk] = []
    for step in read_answer(answer):
        if isinstance(step, BaseException):
            raise step if isinstance(step, (HTTPFailure, HangUp)) else HTTPFailure(500, str(step))
        if isinstance(step, AIMessageChunk):
            said.append(step)
    return (sum_chunks(said).to_message() if said else AIMessage()), len(said)


class FakeOpenAIServer(FakeServer):
    """A server on loopback with OpenAI's chat completions, streamed or not, that answers from a script.

    Args:
        answers: one per request, in the forms that `ScriptedChatModel` takes; a function gets the request's JSON. An
            `HTTPFailure` or a `HangUp` may stand where an exception may.
        delay: seconds before each piece.
        cycle: begin again after the last answer; otherwise one request too many is refused with status 500.

    Example:
        ```python
        from urllib.request import Request, urlopen

        from penstock.testing import FakeOpenAIServer

        with FakeOpenAIServer(["Hello there"]) as server:
            body = b'{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}'
            with urlopen(Request(f"{server.base_url}/chat/completions", body)) as answer:
                assert b'"Hello there"' in answer.read()
        assert server.requests[0].body["messages"][0]["content"] == "Hi"
        ```
    """

    @property
    def base_url(self) -> str:
        """What the SDK takes as `base_url`."""
        return f"{self.url}/v1"

    def _events(self, request: Any, answer: ScriptedAnswer) -> Iterator[bytes | float | BaseException]:
        common = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 0, "model": request.get("model")}

        def event(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            return _sse({**common, "choices": [choice]})

        said: UsageMetadata | None = None
        finish, pieces = "stop", 0
        yield event({"role": "assistant", "content": ""})
        for step in read_answer(answer):
            if not isinstance(step, AIMessageChunk):
                yield step
                continue
            pieces += 1
            said = step.usage_metadata or said
            finish = step.response_metadata.get("finish_reason", "tool_calls" if step.tool_call_chunks else finish)
            if step.content or step.tool_call_chunks:
                yield event(_openai_delta(step))
        yield event({}, finish)
        if (request.get("stream_options") or {}).get("include_usage"):
            yield _sse({**common, "choices": [], "usage": _openai_usage(_read_usage(request, said, pieces))})
        yield b"data: [DONE]\n\n"

    def _whole(self, request: Any, answer: ScriptedAnswer) -> Any:
        message, pieces = _collect(answer)
        made: dict[str, Any] = {"role": "assistant", "content": message.text or None}
        if message.tool_calls:
            made["tool_calls"] = [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": call["name"], "arguments": json.dumps(call["args"])},
                }
                for call in message.tool_calls
            ]
        finish = "tool_calls" if message.tool_calls else "stop"
        return {
            "id": "chatcmpl-fake",
            "object": "chat.completion",
            "created": 0,
            "model": request.get("model"),
            "choices": [{"index": 0, "message": made, "finish_reason": finish}],
            "usage": _openai_usage(_read_usage(request, message.usage_metadata, pieces)),
        }

    def _error(self, failure: HTTPFailure) -> Any:
        return {"error": {"message": failure.message, "type": "scripted", "param": None, "code": None}}

    def _error_event(self, failure: HTTPFailure) -> bytes:
        return _sse(self._error(failure))


def _sse(data: Any, event: str | None = None) -> bytes:
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(data)}\n\n".encode()


def _openai_usage(tokens: tuple[int, int]) -> dict[str, int]:
    return {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}


def _openai_delta(step: AIMessageChunk) -> dict[str, Any]:
    delta: dict[str, Any] = {}
    if step.content:
        delta["content"] = step.text
    calls = []
    for piece in step.tool_call_chunks:
        call: dict[str, Any] = {"index": piece["index"] or 0, "function": {"arguments": piece["args"] or ""}}
        if piece["id"] is not None:
            call |= {"id": piece["id"], "type": "function"}
            call["function"]["name"] = piece["name"]
        calls.append(call)
    if calls:
        delta["tool_calls"] = calls
    return delta


class FakeAnthropicServer(FakeServer):
    """A server on loopback with Anthropic's messages, streamed or not, that answers from a script.

    Args:
        answers: one per request, in the forms that `ScriptedChatModel` takes; a function gets the request's JSON. An
            `HTTPFailure` or a `HangUp` may stand where an exception may.
        delay: seconds before each piece.
        cycle: begin again after the last answer; otherwise one request too many is refused with status 500.

    Example:
        ```python
        from urllib.request import Request, urlopen

        from penstock.testing import FakeAnthropicServer

        with FakeAnthropicServer(["Hello there"]) as server:
            body = b'{"model": "m", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "Hi"}]}'
            with urlopen(Request(f"{server.base_url}/v1/messages", body)) as answer:
                assert b'"text": " there"' in answer.read()
        assert server.requests[0].path == "/v1/messages"
        ```
    """

    @property
    def base_url(self) -> str:
        """What the SDK takes as `base_url`."""
        return self.url

    def _events(self, request: Any, answer: ScriptedAnswer) -> Iterator[bytes | float | BaseException]:
        message = {"id": "msg_fake", "type": "message", "role": "assistant", "model": request.get("model")}
        asked, _ = _read_usage(request, None, 0)
        start = {**message, "content": [], "stop_reason": None, "usage": {"input_tokens": asked, "output_tokens": 1}}
        yield _named({"type": "message_start", "message": start})
        blocks = _Blocks()
        said: UsageMetadata | None = None
        stop, pieces = "end_turn", 0
        for step in read_answer(answer):
            if not isinstance(step, AIMessageChunk):
                yield step
                continue
            pieces += 1
            said = step.usage_metadata or said
            stop = step.response_metadata.get("stop_reason", "tool_use" if step.tool_call_chunks else stop)
            yield from map(_named, blocks.add(step))
        yield from map(_named, blocks.close())
        written = _read_usage(request, said, pieces)[1]
        delta = {"stop_reason": stop, "stop_sequence": None}
        yield _named({"type": "message_delta", "delta": delta, "usage": {"output_tokens": written}})
        yield _named({"type": "message_stop"})

    def _whole(self, request: Any, answer: ScriptedAnswer) -> Any:
        message, pieces = _collect(answer)
        content: list[dict[str, Any]] = [{"type": "text", "text": message.text}] if message.text else []
        content += [
            {"type": "tool_use", "id": call["id"], "name": call["name"], "input": call["args"]}
            for call in message.tool_calls
        ]
        asked, written = _read_usage(request, message.usage_metadata, pieces)
        return {
            "id": "msg_fake",
            "type": "message",
            "role": "assistant",
            "model": request.get("model"),
            "content": content,
            "stop_reason": "tool_use" if message.tool_calls else "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": asked, "output_tokens": written},
        }

    def _error(self, failure: HTTPFailure) -> Any:
        return {"type": "error", "error": {"type": "scripted_error", "message": failure.message}}

    def _error_event(self, failure: HTTPFailure) -> bytes:
        return _named(self._error(failure))


def _named(event: Mapping[str, Any]) -> bytes:
    return _sse(event, event["type"])


class _Blocks:
    """The content blocks of a streamed message: one is open at a time."""

    def __init__(self) -> None:
        self._numbers = count()
        self._open: tuple[str, Any] | None = None
        self._index = -1

    def add(self, step: AIMessageChunk) -> Iterable[dict[str, Any]]:
        if step.text:
            yield from self._switch(("text", None), {"type": "text", "text": ""})
            yield self._delta({"type": "text_delta", "text": step.text})
        for piece in step.tool_call_chunks:
            block: dict[str, Any] = {"type": "tool_use", "id": piece["id"], "name": piece["name"], "input": {}}
            yield from self._switch(("tool_use", piece["index"]), block)
            if piece["args"]:
                yield self._delta({"type": "input_json_delta", "partial_json": piece["args"]})

    def close(self) -> Iterable[dict[str, Any]]:
        if self._open is not None:
            yield {"type": "content_block_stop", "index": self._index}
            self._open = None

    def _switch(self, kind: tuple[str, Any], block: dict[str, Any]) -> Iterable[dict[str, Any]]:
        if self._open != kind:
            yield from self.close()
            self._open, self._index = kind, next(self._numbers)
            yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}
