"""Libraries that carry a run's settings in a context variable of their own, and how an attempt sets it.

The runtime knows such a library by name only.  When the program has imported it, the integration is imported, too,
and registers a hook, which from then on prepares the context of every attempt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._task import Attempt

logger = logging.getLogger("penstock")

LANGCHAIN = "langchain_core.runnables.config"
"""Without this module there is nothing of LangChain's that could be called."""

_INTEGRATION = "penstock.integrations.langchain"

Hook = Callable[["Attempt"], None]

_hooks: list[Hook] = []
_loaded: list[str] = []


def add_hook(hook: Hook) -> None:
    """Let a function prepare the context of every attempt from now on.

    Args:
        hook: called with the attempt, before its node starts.
    """
    if hook not in _hooks:
        _hooks.append(hook)


def prepare(attempt: Attempt) -> None:
    """Let the integrations prepare an attempt's context; called when one of the libraries has been imported."""
    if not _loaded:
        _load()
    for hook in _hooks:
        hook(attempt)


def _load() -> None:
    _loaded.append(_INTEGRATION)
    try:
        import_module(_INTEGRATION).activate()
    except ImportError as error:  # the program may not even want the two together
        logger.warning("LangChain objects will not stream from nodes: %s", error)
