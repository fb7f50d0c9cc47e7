"""Calls of tools that a model asks for: whole, still arriving, or not readable."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict

from penstock.errors import MessageError

from ._partial_json import read_object


class ToolCall(TypedDict):
    """A model asks for a tool: `name` with `args`. The tool's answer carries the same `id`."""

    name: str
    args: dict[str, Any]
    id: str | None
    type: NotRequired[Literal["tool_call"]]


class InvalidToolCall(TypedDict):
    """A call whose arguments are no JSON object: `args` as the model wrote them, and what is wrong."""

    name: str | None
    args: str | None
    id: str | None
    error: str | None
    type: NotRequired[Literal["invalid_tool_call"]]


class ToolCallChunk(TypedDict):
    """Part of a call: pieces with one `index` belong together, their `args` are pieces of one JSON text."""

    name: str | None
    args: str | None
    id: str | None
    index: int | str | None
    type: NotRequired[Literal["tool_call_chunk"]]


def read_tool_calls(calls: Iterable[Mapping[str, Any]], owner: str) -> list[ToolCall]:
    """Calls as a message holds them, or a `MessageError` that names what is missing."""
    return [_read_tool_call(call, owner) for call in calls]


def _read_tool_call(call: Any, owner: str) -> ToolCall:
    if not isinstance(call, Mapping):
        raise MessageError(
            f"{owner} got {call!r} ({type(call).__name__}) as a tool call; expected a dict with name, args and id"
        )
    name, args = call.get("name"), call.get("args")
    if not isinstance(name, str) or not isinstance(args, Mapping):
        raise MessageError(f"{owner} got the tool call {dict(call)!r}; expected a name (text), args (a dict) and an id")
    return {"name": name, "args": dict(args), "id": call.get("id"), "type": "tool_call"}


def read_invalid_tool_calls(calls: Iterable[Mapping[str, Any]]) -> list[InvalidToolCall]:
    """Unreadable calls as a message holds them; what they lack is None."""
    return [
        {
            "name": call.get("name"),
            "args": call.get("args"),
            "id": call.get("id"),
            "error": call.get("error"),
            "type": "invalid_tool_call",
        }
        for call in calls
    ]


def read_tool_call_chunks(chunks: Iterable[Mapping[str, Any]]) -> list[ToolCallChunk]:
    """Parts of calls as a chunk holds them; what they lack is None."""
    return [
        {
            "name": chunk.get("name"),
            "args": chunk.get("args"),
            "id": chunk.get("id"),
            "index": chunk.get("index"),
            "type": "tool_call_chunk",
        }
        for chunk in chunks
    ]


def whole_calls_as_chunks(
    calls: Sequence[ToolCall], invalid: Sequence[InvalidToolCall], owner: str
) -> list[ToolCallChunk]:
    """Whole calls in the form in which chunks add up."""
    chunks: list[ToolCallChunk] = []
    for call in calls:
        try:
            args = json.dumps(call["args"])
        except (TypeError, ValueError) as error:
            raise MessageError(f"{owner} got args for tool {call['name']!r} that JSON cannot hold: {error}") from error
        chunks.append({"name": call["name"], "args": args, "id": call["id"], "index": None, "type": "tool_call_chunk"})
    chunks.extend(
        {"name": bad["name"], "args": bad["args"], "id": bad["id"], "index": None, "type": "tool_call_chunk"}
        for bad in invalid
    )
    return chunks


def join_tool_call_chunks(left: Sequence[ToolCallChunk], right: Sequence[ToolCallChunk]) -> list[ToolCallChunk]:
    """Parts of calls followed by more parts.

    A part continues the last one of the same index, unless it brings an id of its own: then it begins another
    call, because some providers give all calls of one answer the same index. A part without index stands for
    itself. Neither side changes.
    """
    joined: list[ToolCallChunk] = []
    places: dict[int | str, int] = {}
    for chunk in (*left, *right):
        index = chunk["index"]
        place = None if index is None else places.get(index)
        if place is not None and (not chunk["id"] or chunk["id"] == joined[place]["id"]):
            joined[place] = _continued(joined[place], chunk)
            continue
        if index is not None:
            places[index] = len(joined)
        joined.append(chunk)
    return joined


def _continued(left: ToolCallChunk, right: ToolCallChunk) -> ToolCallChunk:
    return {
        "name": _join_text(left["name"], right["name"]),
        "args": _join_text(left["args"], right["args"]),
        "id": left["id"] if left["id"] is not None else right["id"],
        "index": left["index"],
        "type": "tool_call_chunk",
    }


def _join_text(left: str | None, right: str | None) -> str | None:
    if left is None or right is None:
        return right if left is None else left
    return left + right


def parse_tool_call_chunks(chunks: Sequence[ToolCallChunk]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """What the parts amount to so far: calls whose arguments can be read, and the others.

    Parts of one call are brought together where :func:`join_tool_call_chunks` had to leave them apart because
    it could not know what came before them: those with the same index and id, and those that arrived before
    their call had an id.
    """
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for chunk in _whole(join_tool_call_chunks(chunks, ())) if len(chunks) > 1 else chunks:
        args = _arguments(chunk["args"])
        if args is None:
            invalid.append(
                {
                    "name": chunk["name"],
                    "args": chunk["args"],
                    "id": chunk["id"],
                    "error": None,
                    "type": "invalid_tool_call",
                }
            )
        else:
            calls.append({"name": chunk["name"] or "", "args": args, "id": chunk["id"], "type": "tool_call"})
    return calls, invalid


def _arguments(text: str | None) -> dict[str, Any] | None:
    return read_object(text) if text else {}


def _whole(chunks: Sequence[ToolCallChunk]) -> list[ToolCallChunk]:
    whole: list[ToolCallChunk] = []
    places: dict[tuple[int | str, str | None], int] = {}
    for chunk in chunks:
        index, call_id = chunk["index"], chunk["id"] or None
        if index is None:
            whole.append(chunk)
            continue
        key = (index, call_id)
        place = places.get(key)
        if place is None and call_id is not None:
            place = places.pop((index, None), None)
        if place is None:
            places[key] = len(whole)
            whole.append(chunk)
        else:
            joined = _continued(whole[place], chunk)
            joined["id"] = call_id
            whole[place] = joined
            places[key] = place
    return whole
