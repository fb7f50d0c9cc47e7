"""Libraries that carry a run's settings in a context variable of their own, and how an attempt sets it.

The runtime knows such a library by name only.  When the program has imported it, the integration is imported, too,
and registers a bridge, which from then on prepares the context of every attempt, and translates between that library's
callbacks and our spans.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ._observer import Observer, Span
    from ._task import Attempt

logger = logging.getLogger("penstock")

LANGCHAIN = "langchain_core.runnables.config"
"""Without this module there is nothing of LangChain's that could be called."""

INTEGRATION = "penstock.integrations.langchain"


class Bridge(Protocol):
    """What the integration of such a library does for the runtime."""

    def prepare(self, attempt: Attempt) -> None:
        """Set that library's config in the context of an attempt, before its node starts."""
        ...

    def enter(self, span: Span) -> Callable[[], object]:
        """Set that library's config to what is inside of a span; returns what takes it back."""
        ...

    def find(self, span: Span | None) -> tuple[Span | None, Sequence[Observer]]:
        """The span around the calling code, where ours is the given one; and who of that library observes it."""
        ...

    def is_callbacks(self, value: Any) -> bool:
        """Whether a value is what that library calls callbacks, or one of them."""
        ...

    def is_theirs(self, observer: Observer) -> bool:
        """Whether an observer stands for callbacks of that library: those that are given replace those around."""
        ...

    def read(self, callbacks: Sequence[Any]) -> tuple[Span | None, Sequence[Observer]]:
        """The span that callbacks come from, if it is one of ours; and observers that stand for them."""
        ...

    def callbacks(self, span: Span | None, tags: tuple[str, ...]) -> Any:
        """Callbacks for what is called inside of a span, or where there is none, with a config passed on by hand."""
        ...


_bridges: list[Bridge] = []
_loaded: list[str] = []


def add_bridge(bridge: Bridge) -> None:
    """Let an integration take part in every run from now on."""
    if not _bridges:
        _bridges.append(bridge)


def bridge() -> Bridge | None:
    """The bridge to that library, if the program has imported it."""
    if not _loaded and LANGCHAIN in sys.modules:
        _load()
    return _bridges[0] if _bridges else None


def _load() -> None:
    _loaded.append(INTEGRATION)
    try:
        import_module(INTEGRATION).activate()
    except ImportError as error:  # the program may not even want the two together
        logger.warning("LangChain objects will not stream from nodes: %s", error)
