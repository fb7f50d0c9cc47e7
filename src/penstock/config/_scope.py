"""The task that is running around the current code, found through one context variable.

A context variable follows the code wherever Python carries a context: helpers, child tasks, worker threads.
Nothing else is looked up by position, so a tool needs no arguments to reach its run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextvars import ContextVar

from ..errors import OutsideRunError
from ..types import StreamWriter
from ._config import RunConfig, RunnableConfig


class TaskScope(ABC):
    """One attempt of one task, as seen by the code that runs inside it."""

    __slots__ = ()

    @property
    @abstractmethod
    def writer(self) -> StreamWriter:
        """Writes `custom` chunks of this task."""

    @property
    @abstractmethod
    def run_config(self) -> RunConfig:
        """Config of the run, without what only this task adds."""

    @abstractmethod
    def config(self) -> RunnableConfig:
        """Config as a node gets it: the run's, with this task's metadata."""


_current: ContextVar[TaskScope | None] = ContextVar("penstock_task", default=None)


def maybe_scope() -> TaskScope | None:
    """The task around the calling code, or None outside of a run."""
    return _current.get()


def current_scope(asked_for: str) -> TaskScope:
    """The task around the calling code.

    Args:
        asked_for: what the caller wants it for; named in the error.

    Raises:
        OutsideRunError: there is none.
    """
    scope = _current.get()
    if scope is None:
        raise OutsideRunError(
            f"{asked_for} was called outside of a running node. It works in nodes, tools, routers, and tasks and "
            "threads that carry their context (anyio.to_thread.run_sync, asyncio.to_thread); start other threads "
            "with contextvars.copy_context().run, or take the writer as an argument"
        )
    return scope


def get_stream_writer() -> StreamWriter:
    """The writer for `custom` chunks of the node around the calling code.

    Raises:
        OutsideRunError: called outside of a running node; it is a `RuntimeError`.

    Example:
        ```python
        from typing import TypedDict

        from penstock.config import get_stream_writer
        from penstock.graph import START, StateGraph

        class State(TypedDict):
            n: int

        def tool():
            get_stream_writer()("half way")

        def work(state: State):
            tool()
            return {"n": state["n"] + 1}

        graph = StateGraph(State).add_node(work).add_edge(START, "work").compile()
        assert list(graph.stream({"n": 1}, stream_mode="custom")) == ["half way"]
        ```
    """
    return current_scope("get_stream_writer()").writer


def get_config() -> RunnableConfig:
    """The config of the node around the calling code, with its metadata.

    Raises:
        OutsideRunError: called outside of a running node.

    Example:
        ```python
        from typing import TypedDict

        from penstock.config import get_config
        from penstock.graph import START, StateGraph

        class State(TypedDict):
            who: str

        def work(state: State):
            return {"who": get_config()["metadata"]["langgraph_node"]}

        graph = StateGraph(State).add_node(work).add_edge(START, "work").compile()
        assert graph.invoke({"who": ""}) == {"who": "work"}
        ```
    """
    return current_scope("get_config()").config()
