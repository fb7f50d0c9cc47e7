"""Where spans come from: the one around the calling code, and how it is found.

A span is found in one of two ways, which give the same: a context variable, which follows the code into tasks and
threads that carry their context; and the config of a call, whose `callbacks` hold a `Link` when it comes from a run,
for code whose context was left behind.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..config import RunConfig
from ..streams import DONE
from ._foreign import bridge
from ._observer import Guard, Observer, Span, SpanKind, _tell

if TYPE_CHECKING:
    from ._producer import Producer

Config = Mapping[str, Any]

_PLACE = ("langgraph_", "checkpoint_ns", "thread_id")
"""How the keys of metadata begin that say where in a graph, or in which thread, something is called."""

_NOTHING: Mapping[str, Any] = {}

INHERITED = ("tags", "metadata", "configurable")
"""What of a config is passed on to everything that is called inside of the call."""

_span: ContextVar[Span | None] = ContextVar("penstock_span", default=None)


class Ground(Span):
    """No piece of work: a place that observers were attached to, for what is called there.

    Args:
        around: what it is inside of.
        observers: all of them.
        producer: where views write what is told of what is inside.
    """

    __slots__ = ()

    def __init__(self, around: Span | None, observers: tuple[Observer, ...], producer: Producer | None = None) -> None:
        super().__init__(
            "chain",
            "",
            parent=None if around is None else around.work,
            observers=observers,
            producer=producer if producer is not None or around is None else around.producer,
            child_tags=() if around is None else around.child_tags,
            child_metadata=_NOTHING if around is None else around.child_metadata,
            configurable=_NOTHING if around is None else around.configurable,
            once=() if around is None else around.once,
        )

    @property
    def work(self) -> Span | None:
        return self.parent

    def dispatch(self, name: str, data: Any) -> Awaitable[Any]:
        """Something has happened in that work; those who were attached here hear of it, too."""
        work = self.work
        return DONE if work is None else _tell([o.custom(work, name, data) for o in self.observers if o._hears_custom])


_UNOBSERVED = Ground(None, ())
"""Stands for work that nobody observes, so that code in it can tell that it is in one."""


class Link:
    """What a config carries to what is called with it: the span to be inside of.

    Args:
        span: the span around the call.
        tags: labels of the next span only, and not of those inside of it.
    """

    __slots__ = ("span", "tags")

    def __init__(self, span: Span, tags: tuple[str, ...] = ()) -> None:
        self.span: Span = span
        self.tags: tuple[str, ...] = tags


class Around(NamedTuple):
    """What a call finds around it.

    Attributes:
        span: the span it is inside of.
        observers: those of that span, and those its own config brings.
        once: labels of its own span only.
    """

    span: Span | None
    observers: tuple[Observer, ...] = ()
    once: tuple[str, ...] = ()


NOWHERE = Around(None)
"""What a call finds that is inside of nothing."""


def around_span(span: Span | None) -> Around:
    """What is found inside of a span."""
    return NOWHERE if span is None else Around(span, span.observers, span.once)


def look_around(callbacks: Any = None) -> Around:
    """What a call with these `callbacks` in its config is inside of, and who observes it.

    Raises:
        TypeError: the callbacks are nothing that can observe.
    """
    if callbacks is None:
        return _here()
    if type(callbacks) is Link:
        return Around(callbacks.span, callbacks.span.observers, callbacks.tags)
    return _sort(callbacks)


def _here() -> Around:
    span, foreign = _span.get(), bridge()
    if foreign is None:
        return around_span(span)
    found, observers = foreign.find(span)
    return _with(found, observers, () if found is None else found.once)


def _with(span: Span | None, more: Iterable[Observer], once: tuple[str, ...]) -> Around:
    return Around(span, tuple(dict.fromkeys((*(() if span is None else span.observers), *more))), once)


def _sort(callbacks: Any) -> Around:
    """Look around with callbacks of several kinds."""
    links: list[Link] = []
    observers: list[Observer] = []
    theirs: list[Any] = []
    foreign = bridge()
    for item in _items(callbacks):
        if isinstance(item, Observer):
            observers.append(item if item._trusted else Guard(item))
        elif type(item) is Link:
            links.append(item)
        elif foreign is not None and foreign.is_callbacks(item):
            theirs.append(item)
        else:
            raise TypeError(
                f"config['callbacks'] holds {item!r} ({type(item).__name__}); expected observers (penstock.runtime."
                f"Observer), or LangChain's callback handlers or manager, got {callbacks!r}"
            )
    span, more = (None, ()) if foreign is None or not theirs else foreign.read(theirs)
    if links:
        return _with(links[0].span, (*observers, *more), tuple(tag for link in links for tag in link.tags))
    if span is not None:
        return _with(span, (*observers, *more), span.once)
    here = _here()
    if foreign is None or not more:
        return _with(here.span, (*here.observers, *observers), here.once)
    kept = [o for o in here.observers if not foreign.is_theirs(o)]
    return Around(here.span, tuple(dict.fromkeys((*kept, *observers, *more))), here.once)


def _items(callbacks: Any) -> Sequence[Any]:
    return callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]


def join_callbacks(first: Any, second: Any) -> Any:
    """Both together; None is none."""
    if first is None or second is None or first is second:
        return second if first is None else first
    return [*_items(first), *_items(second)]


def current_span() -> Span | None:
    """The innermost piece of work around the calling code that is observed; None if there is none.

    Example:
        ```python
        from penstock.runtime import current_span

        assert current_span() is None
        ```
    """
    span = _here().span
    return None if span is None else span.work


def open_span(
    kind: SpanKind,
    name: str,
    config: Config | None = None,
    *,
    input: Any = None,
    knows_input: bool = True,
    tags: Collection[str] = (),
    metadata: Mapping[str, Any] = _NOTHING,
    details: Mapping[str, Any] = _NOTHING,
    around: Around | None = None,
    producer: Producer | None = None,
) -> Span | None:
    """Begin a piece of work; None if nobody observes it and its config has nothing that others would inherit.

    Args:
        kind: what it is.
        name: of it, unless its config has a `run_name`.
        config: of the call.
        input: what it is given.
        knows_input: False if that is still streaming.
        tags: of its own; those of the config are inherited by what it calls, these are not.
        metadata: likewise.
        details: what else there is to know.
        around: what it is inside of, if that has been looked up.
        producer: where views write what is told of what is inside; by default that of the span around it.
    """
    if around is None:
        around = look_around(config.get("callbacks") if config else None)
    given = config or _NOTHING
    if not around.observers and not any(given.get(key) for key in INHERITED):
        return None
    parent = around.span or _UNOBSERVED
    span = Span(
        kind,
        str(given.get("run_name") or name),
        parent=parent.work,
        observers=around.observers,
        producer=producer or parent.producer,
        run_id=given.get("run_id"),
        tags=_shown_tags(parent.child_tags, around.once, given.get("tags"), tags),
        metadata={**parent.child_metadata, **(given.get("metadata") or _NOTHING), **metadata},
        child_tags=_shown_tags(parent.child_tags, (), given.get("tags"), ()),
        child_metadata=_both(parent.child_metadata, given.get("metadata")),
        configurable=_both(parent.configurable, given.get("configurable")),
        input=input,
        knows_input=knows_input,
        details=details,
    )
    span.start()
    return span


async def room(around: Around) -> None:
    """Wait until more may be begun: many tasks that begin at once would all be told of before any of them waits."""
    span = around.span
    if span is None:
        return
    for observer in around.observers:
        receipt = observer._room(span)
        if receipt is not None:
            await receipt


def _both(first: Mapping[str, Any], second: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {**first, **second} if second else first


def _shown_tags(
    inherited: tuple[str, ...], once: tuple[str, ...], given: Iterable[str] | None, own: Iterable[str]
) -> tuple[str, ...]:
    """In LangChain's order: those of the call's config come behind the others that came from outside."""
    late = tuple(given or inherited)
    early = [tag for tag in (*inherited, *once) if tag not in late]
    return tuple(dict.fromkeys((*early, *late, *own)))


def add_tags(base: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    """Both, without repetition."""
    return tuple(dict.fromkeys((*base, *more)))


class inside:
    """A block whose code belongs to a span. Nothing may be yielded in it.

    Args:
        span: the span, or None for work that nobody observes.
    """

    __slots__ = ("_foreign", "_manager", "_span", "_token")

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def __enter__(self) -> None:
        span = self._span
        self._token: Token[Span | None] | None
        if span is None:
            self._token = _span.set(_UNOBSERVED) if _span.get() is None else None
            return
        self._token = _span.set(span)
        foreign = bridge()
        self._foreign = None if foreign is None else foreign.enter(span)
        self._manager = span.within()

    def __exit__(self, *exc: object) -> None:
        if self._span is not None:
            if self._manager is not None:
                self._manager.__exit__(None, None, None)
            if self._foreign is not None:
                self._foreign()
        if self._token is not None:
            _span.reset(self._token)


class failing:
    """A block whose failure is that of a span, if there is one.

    Args:
        span: the span.
    """

    __slots__ = ("_span",)

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        if error is not None and self._span is not None:
            self._span.fail_by(error)


class StepsInside(AsyncIterator[Any]):
    """What an async iterator gives, each step of it made inside of a span.

    Args:
        span: the span.
        source: the iterator; whoever made it closes it.
    """

    __slots__ = ("_source", "_span")

    def __init__(self, span: Span, source: AsyncIterator[Any]) -> None:
        self._span = span
        self._source = source

    async def __anext__(self) -> Any:
        with inside(self._span):
            return await self._source.__anext__()


def set_span(span: Span | None) -> None:
    """Code in the calling context is inside of a span from now on."""
    _span.set(span)
    foreign = bridge()
    if span is not None and foreign is not None:
        foreign.enter(span)


def linked(config: Config, span: Span | None, *tags: str) -> Config:
    """A config for what is called inside of a span.

    Args:
        config: as the span's own call got it, without what names only that.
        span: the span, or None if there is none.
        tags: labels of the next span only.
    """
    return config if span is None else {**config, "callbacks": Link(span, tags)}


def relinked(config: Config, *tags: str) -> Config:
    """The same config, with other labels for the next span; unchanged if nobody observes."""
    link = config.get("callbacks") if config else None
    return {**config, "callbacks": Link(link.span, tags)} if type(link) is Link else config


def link_span(config: Config) -> Span | None:
    """The span that a config made by `linked` leads to."""
    link = config.get("callbacks") if config else None
    return link.span if type(link) is Link else None


def callbacks_by_hand(around: Around) -> Any:
    """What a config holds that user code passes on: LangChain's objects must be able to read it if they are there."""
    foreign = bridge()
    if not around.observers:
        return None if foreign is None else foreign.callbacks(None, ())
    span = around.span or Ground(None, around.observers)
    return Link(span, around.once) if foreign is None else foreign.callbacks(span, around.once)


