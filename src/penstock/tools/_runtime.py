"""What a tool can ask for with a `runtime: ToolRuntime` parameter, and the state it belongs to."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic

from typing_extensions import TypeVar

from ..config import RunnableConfig, TaskScope, maybe_scope
from ..streams import DONE, no_writer
from ..types import StreamWriter
from ._events import ToolEvents

ContextT = TypeVar("ContextT", default=Any)
StateT = TypeVar("StateT", default=Any)


class ToolRuntime(Generic[ContextT, StateT]):
    """A tool's view of the run it is called in.

    A parameter `runtime: ToolRuntime` (or `ToolRuntime[Context]`) of a tool is filled in by the run and hidden from
    the model. To test a tool, make one yourself and call the tool's function.

    Args:
        state: the state of the graph.
        context: what the caller of the run passed as `context=`.
        config: the config of the run.
        stream_writer: writes `custom` chunks; without one they go nowhere.
        tool_call_id: the id of the call, or None if no model made it.
        store: long-term memory of the application.
        events: where output deltas go.

    Example:
        ```python
        from penstock.tools import ToolRuntime, tool

        @tool
        def greet(greeting: str, runtime: ToolRuntime) -> str:
            \"\"\"Greet the user.\"\"\"
            return f"{greeting}, {runtime.state['user']}!"

        assert greet.func("Hello", ToolRuntime(state={"user": "Ada"})) == "Hello, Ada!"
        ```
    """

    __slots__ = ("_events", "config", "context", "state", "store", "stream_writer", "tool_call_id")

    def __init__(
        self,
        *,
        state: StateT = None,  # type: ignore[assignment]
        context: ContextT = None,  # type: ignore[assignment]
        config: RunnableConfig | None = None,
        stream_writer: StreamWriter = no_writer,
        tool_call_id: str | None = None,
        store: Any = None,
        events: ToolEvents | None = None,
    ) -> None:
        self.state: StateT = state
        self.context: ContextT = context
        self.config: RunnableConfig = {} if config is None else config
        self.stream_writer: StreamWriter = stream_writer
        self.tool_call_id: str | None = tool_call_id
        self.store: Any = store
        self._events = events

    def emit_output_delta(self, delta: Any) -> Awaitable[None]:
        """Show a part of the tool's output in `stream_mode="tools"`, before the tool returns.

        Costs nothing if nobody reads that mode.

        Args:
            delta: the part; any value.

        Returns:
            Something to await, which waits while the reader is behind. It need not be awaited; in a tool that is a
            plain function, the call itself waits.
        """
        return DONE if self._events is None else self._events.delta(delta)

    def __repr__(self) -> str:
        return f"ToolRuntime(tool_call_id={self.tool_call_id!r}, state={self.state!r}, context={self.context!r})"


# The state that a node gives to the tools it calls. With the node's scope: a graph that a tool runs has another state.
_state: ContextVar[tuple[TaskScope | None, Any] | None] = ContextVar("penstock_tool_state", default=None)


@contextmanager
def tool_state(state: Any) -> Iterator[None]:
    """Tools that are called in this block see this state."""
    token = _state.set((maybe_scope(), state))
    try:
        yield
    finally:
        _state.reset(token)


def find_state(scope: TaskScope | None) -> tuple[bool, Any]:
    """Whether there is a state here, and the state: what a `ToolNode` gives, or else the input of the node."""
    given = _state.get()
    if given is not None and given[0] is scope:
        return True, given[1]
    if scope is None:
        return False, None
    task: Any = getattr(scope, "task", None)
    return task is not None, None if task is None else task.input
