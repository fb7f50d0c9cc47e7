"""Descriptions of tools, as a model is told about them: one form for all providers."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from penstock.tools import as_tool


def describe_tools(tools: Iterable[Any]) -> list[dict[str, Any]]:
    """The tools as a model is told about them.

    Raises:
        TypeError: something is no tool.
        ToolDefinitionError: a function does not say what a model needs to know of it.
    """
    if isinstance(tools, (str, Mapping)) or not isinstance(tools, Iterable):
        raise TypeError(f"bind_tools() expects a list of tools, got {tools!r} ({type(tools).__name__})")
    return [describe_tool(tool) for tool in tools]


def describe_tool(tool: Any) -> dict[str, Any]:
    """One tool: `{"type": "function", "function": {"name", "description", "parameters"}}`.

    A dict of a kind that only its provider knows, such as a web search that runs there, is left as it is.
    """
    if isinstance(tool, Mapping):
        return _described_dict(tool)
    if isinstance(tool, type):
        described: Any = tool
        if not hasattr(tool, "model_json_schema"):
            raise TypeError(
                f"{tool.__name__} cannot be shown to a model as a tool; expected a pydantic model, a tool made with "
                "@tool, or a dict with name, description and parameters"
            )
        return function_tool(tool.__name__, inspect.getdoc(tool) or "", described.model_json_schema())
    name = getattr(tool, "name", None)
    if isinstance(name, str) and hasattr(tool, "args_schema"):
        schema = getattr(tool, "tool_call_schema", None)
        if schema is None:
            schema = tool.args_schema
        return function_tool(name, getattr(tool, "description", None) or "", _schema_of(schema, name))
    if callable(tool):
        return describe_tool(as_tool(tool))
    raise TypeError(
        f"bind_tools() got {tool!r} ({type(tool).__name__}); expected a tool made with @tool, an object with name, "
        "description and args_schema, or a dict with name, description and parameters"
    )


def function_tool(name: str, description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A tool in the form that all adapters read."""
    parameters = {key: value for key, value in schema.items() if key not in ("title", "description")}
    parameters.setdefault("type", "object")
    parameters.setdefault("properties", {})
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def _described_dict(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if tool.get("type") == "function" and isinstance(function, Mapping):
        return dict(tool)
    name = tool.get("name") or tool.get("title")
    schema = tool.get("parameters") or tool.get("input_schema")
    if schema is None and "properties" in tool:
        schema = tool
    if isinstance(name, str) and isinstance(schema, Mapping):
        return function_tool(name, tool.get("description") or "", schema)
    if isinstance(tool.get("type"), str) and tool["type"] not in ("function", "object"):
        return dict(tool)
    if isinstance(name, str) and tool.get("type") in (None, "function"):
        return function_tool(name, tool.get("description") or "", {})
    raise TypeError(
        f"cannot read {dict(tool)!r} as a tool; expected name, description and parameters (a JSON schema), at the top "
        "or under 'function'"
    )


def _schema_of(schema: Any, name: str) -> Mapping[str, Any]:
    if schema is None:
        return {}
    if isinstance(schema, Mapping):
        return schema
    if hasattr(schema, "model_json_schema"):
        made: Mapping[str, Any] = schema.model_json_schema()
        return made
    raise TypeError(
        f"the args_schema of tool {name!r} is {schema!r}; expected a JSON schema (a dict) or a pydantic model"
    )


def tool_names(tools: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of described tools."""
    found = (tool.get("function", tool).get("name") for tool in tools)
    return [name for name in found if isinstance(name, str)]
