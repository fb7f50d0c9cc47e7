"""The node that calls tools and what belongs to it, at the path users of LangGraph import them from."""

from __future__ import annotations

from ..tools import InjectedState, InjectedStore, ToolRuntime
from ._condition import tools_condition
from ._tool_node import ToolNode

__all__ = ["InjectedState", "InjectedStore", "ToolNode", "ToolRuntime", "tools_condition"]
