"""Turn live chunks into stable JSON, the form in which the recordings are kept.

By duck typing only, so that it reads the chunks of either library:

================  =====================================================================
tuple             ``{"__tuple__": [...]}`` (a list stays a list)
set               ``{"__set__": [...]}``, sorted by repr
exception         ``{"__exc__": "ValueError", "message": ..., "notes": [...]}``
message           ``{"type": class, "content": ..., "id": ..., fields that are not empty}``
prompt value      ``{"__type__": class, "messages": ...}``
dataclass, model  ``{"__type__": class, field: ...}``
anything else     ``{"__repr__": ...}`` without addresses
ids               ``<task:1>``, ``<msg:1>``, ... in the order in which they first appear in a run
time stamps       ``<ts>``
================  =====================================================================
"""

from __future__ import annotations

import collections
import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:\+\d\d:\d\d|Z)?")
_ELAPSED = re.compile(r"elapsed: [\d.]+s")
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
_TOKEN = re.compile(r"<(task|msg|checkpoint|run|thread|id):\d+>")
_NOTE = "During task with name "

_KINDS = {
    "id": "task",
    "task_id": "task",
    "message_id": "msg",
    "run_id": "run",
    "parent_ids": "run",
    "thread_id": "thread",
}
_TIMES = ("node_first_attempt_time",)
_MESSAGE_FIELDS = (
    "name",
    "tool_calls",
    "invalid_tool_calls",
    "tool_call_chunks",
    "chunk_position",
    "tool_call_id",
    "artifact",
    "additional_kwargs",
    "response_metadata",
    "usage_metadata",
)

_FIELDS = {  # either library has further ones of its own
    "Send": ["node", "arg"],
    "Overwrite": ["value"],
    "ChatPromptValue": ["messages"],
}


class Normaliser:
    """Numbers the ids of one run."""

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}
        self._counts: collections.Counter[str] = collections.Counter()

    def token(self, raw: str, kind: str) -> str:
        if raw not in self._tokens:
            self._counts[kind] += 1
            self._tokens[raw] = f"<{kind}:{self._counts[kind]}>"
        return self._tokens[raw]

    def text(self, text: str, kind: str = "id") -> str:
        def name(match: re.Match[str]) -> str:
            before = match.string[: match.start()]
            in_path_or_note = before.endswith((":", "and id '"))  # "node:<uuid>", "... and id '<uuid>'"
            return self.token(match.group(), "task" if in_path_or_note else kind)

        text = _TIME.sub("<ts>", _UUID.sub(name, text))
        return _ADDRESS.sub("0x..", _ELAPSED.sub("elapsed: <t>s", text))

    def __call__(self, value: Any, key: str = "") -> Any:
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, float):
            return "<ts>" if key in _TIMES else value
        if isinstance(value, str):
            return self.text(value, _KINDS.get(key, "id"))
        if isinstance(value, BaseException):
            return self.error(value)
        if isinstance(value, Mapping):
            return {self.text(str(k)): self(v, str(k)) for k, v in value.items()}
        if isinstance(value, list):
            return [self(v, key) for v in value]
        if isinstance(value, tuple) and not hasattr(value, "_fields"):
            return {"__tuple__": [self(v, key) for v in value]}
        if isinstance(value, (set, frozenset)):
            return {"__set__": sorted((self(v) for v in value), key=repr)}
        if hasattr(value, "content") and hasattr(value, "additional_kwargs"):
            return self.message(value)
        return self.record(value)

    def error(self, error: BaseException) -> dict[str, Any]:
        """Of the notes only the one both libraries write: each adds its own besides."""
        shown: dict[str, Any] = {"__exc__": type(error).__name__, "message": self.text(str(error))}
        if notes := [self.text(n) for n in getattr(error, "__notes__", ()) if n.startswith(_NOTE)]:
            shown["notes"] = notes
        return shown

    def message(self, message: Any) -> dict[str, Any]:
        shown = {"type": type(message).__name__, "content": self(message.content)}
        # Libraries put words of their own before the UUID ("run--...").
        made_up = message.id is not None and _UUID.search(message.id)
        shown["id"] = self.token(message.id, "msg") if made_up else message.id
        fields = {f: getattr(message, f, None) for f in _MESSAGE_FIELDS}
        if getattr(message, "status", "success") != "success":
            fields["status"] = message.status
        return shown | {f: self(v, "tool") for f, v in fields.items() if v}

    def record(self, value: Any) -> Any:
        name = type(value).__name__
        if name in _FIELDS:
            fields = _FIELDS[name]
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = [f.name for f in dataclasses.fields(value)]
        elif isinstance(value, tuple):
            fields = list(value._fields)  # type: ignore[attr-defined]
        elif hasattr(type(value), "model_fields"):
            fields = list(type(value).model_fields)
        else:
            return {"__repr__": self.text(repr(value))}
        return {"__type__": name, **{f: self(getattr(value, f, None), f) for f in fields}}


def renumber(outcome: Any) -> Any:
    """Count the ids of `outcome` afresh, as when chunks were left out of a recording."""
    fresh = Normaliser()
    text = json.dumps(outcome, sort_keys=True)  # the order of numbering must not hang on the order of keys
    return json.loads(_TOKEN.sub(lambda m: fresh.token(m.group(), m.group(1)), text))


def without_library(value: Any) -> Any:
    """Without the keys of a model call's metadata that say which library made it, and of which version."""
    if isinstance(value, dict):
        return {k: without_library(v) for k, v in value.items() if k not in ("lc_versions", "ls_integration")}
    return [without_library(v) for v in value] if isinstance(value, list) else value


def without_tool_ids(value: Any) -> Any:
    """Without the ids of tool messages: a reducer gives them, in place, so an event shows them or not as it is read."""
    if isinstance(value, dict):
        left_out = ("id",) if value.get("type") == "ToolMessage" else ()
        return {k: without_tool_ids(v) for k, v in value.items() if k not in left_out}
    return [without_tool_ids(v) for v in value] if isinstance(value, list) else value


def by_producer(events: list[Any]) -> list[Any]:
    """Events by what made them, in any order of producers: for runs side by side, whose order is left open.

    A producer is a run, or one branch of it: its chunks for one node, one key, one namespace. Two tasks of one node are
    two, so the updates of a node stand each for itself.
    """
    names = {event["run_id"]: event["name"] for event in events if event["event"] != "on_custom_event"}
    groups: dict[str, list[Any]] = {}
    for event in events:
        chunk = event["data"].get("chunk") if isinstance(event["data"], dict) else None
        path = [names.get(parent) for parent in event["parent_ids"]]
        branch = json.dumps(chunk) if not path and chunk is not None else _branch(chunk)
        groups.setdefault(f"{event['run_id']} {branch}", []).append({**event, "run_id": "", "parent_ids": path})
    return sorted(([as_line(event) for event in renumber(group)] for group in groups.values()), key=json.dumps)


def _branch(chunk: Any) -> str:
    if isinstance(chunk, dict) and "__tuple__" in chunk:
        *where, last = chunk["__tuple__"]
        return f"{json.dumps(where)} {_branch(last)}"
    return json.dumps(sorted(chunk)) if isinstance(chunk, dict) and "type" not in chunk else ""


def as_line(event: Any) -> str:
    """An event as one line of a difference."""
    rest = {key: value for key, value in event.items() if key not in ("event", "name")}
    return f"{event['event']} {event['name']} " + " ".join(
        f"{key}={json.dumps(rest[key], sort_keys=True)}" for key in sorted(rest, key=_SHOWN.index)
    )


_SHOWN = ["run_id", "parent_ids", "tags", "data", "metadata"]
