"""Messages and tools of another library, known by what they look like."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

pydantic = pytest.importorskip("pydantic")

MODULE = "foreignlib.messages"


class _Message(pydantic.BaseModel):
    content: Any = ""
    additional_kwargs: dict[str, Any] = pydantic.Field(default_factory=dict)
    response_metadata: dict[str, Any] = pydantic.Field(default_factory=dict)
    id: str | None = None
    name: str | None = None


class ForeignAI(_Message):
    type: str = "ai"
    tool_calls: list[Any] = pydantic.Field(default_factory=list)


class ForeignToolMessage(_Message):
    type: str = "tool"
    tool_call_id: str
    status: str = "success"
    artifact: Any = None


ForeignAI.__module__ = f"{MODULE}.ai"


def install(monkeypatch: Any) -> None:
    """Make the library importable, as one that has been imported is."""
    package = types.ModuleType(MODULE)
    package.ToolMessage = ForeignToolMessage  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, MODULE, package)


class ForeignTool:
    """A tool with validation by pydantic, and two ways to call it."""

    description = "From elsewhere."
    args_schema = None
    tags: list[str] | None = None

    def __init__(self, func: Any, *, name: str = "foreign") -> None:
        self.func = func
        self.name = name
        self.calls: list[tuple[str, Any]] = []

    def invoke(self, input: Any, config: Any = None) -> Any:
        self.calls.append(("sync", config))
        args = pydantic.validate_call(config={"arbitrary_types_allowed": True})(self.func)(**input["args"])
        return ForeignToolMessage(content=args, tool_call_id=input["id"], name=self.name)

    async def ainvoke(self, input: Any, config: Any = None) -> Any:
        answer = self.invoke(input, config)
        self.calls[-1] = ("async", config)
        return answer