def inherited_config(config: RunConfig | None, around: Around) -> RunConfig | None:
    """The config of the run around a call, with the tags and metadata of the work that the call is in."""
    span = around.span
    if span is None or not (span.child_tags or span.child_metadata or span.configurable):
        return config
    base = RunConfig() if config is None else config
    # Of where it is, the run below says more.
    metadata = {**base.metadata, **without_place(span.child_metadata)}
    tags, configurable = add_tags(base.tags, span.child_tags), _both(base.configurable, span.configurable)
    return replace(base, tags=tags, metadata=metadata, configurable=configurable)


def without_place(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata without what it says of a place in a graph."""
    return {key: value for key, value in metadata.items() if not key.startswith(_PLACE)}


@contextmanager
def observe(*observers: Observer) -> Iterator[None]:
    """Observe everything that is called in this block, and in the tasks and threads that are started in it.

    Args:
        observers: who is to hear of it.

    Raises:
        TypeError: one of them is no observer, or one of its methods is async.

    Example:
        ```python
        from penstock.runnables import RunnableLambda
        from penstock.runtime import Observer, observe

        class Names(Observer):
            heard = []

            def started(self, span):
                self.heard.append(span.name)

        with observe(Names()):
            RunnableLambda(str.upper).invoke("hello")
        assert Names.heard == ["upper"]
        ```
    """
    around = look_around(list(observers))
    with inside(Ground(around.span, around.observers)):
        yield
