"""What was bound to a model, and what one call adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.config import parse_config
from penstock.runtime._spans import join_callbacks


@dataclass(frozen=True)
class CallSettings:
    """How a call is labelled, and the options it passes to `ChatModel.answer`."""

    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    run_name: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    callbacks: Any = None
    run_id: Any = None

    @property
    def config(self) -> Mapping[str, Any]:
        """What names the call, and who observes it."""
        if self.callbacks is None and self.run_name is None and self.run_id is None:
            return _NOTHING
        return {"callbacks": self.callbacks, "run_name": self.run_name, "run_id": self.run_id}

    def under(self, more: CallSettings) -> CallSettings:
        """Both together; what `more` says of the same thing wins."""
        return CallSettings(
            tags=tuple(dict.fromkeys((*self.tags, *more.tags))),
            metadata={**self.metadata, **more.metadata},
            run_name=more.run_name or self.run_name,
            options={**self.options, **more.options},
            callbacks=join_callbacks(self.callbacks, more.callbacks),
            run_id=more.run_id or self.run_id,
        )


_NOTHING: Mapping[str, Any] = {}

NO_SETTINGS = CallSettings()

# What a node's config says about the node: the runtime knows it better.
_PLACES = ("checkpoint_ns", "thread_id")


def read_settings(config: Mapping[str, Any] | None, options: Mapping[str, Any]) -> CallSettings:
    """The settings of one call, of its config dict and its keyword arguments."""
    given = {key: value for key, value in options.items() if value is not None}
    if not config:
        return CallSettings(options=given) if given else NO_SETTINGS
    parsed = parse_config(config)
    metadata = {key: value for key, value in parsed.metadata.items() if key not in _PLACES}
    return CallSettings(parsed.tags, metadata, parsed.run_name, given, parsed.callbacks, parsed.run_id)


def read_tags(tags: Iterable[str] | None) -> tuple[str, ...]:
    """Tags as given to `with_config` or `stream_tokens`."""
    if tags is None:
        return ()
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise TypeError(f"tags must be a list of strings, got {tags!r} ({type(tags).__name__})")
    found = tuple(tags)
    if not all(isinstance(tag, str) for tag in found):
        raise TypeError(f"tags must be a list of strings, got {found!r}")
    return found
