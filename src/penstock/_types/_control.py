"""What nodes and routers return to steer the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Generic, Literal, TypeVar

N = TypeVar("N", bound=str)

__all__ = ["Command", "Interrupt", "Overwrite", "Send"]


class Send:
    """Run a node in the next superstep with its own input instead of the shared state.

    Returned by a router, or inside `Command(goto=...)`; each `Send` becomes one task, and their updates are
    reduced in the order in which they were sent.

    Args:
        node: name of the node to run.
        arg: what that node gets as its input.
        timeout: seconds this one task may take; overrides the node's own `timeout`.

    Raises:
        ValueError: the timeout is not more than 0.

    Example:
        ```python
        from penstock.types import Send

        def fan_out(state):
            return [Send("read", {"path": path}) for path in state["paths"]]

        assert fan_out({"paths": ["a"]}) == [Send("read", {"path": "a"})]
        ```
    """

    __slots__ = ("arg", "node", "timeout")

    def __init__(self, /, node: str, arg: Any, *, timeout: float | timedelta | None = None) -> None:
        if isinstance(timeout, timedelta):
            timeout = timeout.total_seconds()
        if timeout is not None and not timeout > 0:
            raise ValueError(f"Send({node!r}, ...): timeout must be more than 0 seconds, got {timeout!r}")
        self.node: str = node
        self.arg: Any = arg
        self.timeout: float | None = timeout

    def __repr__(self) -> str:
        return f"Send(node={self.node!r}, arg={self.arg!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Send):
            return NotImplemented
        return self.node == other.node and bool(self.arg == other.arg) and self.timeout == other.timeout

    def __hash__(self) -> int:
        return hash((Send, self.node))


@dataclass(frozen=True, kw_only=True)
class Command(Generic[N]):
    """Update the state and choose what runs next, in one return value.

    Attributes:
        graph: None for the graph of the node, `Command.PARENT` for the graph around it.
        update: a dict (or a list of `(key, value)` pairs) to write to the state.
        resume: answer to an interrupt; belongs to saved state.
        goto: a node name, a `Send`, or several; they run in addition to the node's static edges.

    Example:
        ```python
        from penstock.types import Command

        def decide(state) -> Command:
            return Command(update={"tries": state["tries"] + 1}, goto="work")

        assert decide({"tries": 0}).update == {"tries": 1}
        ```
    """

    graph: str | None = None
    update: Any | None = None
    resume: dict[str, Any] | Any | None = None
    goto: Send | Sequence[Send | N] | N = ()

    PARENT: ClassVar[Literal["__parent__"]] = "__parent__"

    def __repr__(self) -> str:
        shown = {"graph": self.graph, "update": self.update, "resume": self.resume, "goto": self.goto or None}
        return "Command(" + ", ".join(f"{k}={v!r}" for k, v in shown.items() if v is not None) + ")"


@dataclass(frozen=True)
class Interrupt:
    """A question a node asked, for which its run stopped.

    Attributes:
        value: what the node wants to show the person who answers.
        id: identity of the question within its thread.
    """

    value: Any
    id: str = "placeholder-id"


@dataclass(frozen=True)
class Overwrite:
    """Replace a key's value instead of passing it through the key's reducer.

    Attributes:
        value: the new value.

    Example:
        ```python
        from penstock.types import Overwrite

        def forget(state):
            return {"log": Overwrite([])}

        assert forget({})["log"].value == []
        ```
    """

    value: Any
