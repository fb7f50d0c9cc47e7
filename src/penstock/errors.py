"""Every error penstock raises on purpose: one tree under `PenstockError`.

Floor 0: imports nothing of the project.  Each class also derives from the built-in exception a caller would
expect (`ValueError` for a bad argument, `TimeoutError` for a timeout), so that code which knows nothing about
penstock still handles it well.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = [
    "AgentError",
    "EmptyInputError",
    "GraphBuildError",
    "GraphRecursionError",
    "InvalidUpdateError",
    "MessageError",
    "MissingExtraError",
    "ModelAuthenticationError",
    "ModelConnectionError",
    "ModelError",
    "ModelOutputError",
    "ModelRateLimitError",
    "ModelRequestError",
    "ModelServerError",
    "ModelSetupError",
    "ModelTimeoutError",
    "NodeCancelledError",
    "NodeError",
    "NodeTimeoutError",
    "NotAStepError",
    "OutsideRunError",
    "PenstockError",
    "PromptError",
    "RunCancelledError",
    "StreamBusyError",
    "StreamClosedError",
    "StreamOverflowError",
    "ToolArgumentsError",
    "ToolCallError",
    "ToolDefinitionError",
    "UnknownTargetError",
    "WrongBackendError",
]


class PenstockError(Exception):
    """Base of every error raised by penstock itself.

    A node's own exception is never wrapped in it: that one reaches the caller as itself.
    """


class GraphBuildError(PenstockError, ValueError):
    """The description of a graph is wrong; raised by the builder, before anything runs.

    Attributes:
        problems: every mistake found, one sentence each, in the order of the description.
    """

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        if len(self.problems) == 1:
            text = self.problems[0]
        else:
            text = f"{len(self.problems)} mistakes in the graph:" + "".join(f"\n  - {p}" for p in self.problems)
        super().__init__(text)

    def __reduce__(self) -> tuple[type[GraphBuildError], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class InvalidUpdateError(PenstockError, ValueError):
    """A node returned, or several nodes together wrote, something the state cannot take."""


class EmptyInputError(PenstockError, ValueError):
    """A run was started without any input."""


class UnknownTargetError(PenstockError, ValueError):
    """A router, a `Command` or a `Send` named a node that the graph does not have."""


class GraphRecursionError(PenstockError, RecursionError):
    """A run used up its `recursion_limit` of supersteps."""


class NodeTimeoutError(PenstockError, TimeoutError):
    """A node ran longer than its `timeout`.

    Attributes:
        node: name of the node.
        seconds: the timeout it exceeded.
    """

    def __init__(self, node: str, seconds: float) -> None:
        self.node = node
        self.seconds = seconds
        super().__init__(f"node {node!r} did not finish within its timeout of {seconds:g} s")

    def __reduce__(self) -> tuple[type[NodeTimeoutError], tuple[str, float]]:
        return type(self), (self.node, self.seconds)


class NodeCancelledError(PenstockError, RuntimeError):
    """A node was cancelled although nobody cancelled the run (a stray native cancellation)."""


class RunCancelledError(PenstockError, RuntimeError):
    """The result of a run was asked for, but the run was cancelled before it had one."""


class StreamClosedError(PenstockError, RuntimeError):
    """A chunk was written after its node, or its run, had ended."""


class StreamOverflowError(PenstockError, RuntimeError):
    """A chunk found its buffer full in a run with `overflow="raise"`."""


class StreamBusyError(PenstockError, RuntimeError):
    """Two tasks iterate one run's stream at the same time, or it was started twice."""


class OutsideRunError(PenstockError, RuntimeError):
    """Something that exists only inside a running node was asked for outside of one."""


class WrongBackendError(PenstockError, RuntimeError):
    """Something was called on an event loop that it cannot run on; the text says what to use there."""


class MessageError(PenstockError, ValueError):
    """A value cannot be read as a chat message."""


class AgentError(PenstockError, ValueError):
    """An agent was described wrongly, or its messages are such that its model cannot be asked."""


class MissingExtraError(PenstockError, ImportError):
    """Something was asked for that needs a package which is not installed; the text says how to install it."""


class ModelSetupError(PenstockError, ValueError):
    """A model cannot be made as described: an unknown provider, a missing key, an option that does not exist."""


class ModelError(PenstockError, RuntimeError):
    """A call of a model failed. The provider's own exception is the `__cause__`.

    Args:
        message: what happened, with the provider's words.
        status: the HTTP status of the provider's answer, if there was one.

    Attributes:
        status: the HTTP status of the provider's answer, or None.
    """

    def __init__(self, message: str = "", *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ModelConnectionError(ModelError, ConnectionError):
    """The provider could not be reached, or hung up in the middle of an answer."""


class ModelTimeoutError(ModelError, TimeoutError):
    """The provider did not answer in time."""


class ModelAuthenticationError(ModelError, PermissionError):
    """The provider did not accept the key, or the key does not allow this."""


class ModelRateLimitError(ModelError):
    """The provider wants fewer calls, or the account is used up."""


class ModelRequestError(ModelError, ValueError):
    """The provider refused the request as it was put: an unknown model, a bad parameter, too many tokens."""


class ModelServerError(ModelError):
    """The provider failed, or is overloaded."""


class ModelOutputError(ModelError, ValueError):
    """A model's answer is not what was asked for, such as an object of a schema."""


class ToolDefinitionError(PenstockError, ValueError):
    """A function cannot be a tool as it is written; raised when the tool is made."""


class ToolArgumentsError(PenstockError, ValueError):
    """A model called a tool with arguments that it does not take; the text is meant for the model.

    Attributes:
        tool: name of the tool.
        problems: what is wrong, one line each.
    """

    def __init__(self, tool: str, problems: Sequence[str]) -> None:
        self.tool = tool
        self.problems: tuple[str, ...] = tuple(problems)
        lines = "".join(f"\n- {problem}" for problem in self.problems)
        super().__init__(f"The arguments of tool {tool!r} are wrong:{lines}\nCorrect them and call the tool again.")

    def __reduce__(self) -> tuple[type[ToolArgumentsError], tuple[str, tuple[str, ...]]]:
        return type(self), (self.tool, self.problems)


class ToolCallError(PenstockError, ValueError):
    """A tool cannot be called like this, or returned what its caller cannot use: a mistake of the program."""


class NotAStepError(PenstockError, TypeError):
    """Something was composed into a chain that nothing can be passed through."""


class PromptError(PenstockError, ValueError, KeyError):
    """A prompt is written wrongly, or was not given what it has to fill in."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # KeyError's shows the text in quotes


@dataclass(frozen=True)
class NodeError:
    """What an `error_handler` receives: which node failed, and its exception.

    Not an exception itself.

    Attributes:
        node: name of the node that failed.
        error: the exception it raised.
    """

    node: str
    error: BaseException


def add_note(error: BaseException, note: str) -> None:
    """`error.add_note(note)`, on Python 3.10, too, where only some tracebacks show it."""
    notes = getattr(error, "__notes__", None)
    if notes is None:
        notes = error.__notes__ = []  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    notes.append(note)


def nearest(name: object, candidates: Iterable[object]) -> str:
    """The end of an error message: the candidate closest to `name`, and all of them.

    Example:
        ```python
        from penstock.errors import nearest

        assert nearest("updatse", ["values", "updates"]) == "did you mean 'updates'? Known: 'updates', 'values'"
        ```
    """
    known = sorted({str(c) for c in candidates})
    listed = ", ".join(repr(k) for k in known[:20]) + (", ..." if len(known) > 20 else "")
    if not known:
        return "there is none"
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}? Known: {listed}" if close else f"known: {listed}"
