"""What comes out of a stream: modes, parts, the writer, and how the stream may be narrowed."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from typing_extensions import NotRequired, TypedDict

from ._control import Interrupt

__all__ = [
    "CheckpointStreamPart",
    "CustomStreamPart",
    "DebugStreamPart",
    "GraphOutput",
    "MessagesStreamPart",
    "Namespace",
    "Only",
    "OnlyLike",
    "Overflow",
    "OverflowLike",
    "StreamMode",
    "StreamEvent",
    "StreamPart",
    "StreamWriter",
    "TaskPayload",
    "TaskResultPayload",
    "TasksStreamPart",
    "ToolsStreamPart",
    "UpdatesStreamPart",
    "ValuesStreamPart",
]

StreamMode = Literal["values", "updates", "checkpoints", "tasks", "debug", "messages", "custom", "tools"]
"""What a run can show of itself; see the streaming guide for what each mode holds."""

Overflow = Literal["wait", "raise", "drop_oldest", "drop_newest", "latest"]
"""What happens to a chunk that finds its producer's buffer full."""

OverflowLike: TypeAlias = Overflow | Mapping[StreamMode, Overflow]
"""One policy for the run, or one per mode."""

Namespace = tuple[str, ...]
"""Where a chunk comes from: `()` for the root graph, one `"node:task_id"` segment per subgraph."""


class StreamWriter(Protocol):
    """Writes one chunk of `custom` data to the run's stream.

    `writer(chunk)` hands the chunk over at once; `await writer(chunk)` also waits while the buffer is full.
    In a node that is a plain function the call itself waits.

    Raises:
        StreamClosedError: the node has ended.
        StreamOverflowError: the buffer is full and the run has `overflow="raise"`.
    """

    def __call__(self, chunk: Any, /) -> Awaitable[None]: ...


class TaskPayload(TypedDict):
    """A task is about to start."""

    id: str
    name: str
    input: Any
    triggers: tuple[str, ...]
    metadata: NotRequired[dict[str, Any]]


class TaskResultPayload(TypedDict):
    """A task has ended."""

    id: str
    name: str
    error: BaseException | None
    result: dict[str, Any]
    interrupts: list[Interrupt]


class _Part(TypedDict):
    ns: Namespace


class ValuesStreamPart(_Part):
    """The state after a superstep."""

    type: Literal["values"]
    data: dict[str, Any]
    interrupts: tuple[Interrupt, ...]


class UpdatesStreamPart(_Part):
    """What one node wrote."""

    type: Literal["updates"]
    data: dict[str, Any]


class MessagesStreamPart(_Part):
    """One message or token, and where it comes from."""

    type: Literal["messages"]
    data: tuple[Any, dict[str, Any]]


class CustomStreamPart(_Part):
    """Whatever a node gave to its writer."""

    type: Literal["custom"]
    data: Any


class TasksStreamPart(_Part):
    """A task starting or ending."""

    type: Literal["tasks"]
    data: TaskPayload | TaskResultPayload


class CheckpointStreamPart(_Part):
    """A state that was saved."""

    type: Literal["checkpoints"]
    data: dict[str, Any]


class DebugStreamPart(_Part):
    """A task or checkpoint event with its step and time."""

    type: Literal["debug"]
    data: dict[str, Any]


class ToolsStreamPart(_Part):
    """A tool call starting, writing output, or ending."""

    type: Literal["tools"]
    data: dict[str, Any]


StreamPart: TypeAlias = (
    ValuesStreamPart
    | UpdatesStreamPart
    | MessagesStreamPart
    | CustomStreamPart
    | TasksStreamPart
    | CheckpointStreamPart
    | DebugStreamPart
    | ToolsStreamPart
)
"""One item of a stream with `version="v2"`; `part["type"]` tells which."""


class StreamEvent(TypedDict):
    """One item of `astream_events`: something that starts, gives a chunk, ends or fails.

    Attributes:
        event: what happens: `on_<type>_start`, `_stream`, `_end` or `_error`, where the type is `chain`, `chat_model`,
            `tool`, `prompt` or `parser`; or `on_custom_event`.
        name: of the graph, node, tool, model, function; of the event itself for a custom one.
        run_id: identity of the piece of work, a UUID; of the work around it for a custom event.
        parent_ids: identities of the work around it, the outermost first.
        tags: labels of the work.
        metadata: likewise.
        data: `{"input"}` at the start, `{"chunk"}`, `{"output", "input"}` at the end, `{"error", "input"}`; whatever
            was dispatched for a custom event.
    """

    event: str
    name: str
    run_id: str
    parent_ids: list[str]
    tags: list[str]
    metadata: dict[str, Any]
    data: Any


@dataclass(frozen=True)
class GraphOutput:
    """What `invoke(..., version="v2")` returns.

    Attributes:
        value: the final state, restricted to the output schema.
        interrupts: the questions for which the run stopped.
    """

    value: Any
    interrupts: tuple[Interrupt, ...] = ()


@dataclass(frozen=True)
class Only:
    """Which chunks a stream is to carry; what is not selected is never built.

    Every field that is given must match.  A plain string or collection of strings stands for `nodes`.

    Attributes:
        nodes: names of the nodes whose `updates`, `custom`, `messages`, `tasks` and `debug` chunks are wanted
            (`values` belong to a graph, not to a node, and are selected by namespace and depth alone).
        namespaces: paths of node names, such as `("research", "search")`; `()` is the root graph.
        depth: how many levels of subgraphs to show; 0 is the root graph only.
        tags: a chunk is wanted if its run, node (`metadata={"tags": [...]}`) or model call has one of these.

    Example:
        ```python
        from penstock.types import Only

        assert Only(nodes=["write"], depth=0).depth == 0
        ```
    """

    nodes: Collection[str] | None = None
    namespaces: Collection[Collection[str]] | None = None
    depth: int | None = None
    tags: Collection[str] | None = None


OnlyLike: TypeAlias = Only | Mapping[str, Any] | str | Collection[str]
"""An `Only`, the same as a mapping, or just the names of nodes."""
