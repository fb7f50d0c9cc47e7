"""What streams of `messages` see: the chunks of model calls, and whole messages that nodes return."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

from ..config._scope import maybe_scope
from ..constants import TAG_NOSTREAM
from ..streams import DONE
from ..types import StreamMode
from ._emitter import Emitter, Receipts
from ._observer import Span
from ._spans import NOWHERE, Around, add_tags, look_around, open_span, without_place
from ._task import Attempt

Writes = list[tuple[str, Any]]


def emitter(mode: StreamMode, tags: Collection[str] = ()) -> Emitter | None:
    """What writes chunks of a mode to the streams around the calling code that ask for them.

    Args:
        mode: `messages` or `tools`.
        tags: of the call in whose name it writes; `only=` looks at them and at those of the node.

    Returns:
        None outside of a run, and where nobody asks: then building chunks can be spared.

    Example:
        ```python
        from penstock.runtime import emitter

        assert emitter("tools") is None  # not inside a node
        ```
    """
    scope = maybe_scope()
    return scope.emitter(mode, tags) if isinstance(scope, Attempt) else None


class ModelCall:
    """One call of a language model, shown to the `messages` streams around the calling code.

    Outside of a run it does nothing, and neither does it when the call, its node or the run is tagged
    `nostream`.

    Attributes:
        metadata: what the streams are told with each chunk; empty if nobody wants to know.
        span: what observers hear of it, or None if there are none.

    Example:
        ```python
        from penstock.graph import START, MessagesState, StateGraph
        from penstock.messages import AIMessageChunk
        from penstock.runtime import ModelCall

        async def parrot(state: MessagesState):
            call = ModelCall.open(tags=["parrot"], metadata={"ls_provider": "zoo"})
            for word in ("Polly ", "wants"):
                await call.emit(AIMessageChunk(word, id="run-1"))

        graph = StateGraph(MessagesState).add_node(parrot).add_edge(START, "parrot").compile()
        for chunk, metadata in graph.stream({"messages": []}, stream_mode="messages"):
            assert (metadata["langgraph_node"], metadata["tags"]) == ("parrot", ["parrot"])
        ```
    """

    __slots__ = ("_attempt", "_emitter", "_id", "_silent", "metadata", "span")

    def __init__(
        self,
        attempt: Attempt | None = None,
        emitter: Emitter | None = None,
        silent: bool = False,
        span: Span | None = None,
    ) -> None:
        self._attempt = attempt
        self._emitter = emitter
        self._silent = silent
        self._id: str | None = None
        self.metadata: dict[str, Any] = {}
        self.span: Span | None = span

    @classmethod
    def open(
        cls,
        *,
        tags: Collection[str] = (),
        metadata: Mapping[str, Any] | None = None,
        name: str = "model",
        input: Any = None,
        config: Mapping[str, Any] | None = None,
        details: Mapping[str, Any] | None = None,
        around: Around | None = None,
        attempt: Attempt | None = None,
        observed: bool = True,
    ) -> ModelCall:
        """Begin a call.

        Args:
            tags: of the model; streams get those of the run, too.
            metadata: of the model, such as `ls_provider` and `ls_model_name`.
            name: of the call, for those who observe it.
            input: the messages, or None if they are not known; likewise.
            config: of the call: its `callbacks`, `run_name` and `run_id`; likewise.
            details: `Span.details`.
            around: what it is inside of, if that has been looked up; likewise.
            attempt: whose call it is; that of the calling code, if not given.
            observed: False if observers hear of it from somebody else.
        """
        own = metadata or {}
        if not observed:
            around = NOWHERE
        elif around is None:
            around = look_around(config.get("callbacks") if config else None)
        span = None
        if around.observers:
            span = open_span(
                "chat_model",
                name,
                {**(config or {}), "tags": tags},
                input=input,
                knows_input=input is not None,
                metadata=own,
                details=details or {},
                around=around,
            )
        scope = maybe_scope() if attempt is None else attempt
        if not isinstance(scope, Attempt):
            return cls(span=span)
        if around.span is not None:
            tags = add_tags(around.span.child_tags, tags)
            own = {**without_place(around.span.child_metadata), **own}
        silent = TAG_NOSTREAM in tags or TAG_NOSTREAM in scope.task.tags
        call = cls(scope, None if silent else scope.emitter("messages", tags), silent, span)
        if call._emitter is not None:
            call.metadata = _call_metadata(scope, tags, own)
        return call

    @property
    def wanted(self) -> bool:
        """Whether somebody wants to see the chunks; if not, a model need not stream."""
        return self._emitter is not None or (self.span is not None and self.span.wants_chunks)

    @property
    def heard(self) -> bool:
        """Whether somebody sees the chunks of a model that streams anyway."""
        return self.wanted or (self.span is not None and self.span.hears_chunks)

    @property
    def begun(self) -> Awaitable[Any]:
        """Something to await before the work begins: it waits while a reader of events is behind."""
        return DONE if self.span is None else self.span.receipt

    def emit(self, chunk: Any, *, whole: bool = False) -> Awaitable[Any]:
        """Show a chunk, or a whole message of a model that does not stream.

        Args:
            chunk: a message chunk; all those of a call have one id.
            whole: whether it is the whole message, which observers hear of when the call ends.

        Returns:
            Something to await: while the reader is slow it holds the model back.
        """
        span = self.span
        told = None if span is None or whole or not span.hears_chunks else span.stream(chunk)
        emit = self._emitter
        if emit is None:
            return DONE if told is None else told
        if chunk.id != self._id:
            self._id = chunk.id
            self._has_seen(chunk.id)
        written = emit((chunk, self.metadata))
        return written if told is None else Receipts([written, told])

    def finished(self, message: Any, output: Any = None) -> Awaitable[Any]:
        """Tell what the call gave: the message is not shown again when a node returns it.

        Args:
            message: the whole message.
            output: what observers are told that it gave, if that is something else.

        Returns:
            Something to await, as for `emit`.
        """
        if self._emitter is not None or self._silent:
            self._has_seen(message.id)
        return DONE if self.span is None else self.span.end(message if output is None else output)

    def failed(self, error: BaseException) -> None:
        """Tell that the call has failed, or that nobody wants the rest of it."""
        if self.span is not None:
            self.span.fail_by(error)

    def _has_seen(self, ident: str | None) -> None:
        if self._attempt is None or ident is None:
            return
        run = self._attempt.task.run
        # Those around a subgraph that they do not show would show the message when the subgraph returns it.
        marked: Iterable[Any] = run.projectors if self._silent else run.feeds
        for one in marked:
            one.seen.add(ident)


def _call_metadata(attempt: Attempt, tags: Collection[str], own: Mapping[str, Any]) -> dict[str, Any]:
    task = attempt.task
    metadata = task.metadata(attempt.number)
    metadata["checkpoint_ns"] = task.namespace[0]
    metadata.update(own)
    if all_tags := list(dict.fromkeys((*task.tags, *tags))):
        metadata["tags"] = all_tags
    return metadata


def show_messages(attempt: Attempt, writes: Writes) -> Writes:
    """Show the messages that a node returns, each once, to the streams that have not seen it.

    A message without an id gets one, in a copy, so that the stream and the state call it the same.

    Returns:
        The writes, with those copies.
    """
    task = attempt.task
    feeds = [feed for feed in task.run.feeds if feed.messages and feed.asks("messages", task)]
    if not feeds or not any(True for _, value in writes for _ in _messages_in(value)):
        return writes
    named = [(key, _with_ids(value)) for key, value in writes]
    known = {message.id for message in _messages_in_state(task.input)}
    metadata = task.metadata(attempt.number)
    if tags := list(task.tags):
        metadata["tags"] = tags
    for feed in feeds:
        behind = attempt.port_to(feed)
        for _, value in named:
            for message in _messages_in(value):
                if message.id in known or message.id in feed.seen:
                    continue
                feed.seen.add(message.id)
                feed.message(message, metadata, behind=behind)
    return named


def _messages_in(value: object) -> Iterator[Any]:
    """The messages of one key's value: itself, or the items of a list."""
    from ..messages import is_message  # not before a graph has any: the messages are a tenth of what an import costs

    for one in value if isinstance(value, (list, tuple)) else (value,):
        if is_message(one) and getattr(one, "type", None) != "remove":
            yield one


def _with_ids(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        if all(one.id is not None for one in _messages_in(value)):
            return value
        return type(value)([_with_id(one) for one in value]) if type(value) in (list, tuple) else value
    return _with_id(value)


def _with_id(value: Any) -> Any:
    from uuid import uuid4

    from ..messages import is_message

    if not is_message(value) or value.id is not None:
        return value
    return value.model_copy(update={"id": str(uuid4())})


def _messages_in_state(state: object) -> Iterator[Any]:
    values: Iterable[Any]
    if isinstance(state, Mapping):
        values = state.values()
    elif is_dataclass(state) or hasattr(type(state), "model_fields"):
        values = vars(state).values()
    else:
        values = (state,)
    for value in values:
        yield from _messages_in(value)
