"""What a node can ask for with a `runtime: Runtime[Ctx]` parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, cast

from typing_extensions import TypeVar

from ..config import current_scope
from ..types import StreamWriter

ContextT = TypeVar("ContextT", default=None)


@dataclass(frozen=True)
class ExecutionInfo:
    """Which execution of a node this is.

    Attributes:
        node: name of the node.
        task_id: identity of the task.
        checkpoint_ns: namespace of the task, segments joined by "|".
        step: number of the superstep in its graph; the first is 1.
        node_attempt: number of the attempt; the first is 1.
    """

    node: str
    task_id: str
    checkpoint_ns: str
    step: int
    node_attempt: int


@dataclass(frozen=True)
class Runtime(Generic[ContextT]):
    """A node's view of its run.

    Attributes:
        context: what the caller passed as `context=`.
        stream_writer: writes `custom` chunks.
        execution_info: which execution of the node this is.
        store: long-term memory of the application, if it has one.
        previous: what the thread's last run returned, if there is one.

    Example:
        ```python
        from dataclasses import dataclass
        from typing import TypedDict

        from penstock.graph import START, StateGraph
        from penstock.runtime import Runtime

        @dataclass
        class Who:
            name: str

        class State(TypedDict):
            text: str

        def greet(state: State, runtime: Runtime[Who]):
            return {"text": f"Hello {runtime.context.name}"}

        graph = StateGraph(State, Who).add_node(greet).add_edge(START, "greet").compile()
        assert graph.invoke({"text": ""}, context=Who("Ada")) == {"text": "Hello Ada"}
        ```
    """

    context: ContextT
    stream_writer: StreamWriter
    execution_info: ExecutionInfo
    store: Any = None
    previous: Any = None


def get_runtime(context_schema: type[ContextT] | None = None) -> Runtime[ContextT]:
    """The `Runtime` of the node around the calling code.

    Args:
        context_schema: type of the context, for type checkers.

    Raises:
        OutsideRunError: called outside of a running node.
    """
    scope: Any = current_scope("get_runtime()")
    return cast("Runtime[ContextT]", scope.runtime)
