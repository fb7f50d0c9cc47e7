"""The config of a call, on its way down to the steps of a chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config import maybe_scope, parse_config
from ..runtime._spans import INHERITED, callbacks_by_hand, inherited_config, join_callbacks, look_around

Config = Mapping[str, Any]

NOTHING: Config = {}

# What names one call only, and not those that it makes in turn.
_OWN = ("run_name", "run_id")


def check_config(config: Config | None) -> Config:
    """A caller's config, refused here rather than in the middle of a chain if something is wrong with it."""
    if not config:
        return NOTHING
    parse_config(config)
    if config.get("callbacks") is not None:
        look_around(config["callbacks"])
    return config


def add_configs(base: Config, more: Config) -> Config:
    """Both together: tags, metadata and configurable values add up, of everything else `more` wins."""
    if not base or not more:
        return base or more
    both = {**base, **more}
    if base.get("tags") and more.get("tags"):
        both["tags"] = sorted({*base["tags"], *more["tags"]})  # as LangChain has them
    for key in ("metadata", "configurable"):
        if base.get(key) and more.get(key):
            both[key] = {**base[key], **more[key]}
    for key in base:
        if both[key] is None:
            both[key] = base[key]
    if "callbacks" in both:
        both["callbacks"] = join_callbacks(base.get("callbacks"), more.get("callbacks"))
    return both


def for_steps(config: Config) -> Config:
    """What of a chain's config its steps get."""
    if not config or not any(key in config for key in _OWN):
        return config
    return {key: value for key, value in config.items() if key not in _OWN}


def for_function(config: Config) -> dict[str, Any]:
    """What a function gets that asks for `config`: that of the node around it as well."""
    scope = maybe_scope()
    here = look_around(config.get("callbacks"))
    around: Config = NOTHING if scope is None else {**scope.config()}
    inherited = inherited_config(None, here)
    if inherited is not None:
        inner = {key: value for key in INHERITED if (value := getattr(inherited, key))}
        if "tags" in inner:
            inner["tags"] = list(inner["tags"])
        around = add_configs(around, inner)
    given = dict(add_configs(around, config))
    callbacks = callbacks_by_hand(here)
    if callbacks is not None:
        given["callbacks"] = callbacks
    else:
        given.pop("callbacks", None)
    return given
