"""Events of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config import maybe_scope
from ..errors import OutsideRunError
from ._spans import look_around


def dispatch_custom_event(name: str, data: Any = None, *, config: Mapping[str, Any] | None = None) -> None:
    """Tell whoever observes the work around the calling code of something: an `on_custom_event` in `astream_events`.

    Costs next to nothing where nobody observes.

    Args:
        name: of the event.
        data: what it says; any value.
        config: the config of the work, for code that has left its context behind.

    Raises:
        OutsideRunError: there is no work around the calling code; it is a `RuntimeError`.

    Example:
        ```python
        from penstock.runnables import RunnableLambda
        from penstock.runtime import dispatch_custom_event

        def count(text):
            dispatch_custom_event("counting", {"length": len(text)})
            return len(text.split())

        events = RunnableLambda(count).astream_events("so it begins", version="v2")
        assert [e["data"] async for e in events if e["event"] == "on_custom_event"] == [{"length": 12}]
        ```
    """
    _ = _dispatch("dispatch_custom_event", name, data, config)


async def adispatch_custom_event(name: str, data: Any = None, *, config: Mapping[str, Any] | None = None) -> None:
    """The same, waiting while the reader of the events is behind.

    Args:
        name: of the event.
        data: what it says; any value.
        config: the config of the work, for code that has left its context behind.

    Raises:
        OutsideRunError: there is no work around the calling code; it is a `RuntimeError`.
    """
    receipt = _dispatch("adispatch_custom_event", name, data, config)
    if receipt is not None:
        await receipt


def _dispatch(asked_for: str, name: str, data: Any, config: Mapping[str, Any] | None) -> Any:
    if not isinstance(name, str):
        raise TypeError(f"{asked_for}: the name of an event must be a string, got {name!r}")
    span = look_around(config.get("callbacks") if config else None).span
    if span is not None and span.work is not None:
        return span.dispatch(name, data)
    if span is None and maybe_scope() is None:
        raise OutsideRunError(
            f"{asked_for}({name!r}) was called outside of a run, a tool, a model or a chain, so nobody could hear of "
            "it; a thread that does not carry its context needs config="
        )
    return None
