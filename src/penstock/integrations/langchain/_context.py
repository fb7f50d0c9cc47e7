"""LangChain's config, as what is called in an attempt finds it."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from importlib import import_module
from typing import Any

from penstock.runtime._loop import GraphRun
from penstock.runtime._task import Attempt
from penstock.streams._backend import on_trio

from ._handler import TokenHandler, is_listening, user_tags, without_place
from ._runs import ChainRun, watch_graph, watch_node

# By name, so that the types can be checked where LangChain is not installed.
_callbacks: Any = import_module("langchain_core.callbacks")
_config: ContextVar[Any] = import_module("langchain_core.runnables.config").var_child_runnable_config

_Handler: Any = type("TokenHandler", (TokenHandler, _callbacks.BaseCallbackHandler), {"__module__": __name__})

_NOT_FOR_CHILDREN = ("run_name", "run_id", "callbacks")


def prepare_context(attempt: Attempt) -> None:
    """Set LangChain's config in an attempt's context."""
    around = attempt.task.run.watch
    if isinstance(around, ChainRun):
        attempt.watch = watch_node(attempt, around)
    config = _LazyConfig(attempt)
    attempt.callbacks = config.callbacks
    attempt.context.run(_config.set, config)


def prepare_run(run: GraphRun) -> None:
    """Tell the callback handlers of a graph's run that it starts, if there are any."""
    given = _given_callbacks(run, run.context.get(_config) or {})
    run.watch = watch_graph(run, _manager(False, given, []))


class _LazyConfig(dict[str, Any]):
    """LangChain's config of an attempt, made when somebody looks at it: most nodes call nothing of LangChain's.

    Args:
        attempt: the attempt.
    """

    __slots__ = ("_attempt",)

    def __init__(self, attempt: Attempt) -> None:
        self._attempt: Attempt | None = attempt

    def _fill(self) -> None:
        attempt = self._attempt
        if attempt is not None:
            self.update(_make_config(attempt))
            self._attempt = None

    def callbacks(self) -> Any:
        """What a config that is passed on by hand needs: None if there is nobody to tell of calls."""
        self._fill()
        manager = self["callbacks"]
        return manager if manager is not None and any(is_listening(h) for h in manager.handlers) else None

    # LangChain asks whether there is a config, and then for all of it.

    def __bool__(self) -> bool:
        return True

    def items(self) -> Any:
        self._fill()
        return super().items()

    def get(self, key: str, default: Any = None) -> Any:
        self._fill()
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self._fill()
        return super().__getitem__(key)

    def copy(self) -> dict[str, Any]:
        self._fill()
        return super().copy()


def _make_config(attempt: Attempt) -> dict[str, Any]:
    run = attempt.task.run
    around: Any = run.context.get(_config) or {}
    config: dict[str, Any] = {k: v for k, v in attempt.run_config.as_dict().items() if k not in _NOT_FOR_CHILDREN}
    config["metadata"] = without_place(around.get("metadata")) | attempt.task.metadata(attempt.number)
    config["tags"] = list(dict.fromkeys((*user_tags(around.get("tags")), *attempt.task.tags)))
    shown = any("messages" in p.request.modes | p.request.printed for p in run.projectors)
    own = [_Handler(attempt, shown)] if shown or on_trio() else []
    watch = attempt.watch
    given = watch.children() if isinstance(watch, ChainRun) else _given_callbacks(run, around)
    config["callbacks"] = _manager(attempt.task.spec.kind.in_thread, given, own)
    return config


def _given_callbacks(run: GraphRun, around: Any) -> Any:
    """The callbacks of whoever called the graph: those passed in its config, else those around the call."""
    given = run.config.callbacks
    inherited = None if run.parent is None else run.parent.task.run.config.callbacks
    if given is not inherited and given is not None:
        return given
    return around.get("callbacks") or given


def _manager(in_thread: bool, given: Any, own: list[Any]) -> Any:
    kind = _callbacks.CallbackManager if in_thread else _callbacks.AsyncCallbackManager
    if isinstance(given, _callbacks.BaseCallbackManager):
        return kind(
            handlers=[*_foreign(given.handlers), *own],
            inheritable_handlers=[*_foreign(given.inheritable_handlers), *own],
            parent_run_id=given.parent_run_id,
            tags=user_tags(given.tags),
            inheritable_tags=user_tags(given.inheritable_tags),
            metadata=without_place(given.metadata),
            inheritable_metadata=without_place(given.inheritable_metadata),
        )
    if given is None:
        given = []
    elif isinstance(given, _callbacks.BaseCallbackHandler):
        given = [given]
    elif not isinstance(given, (list, tuple)) or not all(isinstance(h, _callbacks.BaseCallbackHandler) for h in given):
        raise TypeError(
            f"config['callbacks'] must be a list of LangChain's callback handlers, or a callback manager, got {given!r}"
        )
    handlers = [*_foreign(given), *own]
    return kind(handlers=handlers, inheritable_handlers=[*handlers]) if handlers else None


def _foreign(handlers: Iterable[Any]) -> list[Any]:
    """Without those of the attempts around this one."""
    return [handler for handler in handlers if not isinstance(handler, TokenHandler)]
