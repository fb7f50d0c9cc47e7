"""The config dict of a call, checked once at the door and from there on a typed record."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import TypedDict

DEFAULT_RECURSION_LIMIT = 10_007
"""Supersteps a run may take when its config does not say; high, because loops end by themselves or not at all."""


class RunnableConfig(TypedDict, total=False):
    """Settings of one call, and of everything it calls in turn.

    Attributes:
        tags: labels of the run.
        metadata: values that travel with every message and task of the run.
        run_name: name of the run for tracing.
        run_id: identity of the run for tracing.
        callbacks: handlers of integrations that have such.
        recursion_limit: supersteps the run may take, at least 1.
        max_concurrency: how many node bodies may run at the same time, at least 1.
        configurable: free values for the nodes.
    """

    tags: list[str]
    metadata: dict[str, Any]
    run_name: str
    run_id: Any
    callbacks: Any
    recursion_limit: int
    max_concurrency: int | None
    configurable: dict[str, Any]


# What a node's config says about the node itself: not for what the node passes its config on to.
_TASK_METADATA = frozenset(
    f"langgraph_{key}" for key in ("step", "node", "triggers", "path", "checkpoint_ns", "attempt")
)

_KNOWN = tuple(RunnableConfig.__annotations__)
_KNOWN_KEYS = frozenset(_KNOWN)
_POSITIVE = frozenset({"recursion_limit", "max_concurrency"})
_REPLACING = frozenset({"run_name", "run_id", "callbacks"})


@dataclass(frozen=True)
class RunConfig:
    """A `RunnableConfig` that has been checked, with every default filled in.

    Attributes:
        tags: labels of the run, without repetition.
        metadata: the user's metadata.
        run_name: None if not given.
        run_id: None if not given.
        callbacks: as given.
        recursion_limit: at least 1.
        max_concurrency: at least 1, or None for no limit.
        configurable: free values for the nodes.
    """

    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    run_name: str | None = None
    run_id: Any = None
    callbacks: Any = None
    recursion_limit: int = DEFAULT_RECURSION_LIMIT
    max_concurrency: int | None = None
    configurable: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> RunnableConfig:
        """The record as a config dict again, with containers of its own."""
        out: RunnableConfig = {
            "tags": list(self.tags),
            "metadata": dict(self.metadata),
            "recursion_limit": self.recursion_limit,
            "configurable": dict(self.configurable),
        }
        if self.max_concurrency is not None:
            out["max_concurrency"] = self.max_concurrency
        if self.run_name is not None:
            out["run_name"] = self.run_name
        if self.run_id is not None:
            out["run_id"] = self.run_id
        if self.callbacks is not None:
            out["callbacks"] = self.callbacks
        return out


_DEFAULT = RunConfig()


def parse_config(config: Mapping[str, Any] | None, inherited: RunConfig | None = None) -> RunConfig:
    """Check a config dict and merge it into the one of the surrounding run.

    Tags, metadata and configurable values add up; everything else replaces what is inherited.  A key that no
    config has is a free value and lands in `configurable`, unless it looks like a misspelt one.

    Args:
        config: what the caller passed; None for nothing.
        inherited: config of the run around this one.

    Raises:
        TypeError: a value has the wrong type.
        ValueError: a value is out of range, or a key looks like a misspelt one.

    Example:
        ```python
        from penstock.config import parse_config

        assert parse_config({"recursion_limit": 5, "user": "ada"}).configurable == {"user": "ada"}
        ```
    """
    base = _DEFAULT if inherited is None else inherited
    if not config:
        if config is not None and not isinstance(config, Mapping):
            raise TypeError(f"config must be a dict or None, got {config!r}")
        return base
    if type(config) is not dict and not isinstance(config, Mapping):
        raise TypeError(f"config must be a dict or None, got {type(config).__name__}: {config!r}")
    _check_keys(config)
    return _merged(base, {key: value for key, value in config.items() if value is not None})


def _merged(base: RunConfig, given: Mapping[str, Any]) -> RunConfig:
    """The base with what is given; looks at nothing else, since every call of a graph pays for this."""
    changed: dict[str, Any] = {}
    free = {}
    for key in given:
        if key in _POSITIVE:
            changed[key] = _positive(given, key)
        elif key in _REPLACING:
            changed[key] = given[key]
        elif key not in _KNOWN:
            free[key] = given[key]
    if tags := _tags(given):
        changed["tags"] = tuple(dict.fromkeys((*base.tags, *tags)))
    if metadata := {k: v for k, v in _mapping(given, "metadata").items() if k not in _TASK_METADATA}:
        changed["metadata"] = {**base.metadata, **metadata}
    if configurable := {**_mapping(given, "configurable"), **free}:
        changed["configurable"] = {**base.configurable, **configurable}
    # As `dataclasses.replace` does, at a third of the price.
    merged = object.__new__(RunConfig)
    merged.__dict__.update(base.__dict__, **changed)
    return merged


def _check_keys(config: Mapping[str, Any]) -> None:
    if config.keys() <= _KNOWN_KEYS:
        return
    for key in config:
        if not isinstance(key, str):
            raise TypeError(f"config keys must be strings, got {key!r}")
        if key not in _KNOWN:
            close = difflib.get_close_matches(key, _KNOWN, n=1, cutoff=0.8)
            if close:
                raise ValueError(
                    f"config has no key {key!r}, did you mean {close[0]!r}? "
                    f"Free values belong under 'configurable'; known keys: {', '.join(map(repr, _KNOWN))}"
                )


def _mapping(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = config.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"config[{key!r}] must be a dict, got {type(value).__name__}: {value!r}")
    return value


def _tags(config: Mapping[str, Any]) -> tuple[str, ...]:
    tags = config.get("tags")
    if tags is None:
        return ()
    if isinstance(tags, str) or not isinstance(tags, Iterable) or not all(isinstance(t, str) for t in tags):
        raise TypeError(f"config['tags'] must be a list of strings, got {tags!r}")
    return tuple(tags)


def _positive(config: Mapping[str, Any], key: str) -> int:
    value = config[key]
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"config[{key!r}] must be a whole number of at least 1, got {value!r}")
    if value < 1:
        raise ValueError(f"config[{key!r}] must be at least 1, got {value}")
    return value
