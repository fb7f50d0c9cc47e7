"""LangChain's config, as what is called inside of a piece of our work finds it; and the way back, from its to ours."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from importlib import import_module
from typing import Any, TypeGuard

from penstock.config import maybe_scope
from penstock.runtime import Observer, Span
from penstock.runtime._spans import Ground, add_tags
from penstock.runtime._task import Attempt
from penstock.streams._backend import in_event_loop, on_trio

from ._handler import TokenHandler, is_listening, user_tags, without_place
from ._observer import LangChainObserver
from ._runs import RunHandler

# By name, so that the types can be checked where LangChain is not installed.
_callbacks: Any = import_module("langchain_core.callbacks")
_config: ContextVar[Any] = import_module("langchain_core.runnables.config").var_child_runnable_config

_Tokens: Any = type("TokenHandler", (TokenHandler, _callbacks.BaseCallbackHandler), {"__module__": __name__})
_Runs: Any = type("RunHandler", (RunHandler, _callbacks.BaseCallbackHandler), {"__module__": __name__})

_NOT_FOR_CHILDREN = ("run_name", "run_id", "callbacks")


class LangChainBridge:
    """Sets LangChain's config to where the code is, and reads from it where LangChain has got to.

    Whoever sets our context variable sets LangChain's with it.  So a config of ours in there says that ours is the
    innermost work, and any other one that a run of LangChain's is.
    """

    def prepare(self, attempt: Attempt) -> None:
        """Set LangChain's config in an attempt's context."""
        around = attempt.task.run.context.get(_config)
        base = functools.partial(_attempt_base, attempt, _plain(around))
        attempt.context.run(_config.set, _LazyConfig(base, attempt.span, attempt))

    def enter(self, span: Span) -> Callable[[], object]:
        """Set LangChain's config to what is inside of a span; returns what takes it back."""
        around = _config.get()
        base = around.base if type(around) is _LazyConfig else functools.partial(_plain_base, around)
        return functools.partial(_config.reset, _config.set(_LazyConfig(base, span, _attempt())))

    def find(self, span: Span | None) -> tuple[Span | None, Sequence[Observer]]:
        """The span around the calling code, where ours is the given one; and LangChain's handlers that observe it."""
        config = _config.get()
        if config is None or type(config) is _LazyConfig:
            return span, ()
        return _locate(config.get("callbacks"), span)

    def is_callbacks(self, value: Any) -> bool:
        """Whether a value is a callback handler or manager of LangChain's."""
        return isinstance(value, (_callbacks.BaseCallbackHandler, _callbacks.BaseCallbackManager))

    def is_theirs(self, observer: Observer) -> bool:
        """Whether an observer stands for a callback handler of LangChain's."""
        return isinstance(observer, LangChainObserver)

    def read(self, callbacks: Sequence[Any]) -> tuple[Span | None, Sequence[Observer]]:
        """The span that callbacks come from, if it is one of ours; and observers that stand for them."""
        found: Span | None = None
        observers: list[Observer] = []
        for item in callbacks:
            if isinstance(item, _callbacks.BaseCallbackManager):
                span, more = _locate(item, None)
                found = found or span
                observers += more
            elif _is_users(item):
                observers.append(LangChainObserver(item))
        return found, observers

    def callbacks(self, span: Span | None, tags: tuple[str, ...]) -> Any:
        """A manager for what is called inside of a span; None if there is nobody to tell of it."""
        if span is None or not span.observers:
            config = _config.get()
            return config.callbacks() if type(config) is _LazyConfig else None
        return _make_manager(span, _attempt(), span.child_tags, span.child_metadata, tags)


def _attempt() -> Attempt | None:
    scope = maybe_scope()
    return scope if isinstance(scope, Attempt) else None


# ---------------------------------------------------------------- from ours to LangChain's


class _LazyConfig(dict[str, Any]):
    """LangChain's config, made when somebody looks at it: most nodes and tools call nothing of LangChain's.

    Args:
        base: makes what does not hang on the span.
        span: the span that what is called is inside of, or None.
        attempt: the attempt around that, or None.
    """

    __slots__ = ("_pending", "base")

    def __init__(self, base: Callable[[], dict[str, Any]], span: Span | None, attempt: Attempt | None) -> None:
        self.base: Callable[[], dict[str, Any]] = base
        self._pending: tuple[Span | None, Attempt | None] | None = (span, attempt)

    def _fill(self) -> None:
        pending = self._pending
        if pending is None:
            return
        span, attempt = pending
        config = self.base()
        if span is not None:
            config["tags"] = [*add_tags(span.child_tags, config.get("tags") or ())]
            for key, inherited in (("metadata", span.child_metadata), ("configurable", span.configurable)):
                config[key] = {**(config.get(key) or {}), **inherited}
        once = () if span is None else span.once
        manager = _make_manager(span, attempt, config.get("tags") or (), config.get("metadata") or {}, once)
        self.update(config, callbacks=manager)
        self._pending = None  # last: another thread may look at the same moment

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


