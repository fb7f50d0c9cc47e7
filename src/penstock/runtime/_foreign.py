"""Libraries that carry a run's settings in a context variable of their own, and how an attempt sets it.

The runtime knows such a library by name only.  When the program has imported it, the integration is imported, too,
and registers a hook, which from then on prepares the context of every attempt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ._loop import GraphRun
    from ._task import Attempt

logger = logging.getLogger("penstock")

LANGCHAIN = "langchain_core.runnables.config"
"""Without this module there is nothing of LangChain's that could be called."""

_INTEGRATION = "penstock.integrations.langchain"

Hook = Callable[["Attempt"], None]
RunHook = Callable[["GraphRun"], None]

_hooks: list[Hook] = []
_run_hooks: list[RunHook] = []
_loaded: list[str] = []


class Watch(Protocol):
    """Somebody who wants to hear how a graph's run, or a node's attempt, has ended."""

    def ended(self, output: Any) -> None: ...
    def failed(self, error: BaseException) -> None: ...


def add_hook(hook: Hook, run_hook: RunHook) -> None:
    """Let functions prepare the context of every attempt, and set the watch of every run, from now on.

    Args:
        hook: called with the attempt, before its node starts; may set its `watch`.
        run_hook: called with the run of a graph, before it starts; may set its `watch`.
    """
    if hook not in _hooks:
        _hooks.append(hook)
        _run_hooks.append(run_hook)


def prepare(attempt: Attempt) -> None:
    """Let the integrations prepare an attempt's context; called when one of the libraries has been imported."""
    if not _loaded:
        _load()
    for hook in _hooks:
        hook(attempt)


def prepare_run(run: GraphRun) -> None:
    """Let the integrations watch a run, likewise."""
    if not _loaded:
        _load()
    for hook in _run_hooks:
        hook(run)


def _load() -> None:
    _loaded.append(_INTEGRATION)
    try:
        import_module(_INTEGRATION).activate()
    except ImportError as error:  # the program may not even want the two together
        logger.warning("LangChain objects will not stream from nodes: %s", error)
