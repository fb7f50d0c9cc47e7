"""The agent and its state, at the path users of LangGraph import them from."""

from __future__ import annotations

from ._agent import AgentState, create_react_agent

__all__ = ["AgentState", "create_react_agent"]