def _plain(config: Any) -> Any:
    """LangChain's own config around a graph's run; ours says nothing that the run does not know better."""
    return {} if config is None or type(config) is _LazyConfig else config


def _plain_base(config: Any) -> dict[str, Any]:
    return {key: value for key, value in (config or {}).items() if key not in _NOT_FOR_CHILDREN}


def _attempt_base(attempt: Attempt, around: Any) -> dict[str, Any]:
    config: dict[str, Any] = {k: v for k, v in attempt.run_config.as_dict().items() if k not in _NOT_FOR_CHILDREN}
    config["metadata"] = without_place(around.get("metadata")) | attempt.task.metadata(attempt.number)
    config["tags"] = list(dict.fromkeys((*user_tags(around.get("tags")), *attempt.task.tags)))
    return config


def _make_manager(
    span: Span | None, attempt: Attempt | None, tags: Iterable[str], metadata: Any, once: tuple[str, ...]
) -> Any:
    """A manager whose next run is a child of a span; None if nobody wants to hear of it.

    Args:
        span: the span, or None.
        attempt: the attempt around it, or None.
        tags: for all runs.
        metadata: likewise.
        once: labels of the next run only.
    """
    observers = () if span is None else span.observers
    theirs = [observer.handler for observer in observers if isinstance(observer, LangChainObserver)]
    handlers: list[Any] = [*theirs]
    if span is not None and observers:
        handlers.insert(0, runs := _Runs(span, theirs))
        if not runs.hears:  # which step of a node it is: a label of events
            once = ()
    if attempt is not None:
        shown = any("messages" in p.request.modes | p.request.printed for p in attempt.task.run.projectors)
        if shown or on_trio():
            handlers.append(_Tokens(attempt, shown))
    if not handlers:
        return None
    in_thread = not in_event_loop() or (attempt is not None and attempt.task.spec.kind.in_thread)
    kind = _callbacks.CallbackManager if in_thread else _callbacks.AsyncCallbackManager
    work = None if span is None or not observers else span.work
    return kind(
        handlers=handlers,
        inheritable_handlers=[*handlers],
        parent_run_id=None if work is None else work.uuid,
        tags=[*add_tags(tags, once)],
        inheritable_tags=[*tags],
        metadata=dict(metadata),
        inheritable_metadata=dict(metadata),
    )


# ---------------------------------------------------------------- from LangChain's to ours


def _locate(callbacks: Any, span: Span | None) -> tuple[Span | None, Sequence[Observer]]:
    """Where callbacks of LangChain's come from, for code that is inside of one of our spans, or of none."""
    if not isinstance(callbacks, _callbacks.BaseCallbackManager):
        handlers = callbacks if isinstance(callbacks, (list, tuple)) else []
        return span, _missing(handlers, span, None)
    manager: Any = callbacks
    ours: RunHandler | None = next((h for h in manager.handlers if isinstance(h, RunHandler)), None)
    ident, users = manager.parent_run_id, [h for h in manager.handlers if _is_users(h)]
    place = span if ours is None else ours.place
    if ours is not None and (inner := ours.span_of(ident)) is not None:
        inner.child_tags, inner.child_metadata = tuple(manager.inheritable_tags), manager.inheritable_metadata
        place = inner
    elif (
        users and ident is not None and not (place is not None and place.work is not None and place.work.uuid == ident)
    ):
        return _stand_in(manager, users, place), ()
    return _with_once(place, manager), _missing(users, place, ident)


def _stand_in(manager: Any, users: list[Any], place: Span | None) -> Span:
    """Where a run of LangChain's is that only its own handlers have been told of: they are its children's parent."""
    others = [] if place is None else [o for o in place.observers if not isinstance(o, LangChainObserver)]
    ground = Ground(place, (*others, *(LangChainObserver(handler, manager.parent_run_id) for handler in users)))
    ground.child_tags = tuple(manager.inheritable_tags)
    ground.child_metadata = manager.inheritable_metadata
    ground.once = _once(manager)
    return ground


def _with_once(place: Span | None, manager: Any) -> Span | None:
    """The span, with the labels that callbacks have for the next run only."""
    once = _once(manager)
    if place is None or once == place.once:
        return place
    ground = Ground(place, place.observers)
    ground.once = once
    return ground


def _once(manager: Any) -> tuple[str, ...]:
    return tuple(tag for tag in manager.tags if tag not in manager.inheritable_tags)


def _missing(handlers: Iterable[Any], span: Span | None, ident: Any) -> list[Observer]:
    """Observers for the user's handlers that none of a span's observers stands for."""
    known = {id(o.handler) for o in (() if span is None else span.observers) if isinstance(o, LangChainObserver)}
    return [LangChainObserver(h, ident) for h in handlers if _is_users(h) and id(h) not in known]


def _is_users(handler: Any) -> TypeGuard[Any]:
    return not isinstance(handler, (TokenHandler, RunHandler))
