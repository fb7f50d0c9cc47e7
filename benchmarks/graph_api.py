"""The LangGraph-shaped API, taken from whichever package offers it: the same source measures both."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .backends import Backend
from .model import Absent


class GraphApi:
    """The public names that the workloads use, imported from one root (``penstock`` or ``langgraph``)."""

    def __init__(self, root: str, backend: Backend) -> None:
        self.root = root
        self.backend = backend
        graph: Any = import_module(f"{root}.graph")
        self.StateGraph = graph.StateGraph
        self.MessagesState = graph.MessagesState
        self.START = graph.START
        self.END = graph.END
        self.Send: Any = import_module(f"{root}.types").Send
        self.get_stream_writer: Any = import_module(f"{root}.config").get_stream_writer

    @property
    def native(self) -> bool:
        """It has an own answer where LangGraph's is another library's, or none."""
        return self.root == "penstock"

    @property
    def awaits_writes(self) -> bool:
        """LangGraph's writer returns nothing that could be awaited."""
        return self.native

    @property
    def chat(self) -> Any:
        """The scripted models that belong to it: its own, or LangChain's.  Imported only by those who need them."""
        return import_module(f"{__package__}.chat.native") if self.native else self.langchain

    @property
    def langchain(self) -> Any:
        try:
            return import_module(f"{__package__}.chat.langchain")
        except ImportError as error:
            raise Absent(str(error)) from error

    @property
    def create_react_agent(self) -> Any:
        return import_module(f"{self.root}.prebuilt").create_react_agent
