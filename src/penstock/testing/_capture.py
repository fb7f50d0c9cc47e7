"""Running code that belongs into a node, outside of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from penstock.config import RunConfig, RunnableConfig, TaskScope, parse_config
from penstock.config._scope import _current
from penstock.runtime import ExecutionInfo, Runtime
from penstock.streams._merger import DONE
from penstock.types import StreamWriter


class _CapturedScope(TaskScope):
    """A task that is none: it keeps what is written."""

    __slots__ = ("_config", "_context", "chunks")

    def __init__(self, config: RunConfig, context: Any) -> None:
        self.chunks: list[Any] = []
        self._config = config
        self._context = context

    def _write(self, chunk: Any) -> Any:
        self.chunks.append(chunk)
        return DONE

    @property
    def writer(self) -> StreamWriter:
        return self._write

    @property
    def run_config(self) -> RunConfig:
        return self._config

    def config(self) -> RunnableConfig:
        return self._config.as_dict()

    @property
    def runtime(self) -> Runtime[Any]:
        info = ExecutionInfo(node="", task_id="", checkpoint_ns="", step=0, node_attempt=1)
        return Runtime(context=self._context, stream_writer=self.writer, execution_info=info)


@contextmanager
def capture_writer(config: Mapping[str, Any] | None = None, *, context: Any = None) -> Iterator[list[Any]]:
    """Make `get_stream_writer()`, `get_config()` and `get_runtime()` work without a run, to test a tool by itself.

    Works in everything called inside the block that carries the context: child tasks and worker threads, too.

    Args:
        config: what `get_config()` gives.
        context: what `get_runtime().context` gives.

    Returns:
        A list of what was written, in order; it grows while the block runs.

    Example:
        ```python
        from penstock.config import get_stream_writer
        from penstock.testing import capture_writer

        def look_up(city: str) -> str:
            get_stream_writer()(f"looking up {city}")
            return "sunny"

        with capture_writer() as written:
            assert look_up("Rome") == "sunny"
        assert written == ["looking up Rome"]
        ```
    """
    scope = _CapturedScope(parse_config(config), context)
    token = _current.set(scope)
    try:
        yield scope.chunks
    finally:
        _current.reset(token)
