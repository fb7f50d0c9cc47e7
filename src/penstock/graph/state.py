"""The builder and the compiled graph, at the path users of LangGraph import them from."""

from __future__ import annotations

from ._builder import StateGraph
from ._compiled import CompiledStateGraph

__all__ = ["CompiledStateGraph", "StateGraph"]
