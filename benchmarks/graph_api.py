"""The LangGraph-shaped API, taken from whichever package offers it: the same source measures both."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .backends import Backend


class GraphApi:
    """The public names that the workloads use, imported from one root (``penstock`` or ``langgraph``)."""

    def __init__(self, root: str, backend: Backend) -> None:
        self.root = root
        self.backend = backend
        graph: Any = import_module(f"{root}.graph")
        self.StateGraph = graph.StateGraph
        self.START = graph.START
        self.END = graph.END
        self.Send: Any = import_module(f"{root}.types").Send
        self.get_stream_writer: Any = import_module(f"{root}.config").get_stream_writer

    @property
    def awaits_writes(self) -> bool:
        """LangGraph's writer returns nothing that could be awaited."""
        return self.root == "penstock"
