"""Reading what providers stream, chunk by chunk; by shape alone, so that no SDK needs to be installed."""

from __future__ import annotations

from collections.abc import Mapping
from reprlib import Repr
from typing import Any, cast

from penstock.messages import AIMessage, AIMessageChunk, UsageMetadata, is_message

_short = Repr()
_short.maxstring = _short.maxother = 120


def read_delta(item: Any) -> Any:
    """What one item of a provider's stream says, as a message chunk; None if it says nothing.

    Args:
        item: text, a message chunk (ours or LangChain's), a chunk of OpenAI's chat completions or an event of
            OpenAI's responses or of Anthropic's messages, each as an SDK object or as a dict.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(item, str):
        return AIMessageChunk(item)
    if is_message(item):
        return item
    if get(item, "choices") is not None:
        return read_openai(item)
    kind = get(item, "type")
    if isinstance(kind, str):
        return _read_response_event(kind, item) if kind.startswith("response.") else read_anthropic(item)
    if isinstance(item, Mapping) and isinstance(item.get("content"), (str, list)):
        return AIMessageChunk(item["content"])
    if item is None or isinstance(item, (bytes, int, float, tuple, list, Mapping)):
        raise TypeError(
            f"cannot read {_short.repr(item)} ({type(item).__name__}) as a piece of a model's answer; expected text, "
            "an AIMessageChunk, or what the SDKs of OpenAI and Anthropic stream. Map the iterator to one of these, "
            "such as (piece.text async for piece in answer)"
        )
    raise TypeError(
        f"cannot read a {type(item).__name__} as a piece of a model's answer; expected text, an AIMessageChunk, or "
        "what the SDKs of OpenAI and Anthropic stream"
    )


def get(item: Any, key: str) -> Any:
    """An attribute of an SDK object, or a key of a dict; None if there is none."""
    return item.get(key) if isinstance(item, Mapping) else getattr(item, key, None)


# --- OpenAI ----------------------------------------------------------------------------------------------


def read_openai(item: Any) -> AIMessageChunk | None:
    """One chunk of a streamed chat completion."""
    choices = get(item, "choices")
    usage = openai_usage(get(item, "usage"))
    if not choices:
        return None if usage is None else AIMessageChunk(usage_metadata=usage)
    choice = choices[0]
    delta = get(choice, "delta")
    reasoning = get(delta, "reasoning_content") or get(delta, "reasoning")
    finish = get(choice, "finish_reason")
    calls = get(delta, "tool_calls")
    return AIMessageChunk(
        get(delta, "content") or get(delta, "refusal") or "",
        tool_call_chunks=[_openai_call(call) for call in calls] if calls else None,
        usage_metadata=usage,
        additional_kwargs={"reasoning_content": reasoning} if isinstance(reasoning, str) and reasoning else None,
        response_metadata=_openai_end(item, finish) if finish else None,
    )


def read_openai_whole(item: Any) -> AIMessage:
    """A chat completion that was not streamed."""
    choice = get(item, "choices")[0]
    message = get(choice, "message")
    calls = [{**_openai_call(call), "index": index} for index, call in enumerate(get(message, "tool_calls") or ())]
    reasoning = get(message, "reasoning_content") or get(message, "reasoning")
    return AIMessageChunk(
        get(message, "content") or get(message, "refusal") or "",
        tool_call_chunks=calls,
        usage_metadata=openai_usage(get(item, "usage")),
        additional_kwargs={"reasoning_content": reasoning} if isinstance(reasoning, str) and reasoning else None,
        response_metadata=_openai_end(item, get(choice, "finish_reason")),
    ).to_message()


def _openai_call(call: Any) -> dict[str, Any]:
    function = get(call, "function")
    return {
        "name": get(function, "name"),
        "args": get(function, "arguments"),
        "id": get(call, "id"),
        "index": get(call, "index"),
    }


def _openai_end(item: Any, finish: Any) -> dict[str, Any]:
    said = {
        "finish_reason": finish,
        "model_name": get(item, "model"),
        "system_fingerprint": get(item, "system_fingerprint"),
        "id": get(item, "id"),
    }
    return {key: value for key, value in said.items() if value is not None}


def openai_usage(usage: Any) -> UsageMetadata | None:
    """Tokens used, as chat completions and responses count them."""
    if usage is None:
        return None
    read = _first(usage, "prompt_tokens", "input_tokens")
    written = _first(usage, "completion_tokens", "output_tokens")
    inputs = get(usage, "prompt_tokens_details") or get(usage, "input_tokens_details")
    outputs = get(usage, "completion_tokens_details") or get(usage, "output_tokens_details")
    made: dict[str, Any] = {
        "input_tokens": read,
        "output_tokens": written,
        "total_tokens": get(usage, "total_tokens") or read + written,
    }
    _add_details(made, "input_token_details", {"cache_read": get(inputs, "cached_tokens")}, inputs)
    _add_details(made, "output_token_details", {"reasoning": get(outputs, "reasoning_tokens")}, outputs)
    return cast("UsageMetadata", made)


def _first(usage: Any, *keys: str) -> int:
    return next((int(value) for key in keys if (value := get(usage, key)) is not None), 0)


def _add_details(made: dict[str, Any], key: str, details: dict[str, Any], source: Any) -> None:
    found = {name: value for name, value in {**details, "audio": get(source, "audio_tokens")}.items() if value}
    if found:
        made[key] = found


def _read_response_event(kind: str, item: Any) -> AIMessageChunk | None:
    """One event of OpenAI's responses API."""
    if kind in ("response.output_text.delta", "response.refusal.delta"):
        return AIMessageChunk(get(item, "delta") or "")
    if kind == "response.output_item.added" and get(get(item, "item"), "type") == "function_call":
        call = get(item, "item")
        piece = {"name": get(call, "name"), "args": "", "id": get(call, "call_id"), "index": get(item, "output_index")}
        return AIMessageChunk(tool_call_chunks=[piece])
    if kind == "response.function_call_arguments.delta":
        return AIMessageChunk(tool_call_chunks=[{"args": get(item, "delta"), "index": get(item, "output_index")}])
    if kind in ("response.completed", "response.incomplete"):
        response = get(item, "response")
        return AIMessageChunk(
            usage_metadata=openai_usage(get(response, "usage")),
            response_metadata={"finish_reason": get(response, "status"), "model_name": get(response, "model")},
        )
    return None


