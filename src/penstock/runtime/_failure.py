"""What is done to an exception on its way from a node to the caller: named, never wrapped."""

from __future__ import annotations

import os.path
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import anyio

from ..errors import NodeCancelledError, add_note
from ..streams._backend import cancelled_class

if TYPE_CHECKING:
    from ._task import Task

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup  # anyio brings it

_OWN = (os.path.dirname(os.path.dirname(__file__)), os.path.dirname(anyio.__file__))  # `pathlib` takes 3 ms to import


def describe_failure(error: BaseException, task: Task, attempt: int) -> None:
    """Say in the error's notes which task it comes from; the innermost task says exactly where it was."""
    described = any(n.startswith("During task with name") for n in getattr(error, "__notes__", ()))
    add_note(error, f"During task with name {task.name!r} and id {task.id!r}")
    if not described:
        place = "|".join(task.run.namespace) or "the root graph"
        add_note(error, f"Node {task.name!r} in {place}, superstep {task.step}, attempt {attempt}")


def stray_cancellation(task: Task) -> NodeCancelledError:
    """The error of a node that was cancelled although nobody cancels its run."""
    error = NodeCancelledError(
        f"node {task.name!r} was cancelled, but not by its run: it awaited something that was cancelled, or its task "
        "was cancelled from outside"
    )
    describe_failure(error, task, task.attempt)
    return error


def attach_others(failures: Sequence[tuple[str, BaseException]]) -> BaseException:
    """The error to raise when several nodes of one superstep failed: the first, with the others attached."""
    (_, first), *others = failures
    for name, other in others:
        if other is first:
            continue
        add_note(first, f"Node {name!r} failed as well: {other!r}")
        if first.__context__ is None and first.__cause__ is None:
            first.__context__ = other
    return first


def plain_error(error: Exception) -> Exception:
    """An error that can leave an iterator: one that would end the caller's loop in silence is replaced."""
    if isinstance(error, (StopIteration, StopAsyncIteration)):
        replacement = RuntimeError(f"a node raised {type(error).__name__}, which has a meaning of its own")
        replacement.__cause__ = error
        return replacement
    return error


def is_cancellation(error: BaseException) -> bool:
    """Whether work has ended with this only because nobody wants it any more."""
    if isinstance(error, (Exception, KeyboardInterrupt, SystemExit)):
        return False
    if isinstance(error, GeneratorExit):
        return True
    try:
        return isinstance(error, anyio.get_cancelled_exc_class())
    except RuntimeError:  # in a worker thread
        return True


def without_cancellation(error: BaseException) -> BaseException | None:
    """What is left of an exception when the loop's cancellation is taken out of it; None if that was all."""
    cancelled = cancelled_class()
    if isinstance(error, cancelled):
        return None
    if isinstance(error, BaseExceptionGroup):
        inside, rest = error.split(cancelled)
        return error if inside is None else rest
    return error


def strip_own_frames(error: BaseException) -> BaseException:
    """Drop the runtime's frames from the start of a traceback, if code of the user's follows."""
    tb: TracebackType | None = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith(_OWN):
        tb = tb.tb_next
    if tb is not None:
        error.__traceback__ = tb
    return error
