"""What code inside a node can ask about its run, and the config a caller passes in."""

from __future__ import annotations

from ._config import DEFAULT_RECURSION_LIMIT, RunConfig, RunnableConfig, parse_config
from ._scope import TaskScope, current_scope, get_config, get_stream_writer, maybe_scope

__all__ = [
    "DEFAULT_RECURSION_LIMIT",
    "RunConfig",
    "RunnableConfig",
    "TaskScope",
    "current_scope",
    "get_config",
    "get_stream_writer",
    "maybe_scope",
    "parse_config",
]