# --- Anthropic -------------------------------------------------------------------------------------------


def read_anthropic(item: Any) -> AIMessageChunk | None:
    """One event of a streamed message."""
    kind = get(item, "type")
    if kind == "content_block_delta":
        return _anthropic_delta(get(item, "delta"), get(item, "index"))
    if kind == "content_block_start":
        return _anthropic_block(get(item, "content_block"), get(item, "index"))
    if kind == "message_start":
        message = get(item, "message")
        said = {"model_name": get(message, "model"), "id": get(message, "id")}
        return AIMessageChunk(
            # What it says of the output is only the beginning of the count that message_delta completes.
            usage_metadata=anthropic_usage(get(message, "usage"), output=False),
            response_metadata={key: value for key, value in said.items() if value is not None},
        )
    if kind == "message_delta":
        delta, usage = get(item, "delta"), get(item, "usage")
        said = {key: get(delta, key) for key in ("stop_reason", "stop_sequence")}
        written = get(usage, "output_tokens") or 0
        return AIMessageChunk(
            usage_metadata={"input_tokens": 0, "output_tokens": written, "total_tokens": written},
            response_metadata={key: value for key, value in said.items() if value is not None},
        )
    return None


def read_anthropic_whole(item: Any) -> AIMessage:
    """A message that was not streamed."""
    answer = AIMessageChunk()
    for index, block in enumerate(get(item, "content") or ()):
        piece = _anthropic_block(block, index)
        if piece is not None:
            answer += piece
    said = {"model_name": "model", "id": "id", "stop_reason": "stop_reason", "stop_sequence": "stop_sequence"}
    answer += AIMessageChunk(
        usage_metadata=anthropic_usage(get(item, "usage")),
        response_metadata={name: value for name, key in said.items() if (value := get(item, key)) is not None},
    )
    return answer.to_message()


def _anthropic_block(block: Any, index: Any) -> AIMessageChunk | None:
    kind = get(block, "type")
    if kind == "text":
        text = get(block, "text")
        return AIMessageChunk(text) if text else None
    if kind == "tool_use":
        given = get(block, "input")
        piece = AIMessageChunk(tool_calls=[{"name": get(block, "name"), "args": given or {}, "id": get(block, "id")}])
        written = piece.tool_call_chunks[0]["args"] if given else ""
        call = {"name": get(block, "name"), "args": written, "id": get(block, "id"), "index": index}
        return AIMessageChunk(tool_call_chunks=[call])
    if kind == "thinking":
        thought = {"type": "thinking", "thinking": get(block, "thinking") or "", "index": index}
        if get(block, "signature"):
            thought["signature"] = get(block, "signature")
        return AIMessageChunk([thought])
    if kind == "redacted_thinking":
        return AIMessageChunk([{"type": kind, "data": get(block, "data"), "index": index}])
    return None


def _anthropic_delta(delta: Any, index: Any) -> AIMessageChunk | None:
    kind = get(delta, "type")
    if kind == "text_delta":
        return AIMessageChunk(get(delta, "text") or "")
    if kind == "input_json_delta":
        return AIMessageChunk(tool_call_chunks=[{"args": get(delta, "partial_json") or "", "index": index}])
    if kind == "thinking_delta":
        return AIMessageChunk([{"type": "thinking", "thinking": get(delta, "thinking") or "", "index": index}])
    if kind == "signature_delta":
        return AIMessageChunk([{"type": "thinking", "signature": get(delta, "signature") or "", "index": index}])
    return None


def anthropic_usage(usage: Any, *, output: bool = True) -> UsageMetadata | None:
    """Tokens used, as Anthropic counts them: what came from a cache or went into one is extra."""
    if usage is None:
        return None
    created, cached = get(usage, "cache_creation_input_tokens") or 0, get(usage, "cache_read_input_tokens") or 0
    read = (get(usage, "input_tokens") or 0) + created + cached
    written = (get(usage, "output_tokens") or 0) if output else 0
    made: UsageMetadata = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
    if created or cached:
        made["input_token_details"] = {"cache_creation": created, "cache_read": cached}
    return made
