"""Graphs and nodes as runs, for LangChain's callback handlers: what they hear of in between their own calls."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from penstock.runtime._loop import GraphRun
    from penstock.runtime._task import Attempt

_callbacks: Any = import_module("langchain_core.callbacks")


class ChainRun:
    """A graph or node as LangChain's handlers see it: something that starts, and ends or fails.

    Args:
        manager: LangChain's, of this one run.
    """

    __slots__ = ("_manager",)

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def children(self, tag: str | None = None) -> Any:
        """The callbacks for what runs inside of it."""
        return self._manager.get_child(tag)

    def ended(self, output: Any) -> None:
        """It has ended."""
        _tell(lambda: self._manager.on_chain_end(output))

    def failed(self, error: BaseException) -> None:
        """It has failed, or was cancelled."""
        _tell(lambda: self._manager.on_chain_error(error))


def _tell(call: Callable[[], Any]) -> Any:
    # Who watches does not disturb: LangChain has logged what a handler raised.
    with contextlib.suppress(Exception):
        return call()


def watch_graph(run: GraphRun, given: Any) -> ChainRun | None:
    """Tell the handlers that a graph starts; None if there are none.

    Args:
        run: its run.
        given: the callbacks that apply to it.
    """
    if not given:
        return None
    config = run.config
    manager = _callbacks.CallbackManager.configure(given, None, False, list(config.tags), None, dict(config.metadata))
    return _start(manager, dict(run.writes), config.run_name or run.program.name, _as_uuid(config.run_id))


def watch_node(attempt: Attempt, around: ChainRun) -> ChainRun | None:
    """Tell the handlers of a graph that a node starts."""
    task = attempt.task
    manager = around.children(f"graph:step:{task.step}")
    manager.add_metadata(task.metadata(attempt.number))
    return _start(manager, task.input, task.name, None)


def _start(manager: Any, given: Any, name: str, run_id: UUID | None) -> ChainRun | None:
    started = _tell(lambda: manager.on_chain_start({}, given, name=name, run_id=run_id))
    return None if started is None else ChainRun(started)


def _as_uuid(value: Any) -> UUID | None:
    try:
        return value if value is None or isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        return None
