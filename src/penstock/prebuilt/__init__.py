"""Ready-made agents, and their parts: the node that calls tools, and the router that leads to it."""

from __future__ import annotations

from ..tools import InjectedState, InjectedStore, ToolRuntime
from ._agent import AgentState, create_react_agent
from ._condition import tools_condition
from ._tool_node import ToolNode

__all__ = [
    "AgentState",
    "InjectedState",
    "InjectedStore",
    "ToolNode",
    "ToolRuntime",
    "create_react_agent",
    "tools_condition",
]
